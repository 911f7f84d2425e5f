"""Exact k-nearest-neighbor distances, each with the certificate that it is exact (DESIGN laws 2 and 3).

Localizations are sorted into small blocks of equal count (the leaves of a balanced k-d tree). All queries of a block
share one block of candidates: everything inside the block's bounding box grown by a guessed radius. A query is
settled when its k-th distance is no longer than its distance to the nearest side of that box; the few others are
asked again, each with the k-th distance it already has as the radius, which settles it.

Distances are float32(sqrt(float64 d2)) with d2 summed axis by axis, self excluded by identity: duplicates stay, at
distance 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit

from caml_dask.blocks import BlockIndex
from caml_dask.errors import TooFewLocalizations

_ROW_BUFFER = 1 << 19  # distances held at a time while a batch is sorted: 2 MiB, so that it stays in the cache
_GUESS = 1.25  # radius guessed from the local density, as a multiple of the mean radius that holds k localizations


@dataclass(frozen=True)
class Neighbors:
    """Nearest-neighbor distances of some localizations.

    rows : (m,) int64, rows of the coordinates the index was built from
    distances_nm : (m, k) float32, ascending, self excluded
    window_nm : (m,) float64, distance to the k-th neighbor
    nearest_nm : (m,) float64, distance to the first
    """

    rows: np.ndarray
    distances_nm: np.ndarray
    window_nm: np.ndarray
    nearest_nm: np.ndarray


def nearest(index: BlockIndex, k: int, rows: np.ndarray | None = None) -> Neighbors:
    """Distances of `rows` (default: all, in row order) to their k nearest neighbors in the index.

    Parameters
    ----------
    index : localizations, the queries among them.
    k : neighbors a localization.
    rows : (m,) int64, rows of the indexed coordinates to ask for.

    Raises
    ------
    TooFewLocalizations : where the index holds fewer than k + 1 localizations.
    """
    wanted = np.arange(index.n) if rows is None else np.asarray(rows, dtype=np.int64)
    place = np.full(index.n, -1, dtype=np.int64)
    place[wanted] = np.arange(len(wanted))
    result = Neighbors(wanted, np.empty((len(wanted), k), np.float32), np.empty(len(wanted)), np.empty(len(wanted)))
    for part in nearest_in_batches(index, k, wanted):
        at = place[part.rows]
        result.distances_nm[at] = part.distances_nm
        result.window_nm[at] = part.window_nm
        result.nearest_nm[at] = part.nearest_nm
    return result


def nearest_in_batches(
    index: BlockIndex, k: int, rows: np.ndarray | None = None, batch: int = 1 << 14
) -> Iterator[Neighbors]:
    """As :func:`nearest`, in batches of about `batch` rows and in the index's order, so that memory stays bounded."""
    if index.n <= k:
        raise TooFewLocalizations(f"{k} neighbors need {k + 1} localizations; there are {index.n}")
    asked = np.ones(index.n, dtype=bool)
    if rows is not None:
        asked[:] = False
        asked[rows] = True
    positions = np.flatnonzero(asked[index.order])
    leaves = 1 << index.depth
    first = (index.n * np.arange(leaves + 1)) >> index.depth
    starts = np.searchsorted(positions, first)
    guess = np.empty(leaves)
    _guess_radius(index.points_nm, index.lower_nm, index.upper_nm, index.depth, k, guess)
    leaf = 0
    while leaf < leaves:
        stop = max(leaf + 1, int(np.searchsorted(starts, starts[leaf] + batch, side="right")) - 1)
        queries = positions[starts[leaf] : starts[stop]]
        if len(queries):
            yield _settle(index, k, queries, starts[leaf : stop + 1] - starts[leaf], guess[leaf:stop])
        leaf = stop


class _Settled(NamedTuple):
    """Results by slot, as far as they are known; those not certified hold a bound in `window_nm`."""

    distances_nm: np.ndarray
    window_nm: np.ndarray
    nearest_nm: np.ndarray
    certified: np.ndarray


