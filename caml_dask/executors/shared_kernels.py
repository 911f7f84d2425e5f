"""Compiled kernels for the jobs of a batch system: made once by the run, in its directory, where all nodes see them.

What numba keeps is code that each worker runs, so the folder is for this user alone, and lies where no other user can
put one in its place. Numba tells types of CPU apart: nodes of another type than this machine add theirs.
"""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

from caml_dask.compiled import copy_kept
from caml_dask.executors.kernels import compile_kernels

KERNELS = "kernels"  # in the hidden folder of a run
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH

_log = logging.getLogger("caml_dask")


def share_kernels(network: str, scratch: Path) -> None:
    """Compile the kernels of a network and keep them in a folder of `scratch`, where that is safe.

    Where it is not, or the folder cannot be written, jobs keep kernels as they would on their own.
    """
    compile_kernels(network)
    folder = scratch / KERNELS
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if is_private(folder):
            copy_kept(folder)
        else:
            folder.rmdir()
            _log.info("other users can write to %s or above it: each node compiles kernels for itself", scratch)
    except OSError as error:
        _log.info("kernels cannot be kept for the jobs in %s (%s): each node compiles them", folder, error)


def environment(scratch: Path) -> dict[str, str]:
    """What jobs are to have in their environment to find the kernels; nothing where none are kept."""
    folder = scratch / KERNELS
    return {"NUMBA_CACHE_DIR": str(folder)} if folder.is_dir() and is_private(folder) else {}


def is_private(folder: Path) -> bool:
    """Whether no other user but root can write to a folder, or put another one in its place."""
    if folder.is_symlink() or folder.stat().st_mode & 0o077:
        return False
    real = folder.resolve()
    return all(_is_safe(above) for above in (real, *real.parents))


def _is_safe(folder: Path) -> bool:
    found = folder.stat()
    closed = not found.st_mode & _OTHERS_WRITE or bool(found.st_mode & stat.S_ISVTX)
    return closed and found.st_uid in (0, os.geteuid())
