"""ToMATo: clusters are the peaks of a density that persist, with their slopes.

References
----------
Chazal, Guibas, Oudot and Skraba, Journal of the ACM 60 (2013), 41. Pike et al., Bioinformatics 36 (2020), 1614: on
localizations, with a graph of fixed radius.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from caml_dask.baselines.checks import FloatArray, IntArray, at_least, checked, numbered, positive
from caml_dask.baselines.graph import knn_distance_nm, pairs_within

LEAST_NM = 1e-3
"""Distances to the k-th neighbor are taken as at least this, so that duplicates have a finite density."""


@dataclass(frozen=True)
class ToMATo:
    """Settings of ToMATo.

    Parameters
    ----------
    k : int
        The density at a localization is k over the area of the disc that reaches its k-th neighbor.
    link_nm : float
        Localizations within this distance in nm are neighbors in the graph.
    persistence_per_um2 : float
        A peak that rises above the saddle to a higher peak by less than this is merged into it; a peak lower than
        this is noise with its slopes. In localizations per um2.
    min_density_per_um2 : float
        Localizations of a lower density are noise from the start.
    min_points : int
        Localizations of the smallest cluster.

    Raises
    ------
    UsageError
        A value is out of its range.
    """

    k: int = 10
    link_nm: float = 50.0
    persistence_per_um2: float = 1_000.0
    min_density_per_um2: float = 0.0
    min_points: int = 3

    def __post_init__(self) -> None:
        positive(link_nm=self.link_nm)
        at_least(1, k=self.k, min_points=self.min_points)
        at_least(0, persistence_per_um2=self.persistence_per_um2, min_density_per_um2=self.min_density_per_um2)


def tomato(xy_nm: npt.ArrayLike, settings: ToMATo) -> IntArray:
    """Label localizations by the persistent peaks of their density.

    Parameters
    ----------
    xy_nm : (n, 2) array_like of float
        Coordinates in nm.
    settings : ToMATo
        Density, graph and persistence.

    Returns
    -------
    (n,) int64
        Clusters from 0 in the order of their first localizations, -1 for noise.

    Raises
    ------
    InputError
        The input is not (n, 2) finite coordinates, or holds k localizations or fewer.
    """
    xy = checked(xy_nm, "ToMATo", settings.k + 1)
    density = knn_density_per_um2(xy, settings.k)
    kept = np.flatnonzero(density >= settings.min_density_per_um2)
    cluster = np.full(len(xy), -1, dtype=np.int64)
    cluster[kept] = persistent(xy[kept], density[kept], settings.link_nm, settings.persistence_per_um2)
    return numbered(cluster, settings.min_points)


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
