"""The k nearest neighbors themselves, in an order that no tiling changes: by distance, then by row.

As :mod:`caml_dask.spatial.neighbors`, whose distances these are to the bit; there the neighbors' rows are not needed.
"""

from __future__ import annotations

import numpy as np

from caml_dask.compiled import njit
from caml_dask.errors import TooFewLocalizations
from caml_dask.spatial.blocks import BlockIndex
from caml_dask.spatial.candidates import gather, guess_radius

_NOTHING = np.uint64(0xFFFFFFFFFFFFFFFF)


def ranked_neighbors(points_nm: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the k nearest neighbors of every localization, and their distances.

    Parameters
    ----------
    points_nm : (n, d) float64
        Finite coordinates in nm, d of 2 or 3, n > k.
    k : int
        Neighbors a localization.

    Returns
    -------
    rows : (n, k) int32
        Rows of the neighbors, self excluded: nearest first, of equal float32 distances the lower row first.
    distances_nm : (n, k) float32
        Their distances in nm.

    Raises
    ------
    TooFewLocalizations
        There are fewer than k + 1 localizations.
    """
    index = BlockIndex.build(points_nm)
    if index.n <= k:
        raise TooFewLocalizations(f"{k} neighbors need {k + 1} localizations; there are {index.n}")
    leaves = 1 << index.depth
    radius = np.empty(leaves)
    guess_radius(index.points_nm, index.lower_nm, index.upper_nm, index.depth, k, radius)
    rows, distances = np.empty((index.n, k), np.int32), np.empty((index.n, k), np.float32)
    found = np.empty(index.n, np.int64)
    tree = tuple(index.points_nm), index.order, index.lower_nm, index.upper_nm, index.depth
    for leaf in range(leaves):
        queries = np.arange(index.n * leaf >> index.depth, index.n * (leaf + 1) >> index.depth)
        reach = radius[leaf]
        while len(queries):
            keys, counts = _keys(*tree, queries, reach, found)
            keys.sort(axis=1)
            settled = counts >= k
            _unpack(keys[settled, :k], index.order[queries[settled]], rows, distances)
            queries = queries[~settled]
            reach = 2 * reach + np.finfo(float).tiny
    return rows, distances


@njit()
def _keys(points, order, lower, upper, depth, queries, radius, found):  # type: ignore[no-untyped-def]
    """For each query a row of keys of what lies within the radius, (q, w) uint64, and how many: (q,) int64.

    A key's high half are the bits of the float32 distance, which ascend with it; the low half is the neighbor's row.
    """
    axes = len(points)
    low, high = np.full(axes, np.inf), np.full(axes, -np.inf)
    for a in range(axes):
        for q in queries:
            low[a] = min(low[a], points[a][q] - radius)
            high[a] = max(high[a], points[a][q] + radius)
    m = gather(points, lower, upper, depth, low, high, found)
    within = (radius * (1 - 1e-12)) ** 2 if m < len(points[0]) else np.inf
    keys = np.full((len(queries), m), _NOTHING)
    counts = np.zeros(len(queries), np.int64)
    single = np.empty(1, np.float32)
    bits = single.view(np.uint32)
    for i in range(len(queries)):
        q = queries[i]
        for j in range(m):
            other = found[j]
            d2 = (points[0][other] - points[0][q]) ** 2 + (points[1][other] - points[1][q]) ** 2
            if axes == 3:
                d2 = d2 + (points[2][other] - points[2][q]) ** 2
            if other != q and d2 <= within:
                single[0] = np.float32(np.sqrt(d2))
                keys[i, counts[i]] = (np.uint64(bits[0]) << np.uint64(32)) | np.uint64(order[other])
                counts[i] += 1
    return keys, counts


@njit()
def _unpack(keys, into, rows, distances):  # type: ignore[no-untyped-def]
    """Split sorted keys, (q, k), into rows and distances, at the rows `into`, (q,)."""
    bits = np.empty(1, np.uint32)
    single = bits.view(np.float32)
    for i in range(keys.shape[0]):
        for j in range(keys.shape[1]):
            bits[0] = np.uint32(keys[i, j] >> np.uint64(32))
            distances[into[i], j] = single[0]
            rows[into[i], j] = np.int32(keys[i, j] & np.uint64(0xFFFFFFFF))
