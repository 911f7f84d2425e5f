"""Names on file systems that several machines share, where each machine remembers for a while what it did not find.

After a failed lookup, NFS takes a name for missing for up to a minute, or until its folder is opened; FUSE file systems
such as GlusterFS for as long as they were told to. So a name is not looked up before it exists: folders are listed,
which the server answers. A name that is listed and cannot be opened is waited for.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

_LISTED_S = 120.0  # within which a name that its folder lists can be opened: twice what NFS needs by default
_GRACE_S = 5.0  # for one that is known to exist and not listed yet
_BETWEEN_LOOKS_S = 0.25
_SAID_AFTER_S = 2.0

_log = logging.getLogger("caml_dask")
_Read = TypeVar("_Read")


def names_in(folder: Path) -> set[str]:
    """Names in a folder; none where there is no such folder."""
    try:
        return set(os.listdir(folder))  # noqa: PTH208 - names are wanted
    except NotADirectoryError:
        return set()
    except FileNotFoundError:
        if not _is_listed(folder):
            return set()
    try:
        return set(awaited(folder, os.listdir))
    except (FileNotFoundError, NotADirectoryError):  # removed meanwhile
        return set()


def stands(path: Path, under: Path) -> bool:
    """Whether there is something at a path below the folder `under`, by listing each folder on the way."""
    here = under
    for name in path.relative_to(under).parts:
        if name not in names_in(here):
            return False
        here /= name
    return True


def awaited(path: Path, read: Callable[[Path], _Read], grace_s: float | None = None) -> _Read:
    """What `read` makes of a file or folder that exists, though this machine may not see it yet.

    grace_s : how long one that its folder does not list is waited for; None for some seconds

    Raises
    ------
    FileNotFoundError : it is not there, or was not seen in two minutes.
    """
    begun, said = time.monotonic(), False
    while True:
        try:
            return read(path)
        except FileNotFoundError:
            waited_s = time.monotonic() - begun
            listed = _is_listed(path)
            if waited_s >= (_LISTED_S if listed else _GRACE_S if grace_s is None else grace_s):
                raise
        if listed and waited_s > _SAID_AFTER_S and not said:
            said = True
            _log.warning(
                "%s exists, but this machine does not see it yet: its file system remembers that it was missing; "
                "waiting up to %g s",
                path,
                _LISTED_S,
            )
        time.sleep(_BETWEEN_LOOKS_S)


def _is_listed(path: Path) -> bool:
    """Whether the folder of a path lists it; where that is not seen itself, whether that one is listed."""
    try:
        return path.name in os.listdir(path.parent)  # noqa: PTH208 - names are wanted
    except FileNotFoundError:
        return path.parent != path and _is_listed(path.parent)
    except OSError:
        return False
