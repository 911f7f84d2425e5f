"""Output directories that a Unix group shares: what is written there, all members can replace.

A folder is a group's if its setgid bit is set and the group may write to it; folders made in it are so too. There,
files and folders are made writable for the group whatever the umask says of it. What is private, such as the key of a
run on a cluster, is not published, and keeps the mode that it was made with. So does what is made elsewhere meanwhile:
whoever could replace a compiled kernel would have others run their code.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_GROUP = stat.S_IRWXG
_OF_A_GROUP = stat.S_ISGID | stat.S_IWGRP
_lock = threading.Lock()
_umasks: list[int] = []  # that of the process, once for each context that is open: the umask is the process' own


def is_shared(folder: Path) -> bool:
    """Whether a folder is a group's, or the nearest one above it that there is."""
    for place in (folder.absolute(), *folder.absolute().parents):
        try:
            return place.stat().st_mode & _OF_A_GROUP == _OF_A_GROUP
        except OSError:
            continue
    return False


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it that there are not, writable for the group where they lie in a group's.

    None is looked up before it is made: on NFS, it might then stay unseen here once another machine has made it.

    Raises
    ------
    OSError
    """
    try:
        folder.mkdir()
    except FileNotFoundError:
        make_folder(folder.parent)
        make_folder(folder)
    except OSError:
        if not folder.is_dir():
            raise
    else:
        if is_shared(folder.absolute().parent):
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                open_to_group(handle)
            finally:
                os.close(handle)


def begin_log(path: Path) -> BinaryIO:
    """Open a log to be written anew; what :func:`make_folder` says of folders holds for it and the folder it is in.

    Raises
    ------
    OSError
    """
    make_folder(path.parent)
    with writable_by_group(path.parent):
        return path.open("wb")


def open_to_group(handle: int) -> None:
    """Make an open file or folder of this user's as writable for the group as it is for the user."""
    mode = stat.S_IMODE(os.fstat(handle).st_mode)
    with suppress(PermissionError):  # of a file system that has one mode for all
        os.fchmod(handle, mode | (mode & stat.S_IRWXU) >> 3)


@contextmanager
def writable_by_group(folder: Path) -> Iterator[None]:
    """Make what is made while the context lasts writable for the group, where `folder` is a group's.

    Only to open a file: what other threads make meanwhile, anywhere, is writable for the group too.
    """
    if not is_shared(folder):
        yield
        return
    with _lock:
        _umasks.append(_umasks[0] if _umasks else os.umask(0o007))
        os.umask(_umasks[0] & ~_GROUP)
    try:
        yield
    finally:
        with _lock:
            before = _umasks.pop()
            if not _umasks:
                os.umask(before)
