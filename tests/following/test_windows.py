"""Frames cut to windows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caml_dask.errors import UsageError
from caml_dask.following.windows import TimeWindows


def spans(windows: TimeWindows, first: int, last: int) -> list[tuple[int, int]]:
    return [(window.start, window.stop) for window in windows.over(first, last)[0]]


def test_windows_are_half_open_and_begin_with_the_first_frame():
    assert spans(TimeWindows(500), 1, 1500) == [(1, 501), (501, 1001), (1001, 1501)]
    assert spans(TimeWindows(500, 250), 0, 999) == [(0, 500), (250, 750), (500, 1000)]


def test_frames_at_the_end_are_a_window_if_they_are_half_of_one():
    assert spans(TimeWindows(500), 0, 749) == [(0, 500), (500, 750)]
    assert TimeWindows(500).over(0, 749)[1] == 0
    assert spans(TimeWindows(500), 0, 748) == [(0, 500)]
    assert TimeWindows(500).over(0, 748)[1] == 249


@given(st.integers(-50, 50), st.integers(1, 400), st.integers(1, 60), st.integers(1, 60))
def test_each_frame_is_in_a_window_or_counted_as_left_out(first, frames, width, step):
    step = min(step, width)
    if frames < width:
        with pytest.raises(UsageError, match="fewer than --time-window"):
            TimeWindows(width, step).over(first, first + frames - 1)
        return
    windows, left_out = TimeWindows(width, step).over(first, first + frames - 1)
    covered = {frame for window in windows for frame in range(window.start, window.stop)}
    assert covered == set(range(first, first + frames - left_out))
    assert [window.start for window in windows] == [first + k * step for k in range(len(windows))]
    assert all(window.stop - window.start == width for window in windows[:-1])
    assert 2 * (windows[-1].stop - windows[-1].start) >= width and 2 * left_out < width


@pytest.mark.parametrize(
    ("width", "step", "words"),
    [
        (0, None, "--time-window 0: give a whole number"),
        (2.5, None, "--time-window 2.5: give a whole number"),
        (True, None, "--time-window True"),
        (10, 0, "--time-step 0"),
        (10, 11, "leaves frames out"),
    ],
)
def test_windows_that_are_none_are_refused(width, step, words):
    with pytest.raises(UsageError, match=words):
        TimeWindows(width, step)


def test_too_many_windows_are_refused():
    with pytest.raises(UsageError, match="more than 10,000"):
        TimeWindows(1).over(0, 10_000)
