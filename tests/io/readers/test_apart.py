"""Work in another process: results, errors, a crash, a hang, and a stream that is left halfway."""

from __future__ import annotations

import os

import pytest
from work_apart import PATH, numbers

from caml_dask.errors import InputError
from caml_dask.io.readers import apart


@pytest.fixture(autouse=True)
def no_process_before() -> None:
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
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
