"""What the tests of work in another process let it do; it imports this module by its name."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

from caml_dask.errors import InputError

PATH = Path("cell.hdf5")


def numbers(count: int, end: str = "") -> Iterator[tuple[int, int]]:
    for i in range(count):
        yield i, os.getpid()
    if end == "error":
        raise InputError("is no table", PATH, 3)
    if end == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if end == "hang":
        signal.setitimer(signal.ITIMER_PROF, 0.2)  # as the timer does after its 5 s
        while True:
            pass
