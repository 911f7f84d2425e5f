"""What is left of equal circles once the discs of the others have covered them: compiled, in O(n log n) in practice.

Arcs are given by two angles, counter-clockwise, and by the circles that cut them there, so that they can be followed
from circle to circle by number and never by comparing coordinates.
"""

from __future__ import annotations

import math

import numpy as np

from caml_dask.compiled import njit
from caml_dask.sorting import first_from, quick_order, stable_order

TURN = 2.0 * math.pi
# What marks the ends of an arc that no other circle cuts, and what follows where the other circle has no such arc.
BLOCKED = -1
WHOLE = -2
LOST = -3

_BINS = 64
_ALL_BINS = (1 << _BINS) - 1
_FEW = 64


@njit()
def exposed_arcs(centers, groups, radius, block):  # type: ignore[no-untyped-def]
    """Arcs of equal circles that lie in none of the other discs of their group.

    Parameters
    ----------
    centers : (n, 2), those of a group all distinct; an infinite one is left out.
    groups : (g + 1,) bounds of the groups in `centers`.
    block : (n, 2) start and width of a stretch of each circle that counts as covered (width 0: none).

    Returns
    -------
    circle : (k,) the circle each arc lies on, ascending.
    angle : (k, 2) where the arc begins and ends, counter-clockwise.
    cut : (k, 2) the circles that cut it there; BLOCKED for the block, WHOLE for a circle that nothing covers.
    arcs : (g + 1,) bounds of the groups in these.
    """
    n, k, most = len(centers), 0, 0
    for g in range(len(groups) - 1):
        most = max(most, groups[g + 1] - groups[g])
    angle, cut, arcs = np.empty((n, 2)), np.empty((n, 3), np.int64), np.empty(len(groups), np.int64)
    lo, width, label = np.empty(most + 1), np.empty(most + 1), np.empty(most + 1, np.int64)
    arcs[0] = 0
    for g in range(len(groups) - 1):
        first = groups[g]
        order, keys, cell, stride = _cells(centers, first, groups[g + 1], 2.0 * radius)
        for i in range(first, groups[g + 1]):
            if centers[i, 0] == np.inf:
                continue
            at = cell[i - first]
            m = _covers(centers, i, first, at, radius, block, order, keys, stride, lo, width, label)
            if m < 0:
                continue
            angle, cut = grown(angle, k + m + 1), grown(cut, k + m + 1)
            if m == 0:
                k = _write(angle, cut, k, i, 0.0, TURN, WHOLE, WHOLE)
                continue
            by_start = quick_order(lo, m)
            reach, who = -np.inf, 0
            for j in range(m):
                if lo[j] + width[j] - TURN > reach:
                    reach, who = lo[j] + width[j] - TURN, label[j]
            for j in by_start:
                if lo[j] > reach:
                    k = _write(angle, cut, k, i, reach, lo[j], who, label[j])
                if lo[j] + width[j] > reach:
                    reach, who = lo[j] + width[j], label[j]
        arcs[g + 1] = k
    circle, cuts = np.empty(k, np.int64), np.empty((k, 2), np.int64)
    for a in range(k):
        circle[a], cuts[a, 0], cuts[a, 1] = cut[a, 2], cut[a, 0], cut[a, 1]
    return circle, angle[:k], cuts, arcs


@njit()
def _write(angle, cut, k, circle, begin, end, cut_by, cuts):  # type: ignore[no-untyped-def]
    angle[k, 0], angle[k, 1] = begin, end
    cut[k, 0], cut[k, 1], cut[k, 2] = cut_by, cuts, circle
    return k + 1


