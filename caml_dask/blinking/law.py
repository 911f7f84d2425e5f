"""What is known of re-blinking: how often, how soon and how far apart a molecule is detected again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_LONGEST_TABLE = 1 << 20  # frames
_PERIODS = 32
NEVER = -700.0
"""Logarithm of what does not happen."""


@dataclass(frozen=True)
class Law:
    """What is estimated of an image.

    Attributes
    ----------
    spread : float
        Standard deviation of a detection along x and y, in multiples of its scale: of its precision, or of 1 nm.
    spread_z : float
        The same along z; 0 in 2D.
    rates, weights : (k,) float64
        Chance a frame that a molecule returns t frames after a detection: the sum of weights times exp(-rates t).
    same_frame : float
        Chance that a molecule has another detection in the frame of one.
    returns : float
        Chance that a molecule is detected again, q.
    frames : int
        Frames from the first to the last.
    per_volume : float
        Detections per nm2 of the image's bounds, or per nm3 in 3D.
    since : (p,) int64
        First frame of each period, see :func:`activity`.
    active : (p,) float64
        Detections a frame in each period, in multiples of the mean.
    signal : float
        How much better returns explain the pairs than chance does, in standard errors.
    """

    spread: float
    spread_z: float
    rates: np.ndarray
    weights: np.ndarray
    same_frame: float
    returns: float
    frames: int
    per_volume: float
    since: np.ndarray
    active: np.ndarray
    signal: float

    @property
    def blinks(self) -> bool:
        """Whether molecules are detected again at all."""
        return len(self.rates) > 0

    def spreads(self, axes: int) -> np.ndarray:
        """Spread along each axis.

        Parameters
        ----------
        axes : int
            2 or 3.

        Returns
        -------
        (axes,) float64
            In multiples of the scales.
        """
        return np.array([self.spread, self.spread, self.spread_z][:axes])

    def log_return(self) -> np.ndarray:
        """Logarithm of the chance a frame that a molecule returns after each lag.

        Returns
        -------
        (t,) float64
            From lag 0; longer lags are as the last.
        """
        lag = np.arange(1, min(self.frames, _LONGEST_TABLE) + 1, dtype=np.float64) - 0.5
        chance = np.zeros(len(lag))
        for rate, weight in zip(self.rates, self.weights, strict=True):
            chance += weight * np.exp(-rate * lag)
        chance = np.concatenate([[self.same_frame], chance, [0.0]])
        return np.where(chance > np.exp(NEVER), np.log(np.maximum(chance, np.exp(NEVER))), NEVER)

    def log_active(self, frame: np.ndarray) -> np.ndarray:
        """Logarithm of how many detections there are in the period of a frame.

        Parameters
        ----------
        frame : (n,) int64
            Frames.

        Returns
        -------
        (n,) float64
            Logarithms of multiples of the mean.
        """
        logarithms: np.ndarray = np.log(self.active)
        return logarithms[np.maximum(np.searchsorted(self.since, frame, side="right") - 1, 0)]


def activity(frames: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Detections a frame over time, in up to 32 periods of about as many detections each.

    Molecules are rarely activated evenly: most often many begin early and few late.

    Parameters
    ----------
    frames : (t,) int64
        Distinct frames, ascending.
    counts : (t,) int64
        Detections in each.

    Returns
    -------
    since : (p,) int64
        First frame of each period.
    active : (p,) float64
        Detections a frame in it, in multiples of the mean.
    """
    before, n = np.cumsum(counts) - counts, int(counts.sum())
    first = np.unique(before * _PERIODS // n, return_index=True)[1]
    lengths = np.diff(np.append(frames[first], frames[-1] + 1))
    mean = n / float(frames[-1] - frames[0] + 1)
    return frames[first], np.add.reduceat(counts, first) / lengths / mean
