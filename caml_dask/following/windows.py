"""Windows of frames: which frames belong together."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

from caml_dask.errors import UsageError

MOST_WINDOWS = 10_000
LEAST_SHARE = 0.5
"""Of a window, that the frames at the end must fill to be one; with fewer, most clusters would lose members."""


@dataclass(frozen=True)
class Window:
    """Successive frames, half-open.

    Attributes
    ----------
    number : int
        Its number, from 0.
    start, stop : int
        Its first frame, and the one after its last.
    """

    number: int
    start: int
    stop: int

    @property
    def middle(self) -> float:
        """Mean of its frames."""
        return (self.start + self.stop - 1) / 2


@dataclass(frozen=True)
class TimeWindows:
    """How frames are cut to windows.

    Parameters
    ----------
    width : int
        Frames of a window.
    step : int or None
        Frames from the start of one to that of the next; None takes the width, so that each frame is in one window.

    Raises
    ------
    UsageError
        Numbers that are not whole, below 1, or a step that leaves frames out.
    """

    width: int
    step: int | None = None

    def __post_init__(self) -> None:
        for option, value in (("--time-window", self.width), ("--time-step", self.frames_between)):
            if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
                raise UsageError(f"{option} {value!r}: give a whole number of frames, 1 or more")
        if self.frames_between > self.width:
            raise UsageError(
                f"--time-step {self.step} is larger than --time-window {self.width} and leaves frames out: give a "
                "step of at most a window"
            )

    @property
    def frames_between(self) -> int:
        """Frames from the start of a window to that of the next."""
        return self.width if self.step is None else self.step

    def over(self, first: int, last: int) -> tuple[list[Window], int]:
        """The windows of frames `first` to `last`.

        Parameters
        ----------
        first, last : int
            The first and the last frame with localizations.

        Returns
        -------
        list of Window
            From the first frame on. One at the end that is not full counts if it has half of a window's frames.
        int
            Frames at the end that are in no window.

        Raises
        ------
        UsageError
            Fewer frames than a window, or too many windows.
        """
        frames, step = last + 1 - first, self.frames_between
        if frames < self.width:
            raise UsageError(
                f"the localizations are of {frames:,} frames ({first:,} to {last:,}), fewer than --time-window "
                f"{self.width:,}: give a shorter window"
            )
        full = (frames - self.width) // step + 1
        if full > MOST_WINDOWS:
            raise UsageError(
                f"{frames:,} frames are {full:,} windows, more than {MOST_WINDOWS:,}: give a longer --time-window or "
                "--time-step"
            )
        windows = [Window(k, first + k * step, first + k * step + self.width) for k in range(full)]
        start, beyond = first + full * step, last + 1 - windows[-1].stop
        if beyond and last + 1 - start >= LEAST_SHARE * self.width:
            windows.append(Window(full, start, last + 1))
            beyond = 0
        return windows, beyond