@njit()
def _covers(centers, i, first, cell, radius, block, order, keys, stride, lo, width, label):  # type: ignore[no-untyped-def]
    """Stretches of circle i that others cover, written to lo, width and label; -1 as soon as they cover all of it."""
    m, covered = 0, np.uint64(0)
    if block[i, 1] > 0:
        lo[0], width[0], label[0] = block[i, 0] % TURN, block[i, 1], BLOCKED
        m = 1
    x, y = centers[i, 0], centers[i, 1]
    for column in range(-1, 2):
        begin = first_from(keys, cell + column * stride - 1)
        end = first_from(keys, cell + column * stride + 2)
        for o in range(begin, end):
            j = first + order[o]
            dx, dy = centers[j, 0] - x, centers[j, 1] - y
            d2 = dx * dx + dy * dy
            if j == i or not d2 < 4.0 * radius * radius:
                continue
            half = math.acos(math.sqrt(d2) / (2.0 * radius))
            lo[m], width[m], label[m] = (math.atan2(dy, dx) - half) % TURN, 2.0 * half, j
            # Bins are only marked where covered with a margin: rounding must not hide an arc.
            a = math.ceil((lo[m] + 1e-9) * (_BINS / TURN))
            z = math.floor((lo[m] + width[m] - 1e-9) * (_BINS / TURN))
            for bin_ in range(a, z):
                covered |= np.uint64(1) << np.uint64(bin_ % _BINS)
            if covered == np.uint64(_ALL_BINS):
                return -1
            m += 1
    return m


@njit()
def _cells(centers, first, stop, side):  # type: ignore[no-untyped-def]
    """The points `first` to `stop` sorted by grid cell: order, sorted keys, each one's key, keys from column to column.

    Within a cell they stand in scattered order, so that a point in a dense spot meets covering circles of all
    directions soon. A few points share one cell.
    """
    cell = np.zeros(stop - first, np.int64)
    stride = np.int64(3)
    if len(cell) > _FEW:
        left, right, bottom, top = np.inf, -np.inf, np.inf, -np.inf
        for k in range(first, stop):
            if centers[k, 0] != np.inf:
                left, right = min(left, centers[k, 0]), max(right, centers[k, 0])
                bottom, top = min(bottom, centers[k, 1]), max(top, centers[k, 1])
        stride = np.int64(min((top - bottom) / side, 2.0**30)) + 3
        for k in range(first, stop):
            if centers[k, 0] != np.inf:
                column = np.int64(min((centers[k, 0] - left) / side, 2.0**30))
                cell[k - first] = column * stride + np.int64(min((centers[k, 1] - bottom) / side, 2.0**30)) + 1
    order, keys = scattered_order(cell)
    return order, keys, cell, stride


@njit()
def scattered_order(cell):  # type: ignore[no-untyped-def]
    """Order by cell and within a cell scattered; and the sorted cells."""
    n = len(cell)
    fraction, keys = np.empty(n), np.empty(n, np.int64)
    for k in range(n):
        fraction[k] = (k * 0.6180339887498949) % 1.0
    scattered = quick_order(fraction, n)
    for k in range(n):
        keys[k] = cell[scattered[k]]
    by_cell = stable_order(keys, n)
    order = np.empty(n, np.int64)
    for k in range(n):
        order[k] = scattered[by_cell[k]]
    for k in range(n):
        keys[k] = cell[order[k]]
    return order, keys


@njit()
def successors(circle, cut, n, leave, enter):  # type: ignore[no-untyped-def]
    """The arc that follows each arc: on the circle that cuts it, the one that this circle cuts.

    BLOCKED where it ends at a block, LOST where there is none; n circles, `leave` and `enter` columns of `cut`.
    """
    first, after = np.zeros(n + 1, np.int64), np.empty(len(circle), np.int64)
    for a in range(len(circle)):
        first[circle[a] + 1] += 1
    for i in range(n):
        first[i + 1] += first[i]
    for a in range(len(circle)):
        after[a] = BLOCKED
        other = cut[a, leave]
        if other == WHOLE:
            after[a] = a
        elif other >= 0:
            after[a] = LOST
            for s in range(first[other], first[other + 1]):
                if cut[s, enter] == circle[a]:
                    after[a] = s
    return after


@njit()
def grown(rows, n):  # type: ignore[no-untyped-def]
    if n <= len(rows):
        return rows
    longer = np.empty((2 * n, rows.shape[1]), rows.dtype)
    for k in range(len(rows)):
        for column in range(rows.shape[1]):
            longer[k, column] = rows[k, column]
    return longer
