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

import itertools
import math
from typing import Any, NamedTuple

import numpy as np

from caml_dask.compiled import njit
from caml_dask.spatial.graph import FloatArray, IntArray

TOLERANCE = 1e-6
"""A set is found once no mean similarity (Ax)_i contradicts a local maximum by more than this."""
REACH_SIGMAS = 4.0
"""Similarities beyond this distance, below 1.2e-7, count as 0: no mean similarity is off by as much as TOLERANCE."""
_MOST_CELLS = 2**20  # along an axis


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
    number, cohesiveness = np.full(begins.sum(), -1), np.empty(begins.sum())
    reach_nm = REACH_SIGMAS * sigma_nm
    field = _in_cells(np.ascontiguousarray(points_nm[begins]), np.bincount(place).astype(np.float64), reach_nm)
    found = peel(field, float(sigma_nm), reach_nm, number, cohesiveness)
    return number[place], cohesiveness[:found]


class Field(NamedTuple):
    """Places in cells that are no narrower than similarities reach.

    points : (n, d) float64, coordinates in nm
    counts : (n,) float64, localizations at each place
    cell : (n,) int64, the cell of each place
    rows, begins : (n,) and (m + 1,) int64, the places of cell c, in their order, are rows[begins[c] : begins[c + 1]]
    beside : (m, 3**d) int64, the cells around each, itself among them; -1 for one that holds nothing
    """

    points: FloatArray
    counts: FloatArray
    cell: IntArray
    rows: IntArray
    begins: IntArray
    beside: IntArray


def _in_cells(points_nm: FloatArray, counts: FloatArray, reach_nm: float) -> Field:
    low, axes = points_nm.min(axis=0, initial=math.inf), points_nm.shape[1]
    # wider than any rounding, and few enough to be counted
    side_nm = 1.001 * max(reach_nm, float((points_nm - low).max(initial=0.0)) / _MOST_CELLS)
    of = np.floor((points_nm - low) / side_nm).astype(np.int64) + 1
    strides = (_MOST_CELLS + 2) ** np.arange(axes)
    keys, cell = np.unique(of @ strides, return_inverse=True)
    around = np.array(list(itertools.product((-1, 0, 1), repeat=axes))) @ strides
    wanted = keys[:, None] + around
    at = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
    beside = np.where(keys[at] == wanted, at, -1)
    begins = np.append(0, np.cumsum(np.bincount(cell, minlength=len(keys))))
    return Field(points_nm, counts, cell, np.argsort(cell, kind="stable"), begins, beside)


@njit()
def peel(field, sigma, reach, number, cohesiveness):  # type: ignore[no-untyped-def]
    """Find set after set; returns how many there are.

    number : (n,) int64, -1 before, the set of each place after
    cohesiveness : (n,) float64, filled for each set
    """
    places, axes = field.points.shape
    held, asked = np.zeros(field.beside.shape[0], np.bool_), np.zeros(field.beside.shape[0], np.bool_)
    near = Near(np.empty(places, np.int64), np.empty((axes, places)), np.empty(places), np.empty(places), held, asked)
    row, total = np.empty(places), np.zeros(places)
    for at in range(places):
        stop = _gather(field, number, near, at, 0)
        _similar(field, near, stop, at, sigma, reach, row)
        for other in range(stop):
            total[at] += row[other] * field.counts[near.place[other]]
        _forget(field, near, stop)
    found = 0
    while True:
        start = np.argmax(total)
        if number[start] >= 0:
            return found
        stop, cohesiveness[found] = _grow(field, number, near, start, sigma, reach, row)
        for at in range(stop):
            if near.weight[at] > 0.0:
                place = near.place[at]
                _similar(field, near, stop, place, sigma, reach, row)
                for other in range(stop):
                    total[near.place[other]] -= row[other] * field.counts[place]
        for at in range(stop):
            if near.weight[at] > 0.0:
                number[near.place[at]] = found
                total[near.place[at]] = -math.inf
        _forget(field, near, stop)
        found += 1


