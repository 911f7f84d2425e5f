"""Work in another process: results, errors, a crash, a hang, and a stream that is left halfway."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from caml_dask.errors import InputError
from caml_dask.io.readers import apart

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


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other process imports this module by its name, from here."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setattr(numbers, "__module__", "test_apart")
    apart._end_idle()


def test_results_come_from_one_other_process() -> None:
    first, second = list(apart.iterate(PATH, numbers, 3)), list(apart.iterate(PATH, numbers, 2))
    assert [i for i, _ in first] == [0, 1, 2] and [i for i, _ in second] == [0, 1]
    assert len({pid for _, pid in first + second}) == 1 and first[0][1] != os.getpid()


def test_two_streams_at_once_and_one_left_halfway() -> None:
    one, other = apart.iterate(PATH, numbers, 5), apart.iterate(PATH, numbers, 5)
    assert next(one)[0] == next(other)[0] == 0
    assert [i for i, _ in other] == [1, 2, 3, 4]
    one.close()
    assert [i for i, _ in apart.iterate(PATH, numbers, 3)] == [0, 1, 2]
    assert len(apart._idle) == 2


def test_errors_arrive_as_they_are() -> None:
    with pytest.raises(InputError, match=r"is no table \(row 3\)") as caught:
        list(apart.iterate(PATH, numbers, 1, "error"))
    assert (caught.value.path, caught.value.row) == (PATH, 3)
    assert [i for i, _ in apart.iterate(PATH, numbers, 1)] == [0]


@pytest.mark.parametrize("end", ["crash", "hang"])
def test_what_crashes_or_hangs_is_an_error_of_the_file(end: str) -> None:
    found = []
    with pytest.raises(InputError, match="is damaged so that it cannot be read") as caught:
        found.extend(apart.iterate(PATH, numbers, 2, end))
    assert caught.value.path == PATH and len(apart._idle) == 0
    assert [i for i, _ in apart.iterate(PATH, numbers, 1)] == [0]


def test_it_ends_with_its_idle_processes() -> None:
    ((_, pid),) = apart.iterate(PATH, numbers, 1)
    apart._end_idle()
    time.sleep(0.05)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