def _settle(index: BlockIndex, k: int, queries: np.ndarray, starts: np.ndarray, radius_nm: np.ndarray) -> Neighbors:
    """Ask groups of queries, then those not yet certified one by one with a radius that settles them."""
    m = len(queries)
    into = _Settled(np.empty((m, k), np.float32), np.full(m, np.inf), np.empty(m), np.zeros(m, dtype=bool))
    # far from the origin a coordinate minus a small radius may round to the coordinate itself
    slack = 4 * np.spacing(np.abs(index.points_nm).max())
    slots = np.arange(m)
    while len(slots):
        _ask_groups(index, k, queries[slots], starts, radius_nm, slots, into)
        failed = ~into.certified[slots]
        grown = 2 * np.repeat(radius_nm, np.diff(starts))[failed] + np.finfo(float).tiny
        slots = slots[failed]
        bound = into.window_nm[slots]
        radius_nm = np.where(np.isfinite(bound), bound * (1 + 1e-9) + slack, grown)
        starts = np.arange(len(slots) + 1)
    return Neighbors(index.order[queries], into.distances_nm, into.window_nm, into.nearest_nm)


def _ask_groups(
    index: BlockIndex,
    k: int,
    queries: np.ndarray,
    starts: np.ndarray,
    radius_nm: np.ndarray,
    slots: np.ndarray,
    into: _Settled,
) -> None:
    """Distances of every group to its block of candidates, sorted by numpy; results go to each query's slot."""
    tree = (index.points_nm, index.lower_nm, index.upper_nm, index.depth)
    buffer = np.empty(_ROW_BUFFER, np.float32)
    found = np.empty(_ROW_BUFFER, np.int64)
    groups = len(starts) - 1
    counts = np.zeros(groups, np.int64)
    offsets = np.zeros(groups, np.int64)
    done = 0
    while done < groups:
        stop, needed = _fill(*tree, queries, starts, radius_nm, done, buffer, found, counts, offsets)
        if stop == done:
            buffer = np.empty(max(needed, 2 * len(buffer)), np.float32)
            found = np.empty(max(index.n, len(found)), np.int64)
            continue
        sizes = np.diff(starts[done : stop + 1]) * counts[done:stop]
        ends = np.cumsum(sizes)
        ascending = buffer[: ends[-1]].copy()
        for count, size, end in zip(counts[done:stop].tolist(), sizes.tolist(), ends.tolist(), strict=True):
            if size:
                ascending[end - size : end].reshape(-1, count).sort(axis=1)
        asked = (queries, starts, radius_nm, slots, done, stop, k)
        _collect(index.points_nm, *asked, buffer, ascending, found, counts, offsets, *into)
        done = stop


@njit(cache=True, nogil=True)
def _guess_radius(points, lower, upper, depth, k, guess):  # type: ignore[no-untyped-def]
    """A radius for each leaf from the density of its smallest ancestor that holds at least 2k localizations."""
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


@njit(cache=True, nogil=True)
def _gather(points, lower, upper, depth, low, high, found):  # type: ignore[no-untyped-def]
    """Positions of the localizations in the closed box low..high: as many as `found` holds, and how many there are."""
    axes, n = points.shape
    stack = np.empty(depth + 2, np.int64)
    stack[0] = 0
    top, m = 1, 0
    first_leaf = (1 << depth) - 1
    while top > 0:
        top -= 1
        node = stack[top]
        apart = False
        for a in range(axes):
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
            for a in range(axes):
                if points[a, i] < low[a] or points[a, i] > high[a]:
                    inside = False
            if inside:
                if m < len(found):
                    found[m] = i
                m += 1
    return m


@njit(cache=True, nogil=True)
def _distances_to(point, candidates, out):  # type: ignore[no-untyped-def]
    if len(point) == 2:
        x, y = point[0], point[1]
        cx, cy = candidates[0], candidates[1]
        for j in range(len(out)):
            out[j] = np.float32(np.sqrt((cx[j] - x) ** 2 + (cy[j] - y) ** 2))
    else:
        x, y, z = point[0], point[1], point[2]
        cx, cy, cz = candidates[0], candidates[1], candidates[2]
        for j in range(len(out)):
            out[j] = np.float32(np.sqrt(((cx[j] - x) ** 2 + (cy[j] - y) ** 2) + (cz[j] - z) ** 2))