class Near(NamedTuple):
    """Places that the dynamics have looked at, in the first rows; those of a cell are there together.

    place : (n,) int64
    points : (d, n) float64, their coordinates
    weight, payoff : (n,) float64, x and Ax
    held, asked : (m,) bool, cells whose places are there, and cells of which all that is within reach is
    """

    place: IntArray
    points: FloatArray
    weight: FloatArray
    payoff: FloatArray
    held: Any
    asked: Any


@njit()
def _gather(field, number, near, place, stop):  # type: ignore[no-untyped-def]
    """Add all places that are left within reach of the cell of one; returns how many rows there are."""
    if near.asked[field.cell[place]]:
        return stop
    near.asked[field.cell[place]] = True
    for cell in field.beside[field.cell[place]]:
        if cell >= 0 and not near.held[cell]:
            near.held[cell] = True
            for other in field.rows[field.begins[cell] : field.begins[cell + 1]]:
                if number[other] < 0:
                    near.place[stop] = other
                    for axis in range(field.points.shape[1]):
                        near.points[axis, stop] = field.points[other, axis]
                    near.weight[stop], near.payoff[stop] = 0.0, 0.0
                    stop += 1
    return stop


@njit()
def _forget(field, near, stop):  # type: ignore[no-untyped-def]
    """Take the cells of the first rows back out."""
    for at in range(stop):
        cell = field.cell[near.place[at]]
        near.held[cell], near.asked[cell] = False, False


@njit()
def _grow(field, number, near, start, sigma, reach, row):  # type: ignore[no-untyped-def]
    """Find the weights at the local maximum that the dynamics reach from one place.

    Returns how many rows were looked at, and the cohesiveness.
    """
    stop = _gather(field, number, near, start, 0)
    _similar(field, near, stop, start, sigma, reach, row)
    for at in range(stop):
        near.payoff[at] = row[at]
        near.weight[at] = 1.0 if near.place[at] == start else 0.0
    while True:
        best, worst, mean = _extremes(near, stop)
        gain, lag = near.payoff[best] - mean, mean - near.payoff[worst]
        if max(gain, lag) <= TOLERANCE:
            return stop, mean
        at = best if gain >= lag else worst
        place = near.place[at]
        step, vanishes = _step(near.payoff[at], mean, near.weight[at], 1.0 - 1.0 / field.counts[place])
        stop = _gather(field, number, near, place, stop)
        _similar(field, near, stop, place, sigma, reach, row)
        for other in range(stop):
            near.weight[other] *= 1.0 - step
            near.payoff[other] = (1.0 - step) * near.payoff[other] + step * row[other]
        near.weight[at] = 0.0 if vanishes else near.weight[at] + step


@njit()
def _extremes(near, stop):  # type: ignore[no-untyped-def]
    """The rows with the largest and, of members, the smallest mean similarity, and the cohesiveness.

    Of equal ones the first place counts, in whatever order cells were gathered.
    """
    best, worst, mean = 0, -1, 0.0
    for at in range(stop):
        payoff = near.payoff[at]
        if payoff > near.payoff[best] or (payoff == near.payoff[best] and near.place[at] < near.place[best]):
            best = at
        if near.weight[at] > 0.0:
            mean += near.weight[at] * payoff
            lowest = math.inf if worst < 0 else near.payoff[worst]
            if payoff < lowest or (payoff == lowest and near.place[at] < near.place[worst]):
                worst = at
    return best, worst, mean


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
def _similar(field, near, stop, place, sigma, reach, row):  # type: ignore[no-untyped-def]
    """Fill the similarities of a place to those in the rows before stop."""
    for other in range(stop):
        d2 = 0.0
        for axis in range(near.points.shape[0]):
            apart = near.points[axis, other] - field.points[place, axis]
            d2 += apart * apart
        row[other] = math.exp(-d2 / sigma / sigma) if d2 <= reach * reach else 0.0
        if near.place[other] == place:
            row[other] = 1.0 - 1.0 / field.counts[place]
