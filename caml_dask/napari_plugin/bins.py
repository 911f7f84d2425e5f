"""The distribution of a measure, in bins of equal width or, where it spans orders of magnitude, of equal factors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_BINS = 60
_WIDE = 100.0  # times the smallest value from which bins are of equal factors


@dataclass(frozen=True)
class Bins:
    """How many values are in each bin, and where a value lies along the axis.

    Parameters
    ----------
    low, high : float
        The ends of the axis.
    logarithmic : bool
        Whether bins are of equal factors.
    counts : (bins,) int64
        Values in each.
    """

    low: float
    high: float
    logarithmic: bool
    counts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, values: Floats) -> Bins:
        """Those of values; what is not finite is left out."""
        finite = values[np.isfinite(values)]
        if not len(finite):
            return cls(0.0, 1.0, False, np.zeros(_BINS, np.int64))
        low, high = float(finite.min()), float(finite.max())
        logarithmic = low > 0 and high / low >= _WIDE
        empty = cls(low, high, logarithmic, np.zeros(_BINS, np.int64))
        place = np.minimum((empty.place(finite) * _BINS).astype(np.int64), _BINS - 1)
        return cls(low, high, logarithmic, np.bincount(place, minlength=_BINS))

    def place(self, values: Floats | float) -> Floats:
        """Where values lie, from 0 at the lower end of the axis to 1 at the upper one."""
        low, high, at = self.low, self.high, np.clip(np.asarray(values, np.float64), self.low, self.high)
        if low == high:
            return np.full(at.shape, 0.5)
        if self.logarithmic:
            low, high, at = np.log(low), np.log(high), np.log(at)
        return np.asarray((at - low) / (high - low))

    def value(self, place: float) -> float:
        """The value at a place; at both ends, the very lowest and highest."""
        if place <= 0:
            return self.low
        if place >= 1:
            return self.high
        if self.logarithmic:
            return float(self.low * (self.high / self.low) ** place)
        return float(self.low + place * (self.high - self.low))