@njit(cache=True, nogil=True)
def _fill(points, lower, upper, depth, queries, starts, radius, done, buffer, found, counts, offsets):  # type: ignore[no-untyped-def]
    """Distances of the queries of groups `done`.. to their candidates, until the buffers are full.

    Returns the first group not filled, and the buffer that group would need.
    """
    axes = points.shape[0]
    low, high = np.empty(axes), np.empty(axes)
    used, used_candidates = 0, 0
    near = np.empty((axes, 0))
    for g in range(done, len(starts) - 1):
        s, e = starts[g], starts[g + 1]
        counts[g], offsets[g] = 0, used_candidates
        if e == s:
            continue
        for a in range(axes):
            low[a], high[a] = np.inf, -np.inf
            for i in range(s, e):
                low[a] = min(low[a], points[a, queries[i]] - radius[g])
                high[a] = max(high[a], points[a, queries[i]] + radius[g])
        m = _gather(points, lower, upper, depth, low, high, found[used_candidates:])
        if used_candidates + m > len(found) or used + (e - s) * m > len(buffer):
            return g, (e - s) * m
        if near.shape[1] < m:
            near = np.empty((axes, 2 * m))
        for j in range(m):
            for a in range(axes):
                near[a, j] = points[a, found[used_candidates + j]]
        for i in range(s, e):
            out = buffer[used : used + m]
            _distances_to(points[:, queries[i]], near, out)
            for j in range(m):
                if found[used_candidates + j] == queries[i]:
                    out[j] = np.inf
                    break
            used += m
        counts[g] = m
        used_candidates += m
    return len(starts) - 1, 0


@njit(cache=True, nogil=True)
def _distance(points, i, j):  # type: ignore[no-untyped-def]
    d2 = 0.0
    for a in range(points.shape[0]):
        d2 += (points[a, i] - points[a, j]) ** 2
    return np.sqrt(d2)


@njit(cache=True, nogil=True)
def _exact(points, query, candidates, row, rounded, skip):  # type: ignore[no-untyped-def]
    """The float64 distance that stands at place `skip` among those of `row` that round to `rounded`, ascending."""
    ties, last = 0, 0
    for j in range(len(row)):  # free of branches, so that it fills vector lanes
        tied = row[j] == rounded
        ties += tied
        last = max(last, j * tied)
    if ties == 1:
        return _distance(points, query, candidates[last])
    exact = np.empty(ties)
    ties = 0
    for j in range(len(row)):
        if row[j] == rounded:
            exact[ties] = _distance(points, query, candidates[j])
            ties += 1
    return np.sort(exact)[skip]


@njit(cache=True, nogil=True)
def _collect(  # type: ignore[no-untyped-def]
    points,
    queries,
    starts,
    radius,
    slots,
    done,
    stop,
    k,
    buffer,
    ascending,
    found,
    counts,
    offsets,
    distances,
    window,
    nearest,
    certified,
):
    """Take the first k of each sorted row, find the float64 first and k-th distance, and certify (DESIGN law 3)."""
    axes = points.shape[0]
    used = 0
    for g in range(done, stop):
        m = counts[g]
        candidates = found[offsets[g] : offsets[g] + m]
        low, high = np.full(axes, np.inf), np.full(axes, -np.inf)
        for i in range(starts[g], starts[g + 1]):
            for a in range(axes):
                low[a] = min(low[a], points[a, queries[i]] - radius[g])
                high[a] = max(high[a], points[a, queries[i]] + radius[g])
        for i in range(starts[g], starts[g + 1]):
            unsorted, row = buffer[used : used + m], ascending[used : used + m]
            used += m
            if m <= k:
                continue
            slot, q = slots[i], queries[i]
            before = k - 1
            while before > 0 and row[before - 1] == row[k - 1]:
                before -= 1
            window[slot] = _exact(points, q, candidates, unsorted, row[k - 1], k - 1 - before)
            clearance = np.inf
            for a in range(axes):
                clearance = min(clearance, points[a, q] - low[a], high[a] - points[a, q])
            if window[slot] <= clearance:
                certified[slot] = True
                nearest[slot] = _exact(points, q, candidates, unsorted, row[0], 0)
                distances[slot] = row[:k]
