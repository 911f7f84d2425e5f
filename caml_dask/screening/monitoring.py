"""Monitoring: figures of a night that lie outside the usual range of the earlier nights.

The range is the median of the earlier nights plus or minus SPREADS standard deviations, estimated from their median
absolute deviation (MAD), and at least LEAST_CHANGE of the median on either side. Of normally distributed values, 1 %
fall outside by chance with LEAST_NIGHTS earlier nights, and 0.04 % with 20.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SPREADS = 6.0
LEAST_NIGHTS, MOST_NIGHTS = 8, 30  # earlier nights: fewer do not show what is usual, older ones are ignored
LEAST_IMAGES = 3  # with fewer images, a median depends on single cells
LEAST_CHANGE = 0.1  # a smaller change is never reported, however steady the earlier nights
SIGMA_PER_MAD = 1.4826  # of normal values


@dataclass(frozen=True)
class Usual:
    """The usual range of a figure.

    median : of the earlier nights
    low, high : its ends, inclusive
    nights : how many earlier nights it is based on
    """

    median: float
    low: float
    high: float
    nights: int

    def holds(self, value: float) -> bool:
        """Whether a value lies in the range."""
        return self.low <= value <= self.high


def usual(earlier: npt.ArrayLike) -> Usual | None:
    """The usual range of a figure, from its values on earlier nights.

    Parameters
    ----------
    earlier : (n,) numbers in any unit, the oldest first; NaN for a night without a value.

    Returns
    -------
    The range of the last MOST_NIGHTS values; None for fewer than LEAST_NIGHTS.
    """
    known = np.asarray(earlier, dtype=np.float64)
    known = known[~np.isnan(known)][-MOST_NIGHTS:]
    if len(known) < LEAST_NIGHTS:
        return None
    median = float(np.median(known))
    spread = SIGMA_PER_MAD * float(np.median(np.abs(known - median)))
    reach = max(SPREADS * spread, LEAST_CHANGE * abs(median))
    return Usual(median, median - reach, median + reach, len(known))


def of_night(values: Iterable[float | None]) -> float:
    """A night's figure: the median over its images; NaN where fewer than LEAST_IMAGES have a value."""
    known = [value for value in values if value is not None]
    return float(np.median(known)) if len(known) >= LEAST_IMAGES else float("nan")
