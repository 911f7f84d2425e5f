"""Compiled parts of the neighbor search: candidates of a block of queries, their distances, and what they settle.

Coordinates come as a column an axis, so that a kernel is compiled for 2 or 3 of them, its loops over axes unrolled.
"""

from __future__ import annotations

import numpy as np

from caml_dask.compiled import njit
from caml_dask.sorting import smallest

_GUESS = 1.25  # radius guessed from the local density, as a multiple of the mean radius that holds k localizations


@njit()
def guess_radius(points, lower, upper, depth, k, guess):  # type: ignore[no-untyped-def]
    """Guess a radius for each leaf from the density of its smallest ancestor with at least 2k localizations (compiled).

    Parameters
    ----------
    points, lower, upper, depth
        Arrays of a :class:`BlockIndex`.
    k : int
        Neighbors a localization.
    guess : (leaves,) float64
        Output: a radius in nm for each leaf.
    """
    axes, n = points.shape
    for leaf in range(1 << depth):
        level = depth
        while level > 0 and n >> level < 2 * k:
            level -= 1
        node = (1 << level) - 1 + (leaf >> (depth - level))
        volume, longest = 1.0, 0.0
        for a in range(axes):
            side = upper[node, a] - lower[node, a]
            volume *= side
            longest = max(longest, side)
        share = volume * (k + 1) / max(1, n >> level)
        if axes == 2:
            guess[leaf] = _GUESS * np.sqrt(share / np.pi)
        else:
            guess[leaf] = _GUESS * np.cbrt(0.75 * share / np.pi)
        if not guess[leaf] > 0.0:
            guess[leaf] = longest


@njit()
def gather(points, lower, upper, depth, low, high, found):  # type: ignore[no-untyped-def]
    """Positions of the localizations in the closed box low..high, ascending: as many as `found` holds, and how many."""
    n = len(points[0])
    stack = np.empty(depth + 2, np.int64)
    stack[0] = 0
    top, m = 1, 0
    first_leaf = (1 << depth) - 1
    while top > 0:
        top -= 1
        node = stack[top]
        apart = False
        for a in range(len(points)):
            if lower[node, a] > high[a] or upper[node, a] < low[a]:
                apart = True
        if apart:
            continue
        if node < first_leaf:
            stack[top] = 2 * node + 2
            stack[top + 1] = 2 * node + 1
            top += 2
            continue
        leaf = node - first_leaf
        for i in range((n * leaf) >> depth, (n * (leaf + 1)) >> depth):
            inside = True
            for a in range(len(points)):
                if points[a][i] < low[a] or points[a][i] > high[a]:
                    inside = False
            if inside:
                if m < len(found):
                    found[m] = i
                m += 1
    return m


@njit()
def _squared_distances(points, query, near, m, out):  # type: ignore[no-untyped-def]
    """Squared distances of a query to `m` candidates, summed axis by axis."""
    if len(points) == 2:
        x, y = points[0][query], points[1][query]
        for j in range(m):
            out[j] = (near[0, j] - x) ** 2 + (near[1, j] - y) ** 2
    else:
        x, y, z = points[0][query], points[1][query], points[2][query]
        for j in range(m):
            out[j] = ((near[0, j] - x) ** 2 + (near[1, j] - y) ** 2) + (near[2, j] - z) ** 2


@njit()
def _keep(values, m, most, out):  # type: ignore[no-untyped-def]
    """The values up to `most`, in their order; how many they are. No branch depends on them."""
    kept = 0
    for j in range(m):
        out[kept] = values[j]
        kept += values[j] <= most
    return kept


