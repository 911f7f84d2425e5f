"""Graphs of localizations nearer than a distance, walked block by block so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MOST_PAIRS = 4_000_000
"""Pairs that are held at a time, unless one localization alone has more: about 100 MB."""


def counts_within(tree: Any, xy: FloatArray, radius_nm: float) -> IntArray:
    """Count the localizations of a tree within a radius of each localization, itself left out.

    Parameters
    ----------
    tree : scipy.spatial.cKDTree
        Tree that holds the localizations.
    xy : (n, 2) float64
        Coordinates in nm.
    radius_nm : float
        Radius in nm, closed.

    Returns
    -------
    (n,) int64
        Counts.
    """
    found = tree.query_ball_point(xy, radius_nm, return_length=True)
    return np.asarray(found, dtype=np.int64) - 1


def pairs_within(xy: FloatArray, radius_nm: float) -> Iterator[tuple[IntArray, IntArray, FloatArray]]:
    """All pairs of localizations within a radius, each once, in blocks.

    Parameters
    ----------
    xy : (n, 2) float64
        Coordinates in nm.
    radius_nm : float
        Radius in nm, closed.

    Yields
    ------
    i, j : (m,) int64
        Indices of the pairs of a block, i < j.
    distance : (m,) float64
        Their distances in nm.
    """
    from scipy.spatial import cKDTree

    if len(xy) < 2:
        return
    tree = cKDTree(xy)
    # Neighbors in the tree stand near each other in its order, which keeps a block's own tree compact.
    order = np.asarray(tree.indices, dtype=np.int64)
    for start, stop in _blocks(counts_within(tree, xy, radius_nm)[order] + 1):
        block = order[start:stop]
        found = cKDTree(xy[block]).sparse_distance_matrix(tree, radius_nm, output_type="ndarray")
        i, j = block[found["i"]], found["j"].astype(np.int64)
        once = i < j
        yield i[once], j[once], found["v"][once]


def _blocks(cost: IntArray) -> Iterator[tuple[int, int]]:
    """Ends of consecutive runs that cost at most MOST_PAIRS each, or hold one item."""
    total = np.cumsum(cost)
    start = 0
    while start < len(cost):
        spent = total[start - 1] if start else 0
        stop = max(int(np.searchsorted(total, spent + MOST_PAIRS, side="right")), start + 1)
        yield start, stop
        start = stop


def merge(component: IntArray, i: IntArray, j: IntArray) -> IntArray:
    """Components after edges are added.

    Parameters
    ----------
    component : (n,) int64
        Component of each localization, from 0.
    i, j : (m,) int64
        Localizations at the ends of the edges.

    Returns
    -------
    (n,) int64
        Components, numbered from 0.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = int(component.max()) + 1
    a, b = component[i], component[j]
    edges = coo_array((np.ones(len(a), dtype=bool), (a, b)), shape=(n, n))
    return connected_components(edges, directed=False)[1].astype(np.int64)[component]


def components_within(xy: FloatArray, radius_nm: float) -> IntArray:
    """Components of the graph of localizations within a radius of one another.

    Parameters
    ----------
    xy : (n, 2) float64
        Coordinates in nm.
    radius_nm : float
        Radius in nm, closed.

    Returns
    -------
    (n,) int64
        Components, numbered from 0.
    """
    component = np.arange(len(xy))
    for i, j, _ in pairs_within(xy, radius_nm):
        component = merge(component, i, j)
    return component


def knn_distance_nm(xy: FloatArray, k: int) -> FloatArray:
    """Distance of each localization to its k-th neighbor, itself left out.

    Parameters
    ----------
    xy : (n, 2) float64
        Coordinates in nm.
    k : int
        Which neighbor, from 1.

    Returns
    -------
    (n,) float64
        Distances in nm.
    """
    from scipy.spatial import cKDTree

    tree = cKDTree(xy)
    rows = max(MOST_PAIRS // (k + 1), 1)
    parts: list[npt.NDArray[np.float64]] = [
        tree.query(xy[start : start + rows], [k + 1])[0][:, 0] for start in range(0, len(xy), rows)
    ]
    return np.concatenate(parts)
