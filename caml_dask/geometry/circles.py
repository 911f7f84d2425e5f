"""What is left of equal circles once the discs of the others have covered them: compiled, in O(n log n) in practice.

Arcs are given by two angles, counter-clockwise, and by the circles that cut them there, so that they can be followed
from circle to circle by number and never by comparing coordinates.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

TURN = 2.0 * math.pi
# What marks the ends of an arc that no other circle cuts.
BLOCKED = -1
WHOLE = -2

_BINS = 64
_ALL_BINS = (1 << _BINS) - 1
_FEW = 64


@njit(cache=True, nogil=True)
def exposed_arcs(centers, radius, block):  # type: ignore[no-untyped-def]
    """Arcs of equal circles that lie in none of the other discs.

    Parameters
    ----------
    centers : (n, 2), all distinct; an infinite one is left out.
    block : (n, 2) start and width of a stretch of each circle that counts as covered (width 0: none).

    Returns
    -------
    circle : (k,) the circle each arc lies on, ascending.
    angle : (k, 2) where the arc begins and ends, counter-clockwise.
    cut : (k, 2) the circles that cut it there; BLOCKED for the block, WHOLE for a circle that nothing covers.
    """
    order, keys, cell, stride = _cells(centers, 2.0 * radius)
    n, k = len(centers), 0
    angle, cut = np.empty((n, 2)), np.empty((n, 3), np.int64)
    lo, width, label = np.empty(n + 1), np.empty(n + 1), np.empty(n + 1, np.int64)
    for i in range(n):
        if centers[i, 0] == np.inf:
            continue
        m = _covers(centers, i, radius, block, order, keys, cell, stride, lo, width, label)
        if m < 0:
            continue
        angle, cut = grown(angle, k + m + 1), grown(cut, k + m + 1)
        if m == 0:
            k = _write(angle, cut, k, i, 0.0, TURN, WHOLE, WHOLE)
            continue
        by_start = np.argsort(lo[:m])
        reach, who = -np.inf, 0
        for j in range(m):
            if lo[j] + width[j] - TURN > reach:
                reach, who = lo[j] + width[j] - TURN, label[j]
        for j in by_start:
            if lo[j] > reach:
                k = _write(angle, cut, k, i, reach, lo[j], who, label[j])
            if lo[j] + width[j] > reach:
                reach, who = lo[j] + width[j], label[j]
    return cut[:k, 2].copy(), angle[:k], cut[:k, :2].copy()


@njit(cache=True, nogil=True)
def _write(angle, cut, k, circle, begin, end, cut_by, cuts):  # type: ignore[no-untyped-def]
    angle[k, 0], angle[k, 1] = begin, end
    cut[k, 0], cut[k, 1], cut[k, 2] = cut_by, cuts, circle
    return k + 1


@njit(cache=True, nogil=True)
def _covers(centers, i, radius, block, order, keys, cell, stride, lo, width, label):  # type: ignore[no-untyped-def]
    """Stretches of circle i that others cover, written to lo, width and label; -1 as soon as they cover all of it."""
    m, covered = 0, np.uint64(0)
    if block[i, 1] > 0:
        lo[0], width[0], label[0] = block[i, 0] % TURN, block[i, 1], BLOCKED
        m = 1
    x, y = centers[i, 0], centers[i, 1]
    for column in range(-1, 2):
        begin = np.searchsorted(keys, cell[i] + column * stride - 1)
        end = np.searchsorted(keys, cell[i] + column * stride + 2)
        for j in order[begin:end]:
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


@njit(cache=True, nogil=True)
def _cells(centers, side):  # type: ignore[no-untyped-def]
    """Points sorted by grid cell (order, sorted keys, each point's key, keys from one column to the next).

    Within a cell they stand in scattered order, so that a point in a dense spot meets covering circles of all
    directions soon. A few points share one cell.
    """
    n = len(centers)
    cell = np.zeros(n, np.int64)
    stride = np.int64(3)
    if n > _FEW:
        low = np.array([np.inf, np.inf])
        high = -low
        for k in range(n):
            if centers[k, 0] != np.inf:
                for axis in range(2):
                    low[axis] = min(low[axis], centers[k, axis])
                    high[axis] = max(high[axis], centers[k, axis])
        stride = np.int64(min((high[1] - low[1]) / side, 2.0**30)) + 3
        for k in range(n):
            if centers[k, 0] != np.inf:
                column = np.int64(min((centers[k, 0] - low[0]) / side, 2.0**30))
                cell[k] = column * stride + np.int64(min((centers[k, 1] - low[1]) / side, 2.0**30)) + 1
    scattered = np.argsort((np.arange(n) * 0.6180339887498949) % 1.0, kind="mergesort")
    order = scattered[np.argsort(cell[scattered], kind="mergesort")]
    return order, cell[order], cell, stride


@njit(cache=True, nogil=True)
def successors(circle, cut, n, leave, enter):  # type: ignore[no-untyped-def]
    """The arc that follows each arc: on the circle that cuts it, the one that this circle cuts."""
    first = np.searchsorted(circle, np.arange(n + 1))
    after = np.full(len(circle), -1)
    for a in range(len(circle)):
        other = cut[a, leave]
        if other == WHOLE:
            after[a] = a
        elif other >= 0:
            for s in range(first[other], first[other + 1]):
                if cut[s, enter] == circle[a]:
                    after[a] = s
            if after[a] < 0:
                return after, False
    return after, True


@njit(cache=True, nogil=True)
def grown(rows, n):  # type: ignore[no-untyped-def]
    if n <= len(rows):
        return rows
    longer = np.empty((2 * n, rows.shape[1]), rows.dtype)
    for k in range(len(rows)):
        for column in range(rows.shape[1]):
            longer[k, column] = rows[k, column]
    return longer