@njit()
def fill(  # type: ignore[no-untyped-def]
    points, lower, upper, depth, queries, starts, radius, k, done, slots, squared, distances, found, widths, bound
):
    """Distances from queries to what lies within their group's radius, until the buffers are full (compiled).

    Rows of a group are as wide as its fullest, the others end in infinities; a query with fewer than k candidates
    within the radius has infinities only, and a bound of its k-th distance where there are k in the box.

    Parameters
    ----------
    points : tuple of d (n,) float64
        Coordinates by position in nm, a column an axis.
    lower, upper, depth
        Boxes and depth of the :class:`BlockIndex`.
    queries : (q,) int64
        Positions of the queries, group by group.
    starts : (g + 1,) int64
        Queries of group i are queries[starts[i]:starts[i + 1]].
    radius : (g,) float64
        Radius of each group in nm.
    k : int
        Neighbors a localization.
    done : int
        First group to fill.
    slots : (q,) int64
        Row of each query in `bound`.
    squared, distances : (b,) float64, (b,) float32
        Output: squared distances in nm2, and distances in nm, row by row.
    found : (c,) int64
        Working memory for the candidates of a group.
    widths : (g,) int64
        Output: length of the rows of each group.
    bound : (m,) float64
        Output: upper bound of the k-th distance in nm, for queries that are not settled.

    Returns
    -------
    stop : int
        First group not filled.
    needed : int
        Size of the buffer that this group needs; 0 where all are filled.
    """
    axes = len(points)
    low, high = np.empty(axes), np.empty(axes)
    near, all_squared = np.empty((axes, 0)), np.empty(0)
    kept = np.empty(0, np.int64)
    used = 0
    for g in range(done, len(starts) - 1):
        s, e = starts[g], starts[g + 1]
        widths[g] = 0
        if e == s:
            continue
        for a in range(axes):
            low[a], high[a] = np.inf, -np.inf
            for i in range(s, e):
                low[a] = min(low[a], points[a][queries[i]] - radius[g])
                high[a] = max(high[a], points[a][queries[i]] + radius[g])
        m = gather(points, lower, upper, depth, low, high, found)
        if m > len(found) or used + (e - s) * m > len(squared):
            return g, (e - s) * m
        if near.shape[1] < m:
            near, all_squared = np.empty((axes, 2 * m)), np.empty(2 * m)
        if len(kept) < e - s:
            kept = np.empty(e - s, np.int64)
        for a in range(axes):
            for j in range(m):
                near[a, j] = points[a][found[j]]
        within = (radius[g] * (1 - 1e-12)) ** 2  # a hair short: all that lies so near is in the box
        itself = 0
        for i in range(s, e):
            _squared_distances(points, queries[i], near, m, all_squared)
            if i > s and queries[i] < queries[i - 1]:
                itself = 0
            while found[itself] != queries[i]:
                itself += 1
            all_squared[itself] = np.inf
            row = used + (i - s) * m
            kept[i - s] = _keep(all_squared, m, within, squared[row : row + m])
            if kept[i - s] < k:
                kept[i - s] = 0
                if m > k:
                    bound[slots[i]] = np.sqrt(smallest(all_squared, m, k - 1))
            widths[g] = max(widths[g], kept[i - s])
        for i in range(e - s):
            row, out = used + i * m, used + i * widths[g]
            for j in range(kept[i]):
                squared[out + j] = squared[row + j]
            for j in range(kept[i], widths[g]):
                squared[out + j] = np.inf
        stop = used + (e - s) * widths[g]
        for j in range(used, stop):
            distances[j] = np.float32(np.sqrt(squared[j]))
        used = stop
    return len(starts) - 1, 0


@njit()
def _exact(squared, rounded, skip):  # type: ignore[no-untyped-def]
    """The float64 distance that stands at place `skip` among those that round to `rounded`, ascending."""
    least = max(0.0, np.float64(rounded) * (1 - 2e-7) - 2e-45) ** 2
    most = (np.float64(rounded) * (1 + 2e-7) + 2e-45) ** 2
    close, last = 0, 0
    for j in range(len(squared)):  # free of branches, so that it fills vector lanes
        hit = (squared[j] >= least) & (squared[j] <= most)
        close += hit
        last = max(last, j * hit)
    if close == 1:
        return np.sqrt(squared[last])
    exact = np.empty(close)
    ties = 0
    for j in range(len(squared)):
        if squared[j] >= least and squared[j] <= most and np.float32(np.sqrt(squared[j])) == rounded:
            exact[ties] = np.sqrt(squared[j])
            ties += 1
    return smallest(exact, ties, skip)


@njit()
def collect(starts, slots, done, stop, k, squared, ascending, widths, distances, window, nearest, certified):  # type: ignore[no-untyped-def]
    """Take the first k of each sorted row, and find the float64 first and k-th distance (compiled; DESIGN law 3).

    Parameters
    ----------
    starts, slots, k, squared, widths
        As :func:`fill` took and left them.
    done, stop : int
        First group to collect, and the one after the last.
    ascending : (b,) float32
        Distances in nm, each row sorted.
    distances : (m, k) float32
        Output: the k nearest distances in nm, by slot.
    window, nearest : (m,) float64
        Output: k-th and first distance in nm, by slot.
    certified : (m,) bool
        Output: True for queries with at least k candidates within the radius.
    """
    used = 0
    for g in range(done, stop):
        for i in range(starts[g], starts[g + 1]):
            unsorted, row = squared[used : used + widths[g]], ascending[used : used + widths[g]]
            used += widths[g]
            if len(row) < k or row[k - 1] == np.inf:
                continue
            slot = slots[i]
            before = k - 1
            while before > 0 and row[before - 1] == row[k - 1]:
                before -= 1
            window[slot] = _exact(unsorted, row[k - 1], k - 1 - before)
            nearest[slot] = _exact(unsorted, row[0], 0)
            for j in range(k):
                distances[slot, j] = row[j]
            certified[slot] = True
