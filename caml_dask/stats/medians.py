"""Statistics of measured clusters: medians with interquartile range, as Williamson et al. 2020 report them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class MedianIqr:
    """Median and quartiles of values, by linear interpolation between order statistics; NaN where there are none.

    Attributes
    ----------
    median, q25, q75 : float
        Median, lower and upper quartile, in the unit of the values.
    n : int
        Number of values.
    """

    median: float
    q25: float
    q75: float
    n: int


def median_iqr(values: npt.ArrayLike) -> MedianIqr:
    """Median and quartiles of the values that are not NaN.

    Parameters
    ----------
    values : (n,) array_like of float
        Numbers in any unit; NaN is null and is left out of `n` too.

    Returns
    -------
    MedianIqr
        Median, quartiles and number of values.
    """
    known = np.asarray(values, dtype=np.float64).ravel()
    known = known[~np.isnan(known)]
    if len(known) == 0:
        return MedianIqr(np.nan, np.nan, np.nan, 0)
    q25, median, q75 = np.quantile(known, (0.25, 0.5, 0.75))
    return MedianIqr(float(median), float(q25), float(q75), len(known))
