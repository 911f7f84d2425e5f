"""Peaks of a density that persist, with their slopes: what ToMATo calls clusters.

References
----------
Chazal, Guibas, Oudot and Skraba, Journal of the ACM 60 (2013), 41. Pike et al., Bioinformatics 36 (2020), 1614: on
localizations, with a graph of fixed radius.
"""

from __future__ import annotations

import math

import numpy as np

from caml_dask.spatial.graph import FloatArray, IntArray, knn_distance_nm, pairs_within

LEAST_NM = 1e-3
"""Distances to the k-th neighbor are taken as at least this, so that duplicates have a finite density."""


def knn_density_per_um2(xy: FloatArray, k: int) -> FloatArray:
    """Density of each localization: k over the area of the disc that reaches its k-th neighbor.

    Parameters
    ----------
    xy : (n, 2) float64
        Coordinates in nm.
    k : int
        Which neighbor, from 1.

    Returns
    -------
    (n,) float64
        Localizations per um2.
    """
    return k / (math.pi * (np.maximum(knn_distance_nm(xy, k), LEAST_NM) / 1e3) ** 2)


def persistent(xy: FloatArray, density: FloatArray, link_nm: float, persistence: float) -> IntArray:
    """The peak that each localization belongs to.

    Localizations are compared by (density, index), so that no two are level.

    Parameters
    ----------
    xy : (n, 2) float64
        Coordinates in nm.
    density : (n,) float64
        Density at each localization.
    link_nm : float
        Localizations within this distance in nm are neighbors.
    persistence : float
        Least height of a peak above the saddle to a higher one, in the unit of `density`.

    Returns
    -------
    (n,) int64
        Index of the peak; -1 where it does not persist.
    """
    rank = np.empty(len(xy), dtype=np.int64)
    rank[np.lexsort((np.arange(len(xy)), -density))] = np.arange(len(xy))
    peak = _climb(xy, rank, link_nm)
    top = _merged(_saddles(xy, rank, peak, link_nm), density, rank, persistence)[peak]
    return np.where(density[top] >= persistence, top, -1)


def _climb(xy: FloatArray, rank: IntArray, link_nm: float) -> IntArray:
    """The peak that each localization comes to, going to its highest neighbor again and again: (n,) indices."""
    best = rank.copy()
    for i, j, _ in pairs_within(xy, link_nm):
        np.minimum.at(best, i, rank[j])
        np.minimum.at(best, j, rank[i])
    of_rank = np.empty_like(rank)
    of_rank[rank] = np.arange(len(rank))
    up = of_rank[best]
    while not np.array_equal(up, up[up]):
        up = up[up]
    return up


def _saddles(xy: FloatArray, rank: IntArray, peak: IntArray, link_nm: float) -> tuple[IntArray, IntArray, IntArray]:
    """Peaks whose slopes touch, (m,) and (m,), and the rank of the highest pass between them, highest passes first."""
    lower, upper, passes = (np.empty(0, dtype=np.int64) for _ in range(3))
    for i, j, _ in pairs_within(xy, link_nm):
        a, b = peak[i], peak[j]
        apart = a != b
        lower = np.concatenate([lower, np.maximum(a, b)[apart]])
        upper = np.concatenate([upper, np.minimum(a, b)[apart]])
        passes = np.concatenate([passes, np.maximum(rank[i], rank[j])[apart]])
        # Of all passes between two peaks only the highest can merge them.
        order = np.lexsort((passes, upper, lower))
        lower, upper, passes = lower[order], upper[order], passes[order]
        first = np.ones(len(lower), dtype=bool)
        first[1:] = (lower[1:] != lower[:-1]) | (upper[1:] != upper[:-1])
        lower, upper, passes = lower[first], upper[first], passes[first]
    order = np.argsort(passes, kind="stable")
    return lower[order], upper[order], passes[order]


def _merged(
    saddles: tuple[IntArray, IntArray, IntArray], density: FloatArray, rank: IntArray, persistence: float
) -> IntArray:
    """The peak that each peak ends in: (n,) indices, of which those of peaks matter."""
    root = list(range(len(rank)))

    def find(a: int) -> int:
        while root[a] != a:
            root[a] = root[root[a]]
            a = root[a]
        return a

    of_rank = np.empty_like(rank)
    of_rank[rank] = np.arange(len(rank))
    heights = density.tolist()
    for a, b, saddle in zip(saddles[0].tolist(), saddles[1].tolist(), density[of_rank[saddles[2]]].tolist()):
        a, b = find(a), find(b)
        if a == b:
            continue
        if rank[a] < rank[b]:
            a, b = b, a
        if heights[a] - saddle < persistence:
            root[a] = b
    return np.array([find(a) for a in range(len(root))], dtype=np.int64)
