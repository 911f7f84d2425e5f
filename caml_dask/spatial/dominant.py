"""Dominant sets of localizations, found one after another by infection and immunization.

The similarity of two localizations at distance d is exp(-d^2 / sigma^2), and that of one with itself is 0. A dominant
set is the support of a local maximum of x'Ax over weights x that sum to 1, with the matrix A of similarities. There the
weighted mean similarity (Ax)_i of each member i is x'Ax, the cohesiveness, and that of all others is at most as large.

References
----------
Pavan and Pelillo, IEEE Transactions on Pattern Analysis and Machine Intelligence 29 (2007), 167. Rota Bulò, Pelillo and
Bomze, Computer Vision and Image Understanding 115 (2011), 984: the dynamics, which need one row of A at a time.
"""

from __future__ import annotations

import math

import numpy as np

from caml_dask.compiled import njit
from caml_dask.spatial.graph import FloatArray, IntArray

TOLERANCE = 1e-6
"""A set is found once no mean similarity (Ax)_i contradicts a local maximum by more than this."""
REACH_SIGMAS = 4.0
"""Similarities beyond this distance, below 1.2e-7, count as 0: no mean similarity is off by as much as TOLERANCE."""


def dominant_sets(points_nm: FloatArray, sigma_nm: float) -> tuple[IntArray, FloatArray]:
    """Find dominant sets, each among the localizations that earlier ones left, until none is left.

    The dynamics of each set begin at the localization with the largest sum of similarities to those that are left. The
    first of equal ones counts, here and in the dynamics. Localizations at one place have equal weights at a maximum, so
    k of them are treated as one with a similarity of 1 - 1/k to itself.

    Parameters
    ----------
    points_nm : (n, d) float64
        Coordinates in nm, ordered by the first axis, then the second, and so on.
    sigma_nm : float
        Distance in nm at which the similarity is 1/e.

    Returns
    -------
    number : (n,) int64
        The set of each localization, from 0, in the order in which they were found; a localization that is similar to
        no other is a set by itself.
    cohesiveness : (m,) float64
        x'Ax of each set, from 0 to below 1.
    """
    begins = np.append(True, (points_nm[1:] != points_nm[:-1]).any(axis=1))[: len(points_nm)]
    place = np.cumsum(begins) - 1
    counts = np.bincount(place).astype(np.float64)
    number, cohesiveness = np.empty(len(counts), np.int64), np.empty(len(counts))
    found = peel(points_nm[begins].T.copy(), counts, float(sigma_nm), REACH_SIGMAS * sigma_nm, number, cohesiveness)
    return number[place], cohesiveness[:found]


@njit()
def peel(points, counts, sigma, reach, number, cohesiveness):  # type: ignore[no-untyped-def]
    """Find set after set of (d, n) places with so many localizations each; returns how many sets there are.

    points, counts : used up; what is left stands in front
    """
    left = number.size
    rows, row = np.arange(left), np.empty(left)
    total, weight, payoff = np.zeros(left), np.zeros(left), np.zeros(left)
    for at in range(left):
        first, stop = _similar(points, counts, left, at, sigma, reach, row)
        total[at] = (row[first:stop] * counts[first:stop]).sum()
    found = 0
    while left:
        start = np.argmax(total[:left])
        first, stop, mean = _grow(points, counts, left, start, sigma, reach, weight, payoff, row)
        cohesiveness[found] = mean
        for at in range(first, stop):
            if weight[at] > 0.0:
                number[rows[at]] = found
                begin, end = _similar(points, counts, left, at, sigma, reach, row)
                total[begin:end] -= row[begin:end] * counts[at]
        kept = first
        for at in range(first, left):
            if at >= stop or weight[at] == 0.0:
                points[:, kept], counts[kept] = points[:, at], counts[at]
                rows[kept], total[kept] = rows[at], total[at]
                kept += 1
        weight[first:stop], payoff[first:stop] = 0.0, 0.0
        left = kept
        found += 1
    return found


@njit()
def _grow(points, counts, left, start, sigma, reach, weight, payoff, row):  # type: ignore[no-untyped-def]
    """Fill the weights at the local maximum that the dynamics reach from one place.

    Returns the rows first to stop that were looked at, and the cohesiveness.
    """
    first, stop = _similar(points, counts, left, start, sigma, reach, row)
    payoff[first:stop], weight[start] = row[first:stop], 1.0
    while True:
        best, worst, mean = first, -1, 0.0
        for at in range(first, stop):
            if payoff[at] > payoff[best]:
                best = at
            if weight[at] > 0.0:
                mean += weight[at] * payoff[at]
                if worst < 0 or payoff[at] < payoff[worst]:
                    worst = at
        gain, lag = payoff[best] - mean, mean - payoff[worst]
        if max(gain, lag) <= TOLERANCE:
            return first, stop, mean
        at = best if gain >= lag else worst
        step, vanishes = _step(payoff[at], mean, weight[at], 1.0 - 1.0 / counts[at])
        begin, end = _similar(points, counts, left, at, sigma, reach, row)
        first, stop = min(first, begin), max(stop, end)
        weight[first:stop] *= 1.0 - step
        payoff[first:stop] *= 1.0 - step
        payoff[begin:end] += step * row[begin:end]
        weight[at] = 0.0 if vanishes else weight[at] + step


@njit()
def _step(payoff, mean, weight, itself):  # type: ignore[no-untyped-def]
    """How far the weights move towards one place, or away from it where that is below 0, to the maximum of x'Ax on the
    way; and whether the place's own weight vanishes there."""
    ahead = payoff > mean
    end = 1.0 if ahead else -weight / (1.0 - weight)
    curvature = 2.0 * payoff - mean - itself
    step = (payoff - mean) / curvature if curvature > 0.0 else end
    step = min(step, end) if ahead else max(step, end)
    return step, step == end and not ahead


@njit()
def _similar(points, counts, left, at, sigma, reach, row):  # type: ignore[no-untyped-def]
    """Fill the similarities of a place to those in the rows first to stop, all others are 0; returns the two rows."""
    x = points[0, :left]
    # wider than any rounding: two places have one similarity, whichever is asked
    first, stop = np.searchsorted(x, x[at] - 1.001 * reach), np.searchsorted(x, x[at] + 1.001 * reach)
    for other in range(first, stop):
        d2 = 0.0
        for axis in range(points.shape[0]):
            apart = points[axis, other] - points[axis, at]
            d2 += apart * apart
        row[other] = math.exp(-d2 / (sigma * sigma)) if d2 <= reach * reach else 0.0
    row[at] = 1.0 - 1.0 / counts[at]
    return first, stop
