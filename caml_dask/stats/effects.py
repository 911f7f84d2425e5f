"""Effect sizes that belong to rank tests."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.stats import norm, rankdata


def epsilon_squared(h: float, n: int) -> float:
    """Share of the variance of ranks that lies between groups.

    It is H / ((n^2 - 1) / (n + 1)), which is H / (n - 1).

    Parameters
    ----------
    h : float
        Statistic of Kruskal and Wallis.
    n : int
        Number of values of all groups.

    Returns
    -------
    float
        0 to 1.
    """
    return h / (n - 1)


def cliffs_delta(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Share of the pairs of values in which the second's is larger, less that in which it is smaller.

    It is also the rank-biserial correlation of a Mann-Whitney test.

    Parameters
    ----------
    first : (m,) array_like of float
        Values of the first group.
    second : (n,) array_like of float
        Values of the second group, in the same unit.

    Returns
    -------
    float
        -1 to 1.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    ranks = rankdata(np.concatenate([a, b]))[len(a) :]
    u = ranks.sum() - len(b) * (len(b) + 1) / 2
    return float(2 * u / (len(a) * len(b)) - 1)


def delta_interval(delta: float, m: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Confidence interval of Cliff's delta between groups of independent values.

    Method 5 of Newcombe (Statistics in Medicine 25, 2006, 559-573): a score interval, whose width is not 0 where the
    groups do not overlap at all, as groups of few images often do not.

    Parameters
    ----------
    delta : float
        Cliff's delta, -1 to 1.
    m, n : int
        Numbers of values of the two groups.
    level : float
        Confidence level, above 0 and below 1.

    Returns
    -------
    low, high : float
        Ends of the interval, -1 to 1.
    """
    z = float(norm.ppf((1 + level) / 2))
    theta = (delta + 1) / 2
    return 2 * _lower(theta, m, n, z) - 1, 1 - 2 * _lower(1 - theta, m, n, z)


def _lower(theta: float, m: int, n: int, z: float) -> float:
    """The least share t of pairs of which the share seen, theta, is no more than z standard errors above."""
    extra = (m + n) / 2 - 1

    def beyond(t: float) -> float:
        variance = t * (1 - t) * (1 + extra * (1 - t) / (2 - t) + extra * t / (1 + t)) / (m * n)
        return theta - t - z * math.sqrt(variance)

    # at t = 1 the variance is 0, so that theta = 1 would be a root of its own, and no bound
    return 0.0 if theta <= 0 else float(brentq(beyond, 0.0, min(theta, 1 - 1e-12)))
