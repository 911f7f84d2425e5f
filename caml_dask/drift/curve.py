"""Drift as a curve over frames, and the intervals of frames that its knots are of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Curve:
    """Drift since the first frame, smooth between knots (monotone cubic, Fritsch and Butland 1984).

    Parameters
    ----------
    knots : (k,) float64
        Frames, ascending; none where no drift could be estimated.
    drift_nm : (k, d) float64
        Drift at them on each axis.
    first, last : int
        Frames beyond which it is constant.
    """

    knots: np.ndarray
    drift_nm: np.ndarray
    first: int
    last: int

    def at(self, frame: np.ndarray) -> np.ndarray:
        """Drift at frames.

        Parameters
        ----------
        frame : (n,) float64
            Frames.

        Returns
        -------
        (n, d) float64
            In nm; each value by its frame alone.
        """
        if len(self.knots) < 2:
            return np.zeros((len(frame), self.drift_nm.shape[1]))
        values, slopes = self.drift_nm, _slopes(self.knots, self.drift_nm)
        x = np.clip(np.asarray(frame, np.float64), self.first, self.last)
        left = np.clip(np.searchsorted(self.knots, x, side="right") - 1, 0, len(self.knots) - 2)
        width = (self.knots[left + 1] - self.knots[left])[:, None]
        outside = np.where(x < self.knots[0], x - self.knots[0], np.maximum(x - self.knots[-1], 0.0))[:, None]
        t = np.clip((x[:, None] - self.knots[left][:, None]) / width, 0.0, 1.0)
        one, two = values[left], values[left + 1]
        a, b = slopes[left] * width, slopes[left + 1] * width
        inside = one + t * (a + t * (3 * (two - one) - 2 * a - b + t * (a + b - 2 * (two - one))))
        return inside + outside * np.where(outside < 0, slopes[0], slopes[-1])

    def begun_at(self, frame: int) -> Curve:
        """The same drift, counted from a frame on."""
        shift = self.at(np.array([frame], np.float64))
        return Curve(self.knots, self.drift_nm - shift, self.first, self.last)


def _slopes(knots: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Slope at each knot, (k, d): none overshoots."""
    width, rise = np.diff(knots)[:, None], np.diff(values, axis=0) / np.diff(knots)[:, None]
    if len(width) == 1:
        return np.repeat(rise, 2, axis=0)
    one, two = width[:-1], width[1:]
    weight, other = 2 * two + one, two + 2 * one
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (weight + other) / (weight / rise[:-1] + other / rise[1:])
    between = np.where(rise[:-1] * rise[1:] > 0, between, 0.0)
    return np.vstack([rise[:1], between, rise[-1:]])


def interval_starts(frame: np.ndarray, most: int) -> np.ndarray:
    """Cut localizations into intervals of frames that hold about as many of them each.

    A frame lies in one interval; gaps between frames and frames with few localizations join their neighbors.

    Parameters
    ----------
    frame : (n,) int64
        Frames, ascending.
    most : int
        Intervals at most.

    Returns
    -------
    (intervals + 1,) int64
        Where they begin; the last one is n.
    """
    begins = np.flatnonzero(np.diff(frame, prepend=frame[:1] - 1))
    wanted = np.arange(1, max(1, most)) * len(frame) // max(1, most)
    at = np.searchsorted(begins, wanted)
    return np.unique(np.concatenate([[0], begins[at[at < len(begins)]], [len(frame)]]))


def middles(frame: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Mean frame of the localizations of each interval, (intervals,) float64."""
    sums = np.add.reduceat(frame - frame[0], starts[:-1])
    return frame[0] + sums / np.diff(starts)
