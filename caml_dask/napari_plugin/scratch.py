"""Temporary files of an image that is looked at: room that is lacking is an error, and does not end the viewer."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import clear_frames

from caml_dask.atomic import FULL
from caml_dask.errors import DiskFullError

_AT_A_TIME = 1 << 20


@contextmanager
def room_in(folder: Path, wanted: Callable[[], int]) -> Iterator[None]:
    """Say it in words where the disk of a folder for temporary files is full.

    Parameters
    ----------
    folder : Path
        The temporary folder of the image.
    wanted : callable
        Gives the bytes that it takes, as far as these are known by then.

    Raises
    ------
    DiskFullError
        No room is left.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise DiskFullError(
            f"{folder.parent} has no room for temporary files of this image, which take {wanted():,} bytes or more: "
            "make room there, or set TMPDIR to a folder on another disk and start napari again"
        ) from error


def reserve(path: Path, size: int) -> None:
    """Make a file of zeros whose room on the disk is taken.

    Writing to a map of a file that has holes ends the process (SIGBUS) once the disk is full; no error is raised.

    Parameters
    ----------
    path : Path
        The file.
    size : int
        Bytes.

    Raises
    ------
    OSError
        There is no room for it.
    """
    with path.open("wb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            for first in range(0, size, _AT_A_TIME):
                file.write(bytes(min(_AT_A_TIME, size - first)))


def let_go(error: BaseException) -> None:
    """Drop the local variables of where an error came from: napari keeps errors, and these would keep temporary files.

    Parameters
    ----------
    error : BaseException
        The error, caught.
    """
    for each in (error, error.__context__):
        if each is not None:
            clear_frames(each.__traceback__)
