"""The k nearest neighbors themselves, in an order that no tiling and no order of rows changes.

As :mod:`caml_dask.spatial.neighbors`, whose distances these are to the bit; there the neighbors' rows are not needed.
"""

from __future__ import annotations

import numpy as np

from caml_dask.compiled import njit
from caml_dask.errors import TooFewLocalizations
from caml_dask.spatial.blocks import BlockIndex
from caml_dask.spatial.candidates import gather, guess_radius
from caml_dask.spatial.copies import copy_numbers

_NOTHING = np.uint64(0xFFFFFFFFFFFFFFFF)
_SHORTER = 1 - 1e-6  # than a radius by more than float32 rounds: what ties with a distance below this lies within it


def ranked_neighbors(
    points_nm: np.ndarray,
    k: int,
    rows: np.ndarray | None = None,
    *,
    ranks: np.ndarray | None = None,
    also: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest neighbors of localizations, and their distances.

    Parameters
    ----------
    points_nm : (n, d) float64
        Finite coordinates in nm, d of 2 or 3, n > k.
    k : int
        Neighbors a localization.
    rows : (m,) int64 or None
        Whose neighbors are wanted; None for all.
    ranks : (r,) int64 or None
        Which of the k, counted from 1; None for all.
    also : (n,) float64 or None
        What tells localizations at one and the same place apart, such as their precision.

    Returns
    -------
    neighbors : (m, r) int32
        Rows of the neighbors, self excluded: nearest first; of equal float32 distances that with the lower coordinates,
        x before y before z, then the lower `also`.
    distances_nm : (m, r) float32
        Their distances in nm.

    Raises
    ------
    TooFewLocalizations
        There are fewer than k + 1 localizations.
    """
    n = len(points_nm)
    if n <= k:
        raise TooFewLocalizations(f"{k} neighbors need {k + 1} localizations; there are {n}")
    by_standing = np.lexsort(([] if also is None else [also]) + list(points_nm.T[::-1]))
    wanted = np.arange(n) if rows is None else np.asarray(rows, dtype=np.int64)
    columns = np.arange(k) if ranks is None else np.asarray(ranks, dtype=np.int64) - 1
    number = copy_numbers(points_nm, by_standing)
    if number.max() <= k:
        return _ranked(points_nm, k, wanted, columns, by_standing)
    first, copy = np.empty((2, n), np.int64)
    first[by_standing], copy[by_standing] = np.arange(n) - number, number
    kept = np.flatnonzero(copy <= k)
    row_kept = np.cumsum(copy <= k) - 1
    usual = copy[wanted] <= k
    shape = len(wanted), len(columns)
    neighbors, distances = np.empty(shape, np.int32), np.zeros(shape, np.float32)
    some, distances[usual] = _ranked(
        points_nm[kept], k, row_kept[wanted[usual]], columns, row_kept[by_standing[number <= k]]
    )
    neighbors[usual] = kept[some]
    neighbors[~usual] = by_standing[first[wanted[~usual], None] + columns]
    return neighbors, distances


def _ranked(
    points_nm: np.ndarray, k: int, wanted: np.ndarray, columns: np.ndarray, by_standing: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Neighbors and distances where few localizations share a place.

    columns : (r,) int64, which of the k, from 0
    by_standing : (n,) int64, rows in the order that decides between equal distances
    """
    index = BlockIndex.build(points_nm)
    standing = np.empty(index.n, np.int32)
    standing[by_standing] = np.arange(index.n, dtype=np.int32)
    place = np.full(index.n, -1)
    place[wanted] = np.arange(len(wanted))
    place = place[index.order]  # where the answer on a position of the tree goes
    leaves = 1 << index.depth
    radius = np.empty(leaves)
    guess_radius(index.points_nm, index.lower_nm, index.upper_nm, index.depth, k, radius)
    shape = len(wanted), len(columns)
    neighbors, distances = np.empty(shape, np.int32), np.empty(shape, np.float32)
    found = np.empty(index.n, np.int64)
    tree = tuple(index.points_nm), standing[index.order], index.lower_nm, index.upper_nm, index.depth
    for leaf in range(leaves):
        first, last = index.n * leaf >> index.depth, index.n * (leaf + 1) >> index.depth
        queries = first + np.flatnonzero(place[first:last] >= 0)
        reach = radius[leaf]
        while len(queries):
            keys, counts = ranked_keys(*tree, queries, reach, found)
            keys[:, : counts.max()].sort(axis=1)
            settled = counts >= k
            _unpack(keys, settled, place[queries], columns, by_standing, neighbors, distances)
            queries = queries[~settled]
            reach = 2 * reach + np.finfo(float).tiny
    return neighbors, distances


@njit()
def ranked_keys(points, standing, lower, upper, depth, queries, radius, found):  # type: ignore[no-untyped-def]
    """For each query a row of keys of what lies well within the radius, (q, w) uint64, and how many: (q,) int64.

    A key's high half are the bits of the float32 distance, which ascend with it; the low half is the standing. Rows are
    filled up to the longest of them.
    """
    axes = len(points)
    low, high = np.full(axes, np.inf), np.full(axes, -np.inf)
    for a in range(axes):
        for q in queries:
            low[a] = min(low[a], points[a][q] - radius)
            high[a] = max(high[a], points[a][q] + radius)
    m = gather(points, lower, upper, depth, low, high, found)
    within = np.float32(radius * _SHORTER) if m < len(points[0]) else np.float32(np.inf)
    near = np.empty((axes, m))
    ranks = np.empty(m, np.uint64)
    for j in range(m):
        ranks[j] = np.uint64(standing[found[j]])
        for a in range(axes):
            near[a, j] = points[a][found[j]]
    keys = np.empty((len(queries), m + 1), np.uint64)
    counts = np.zeros(len(queries), np.int64)
    distance = np.empty(m, np.float32)
    bits = distance.view(np.uint32)
    for i in range(len(queries)):
        x, y = points[0][queries[i]], points[1][queries[i]]
        if axes == 2:
            for j in range(m):
                distance[j] = np.float32(np.sqrt((near[0, j] - x) ** 2 + (near[1, j] - y) ** 2))
        else:
            z = points[axes - 1][queries[i]]
            for j in range(m):
                d2 = (near[0, j] - x) ** 2 + (near[1, j] - y) ** 2
                distance[j] = np.float32(np.sqrt(d2 + (near[axes - 1, j] - z) ** 2))
        own, count = np.uint64(standing[queries[i]]), 0
        for j in range(m):  # written over unless it counts
            keys[i, count] = (np.uint64(bits[j]) << np.uint64(32)) | ranks[j]
            count += (distance[j] <= within) & (ranks[j] != own)
        counts[i] = count
    widest = counts.max()
    for i in range(len(queries)):
        keys[i, counts[i] : widest] = _NOTHING
    return keys, counts


@njit()
def _unpack(keys, settled, into, columns, by_standing, neighbors, distances):  # type: ignore[no-untyped-def]
    """Split columns of the sorted keys of settled queries into neighbors and distances, at the rows `into`, (q,)."""
    bits = np.empty(1, np.uint32)
    single = bits.view(np.float32)
    for i in range(keys.shape[0]):
        if settled[i]:
            for j in range(len(columns)):
                key = keys[i, columns[j]]
                bits[0] = np.uint32(key >> np.uint64(32))
                distances[into[i], j] = single[0]
                neighbors[into[i], j] = by_standing[key & np.uint64(0xFFFFFFFF)]
