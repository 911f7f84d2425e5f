"""Locks on files and on output directories: one process holds one, and who comes second is told who came first."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from caml_dask import holders
from caml_dask.atomic import room_for
from caml_dask.errors import OutputError, StoreError
from caml_dask.groups import make_folder, writable_by_group

_NAME = re.compile(r"process (\d+) on (.+)")
_BETWEEN_TRIES_S = 0.05
_NAMED_WITHIN_S = 1.0  # between taking a lock and having written its name, a process may lose the CPU


@contextmanager
def held(path: Path, wait_s: float) -> Iterator[None]:
    """Hold a file alone while the context lasts; a process that died holds nothing.

    wait_s : how long who holds it is waited for, in seconds

    Raises
    ------
    StoreError : it is held for longer.
    DiskFullError : no room for it is left.
    """
    with room_for(path):
        make_folder(path.parent)
        with writable_by_group(path.parent):
            handle = _appending(path)
    with handle:
        until = time.monotonic() + wait_s
        while not _taken(handle):
            if time.monotonic() > until:
                raise StoreError(
                    f"{path} is held by another process for more than {wait_s:g} s: end that one if it hangs, and run "
                    "again with --resume"
                )
            time.sleep(_BETWEEN_TRIES_S)
        yield


def is_held(path: Path) -> bool:
    """Whether another process has a file by :func:`held`."""
    try:
        handle = _appending(path)
    except FileNotFoundError:
        return False
    with handle:
        return not _taken(handle)


def _appending(path: Path) -> IO[str]:
    """A file opened as it is, made where there is none; what a link leads to is not touched."""
    try:
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o666), "a")
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise StoreError(f"{path} is a link, where a file is wanted: look who made it, and remove it") from None
        raise


def _taken(handle: IO[str] | int, shared: bool = False) -> bool:
    """Whether the file is this process' now, without waiting; it is free again when the handle is closed."""
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@dataclass(frozen=True)
class Holder:
    """Who holds a directory, as its lock says it.

    process : number of the process
    host : the machine it runs on
    since : seconds since the epoch, by the clock of the file system
    """

    process: int
    host: str
    since: float

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}"

    @property
    def ended(self) -> bool:
        """Whether it is known to have ended; of a process on another machine nothing is known."""
        if self.host != socket.gethostname():
            return False
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return True
        except PermissionError:  # another user's
            return False
        return False


def refuse_strange(root: Path, hidden: str, what: str) -> None:
    """Refuse a directory that holds something else; parameters as of :func:`locked`.

    Raises
    ------
    OutputError
    """
    names = sorted(entry.name for entry in root.iterdir()) if root.is_dir() else []
    if names and hidden not in names:
        raise OutputError(f"{root} is not empty ({', '.join(names[:3])}) and holds no {what}: name a new directory")


@contextmanager
def locked(root: Path, hidden: str, what: str, shared: bool = False) -> Iterator[None]:
    """Hold a directory for this process; the lock of a process that died is free again.

    Who holds it on a machine where that lock does not hold is told by its sign of life (:mod:`caml_dask.holders`).

    Parameters
    ----------
    root : the directory; it is made where there is none.
    hidden : the folder in it that holds the lock, and by which it is known.
    what : what the directory holds, in a word.
    shared : together with others that hold it so, and with no one else; who holds it so is not named.

    Raises
    ------
    OutputError : another process holds it, named; or the directory cannot be made, or holds something else.
    """
    refuse_strange(root, hidden, what)
    for place in (root / hidden, root / hidden / "lock"):
        if place.is_symlink():
            raise OutputError(f"{place} is a link, which {what}s never have there: look who made it, and remove it")
    with _opened(root, hidden) as handle:
        try:
            taken = _taken(handle, shared)
        except OSError as error:
            raise OutputError(f"{root} cannot be locked ({error.strerror}): name a directory elsewhere") from None
        if not taken:
            raise OutputError(f"{root} is in use by {_named(handle)}: wait for it, or name another directory")
        with holders.announced(root / hidden, shared) as own:
            if other := holders.living_other(root / hidden, own):
                raise OutputError(f"{root} is in use by {other}: wait for it, or name another directory")
            os.truncate(handle, 0)  # of the name of one who died
            if not shared:
                os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
            try:
                yield
            finally:
                if not shared:
                    os.truncate(handle, 0)


@contextmanager
def _opened(root: Path, hidden: str) -> Iterator[int]:
    """The lock of a directory, both made where there are none.

    Raises
    ------
    OutputError : they cannot be written to.
    """
    try:
        make_folder(root / hidden)
        with writable_by_group(root):
            handle = os.open(root / hidden / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except PermissionError:
        raise OutputError(
            f"{root} cannot be written to by this user (Permission denied): name another directory; a group can share "
            "one that has its setgid bit set and that it may write to (chmod g+ws)"
        ) from None
    except OSError as error:
        raise OutputError(f"{root} cannot be written to ({error.strerror}): name another directory") from None
    try:
        yield handle
    finally:
        os.close(handle)


def holder(root: Path, hidden: str) -> Holder | None:
    """Who holds a directory, from files alone; None for nobody, or for one who is known to have ended.

    Where that is a process of another machine that gave no sign of life in the last half minute, it is watched for some
    seconds.
    """
    try:
        handle = os.open(root / hidden / "lock", os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        found = _read(handle)
    finally:
        os.close(handle)
    if found is None or found.ended:
        return None
    if found.host == socket.gethostname() or holders.lives(root / hidden, found.process, found.host):
        return found
    return None


def _read(handle: int) -> Holder | None:
    name = _NAME.fullmatch(os.pread(handle, 400, 0).decode(errors="replace").strip())
    return Holder(int(name[1]), name[2], os.fstat(handle).st_mtime) if name else None


def _named(handle: int) -> str:
    """Who holds a lock that was refused; the name of one that died may still stand there for a moment."""
    until = time.monotonic() + _NAMED_WITHIN_S
    while time.monotonic() < until:
        found = _read(handle)
        if found is not None and not found.ended:
            return str(found)
        time.sleep(0.01)
    return "another process"
