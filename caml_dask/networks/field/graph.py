"""What the field network sees of a localization: distances to its neighbors, some of them by name, and its region.

All lengths are relative to the region's: the median distance to the 10th neighbor. A region is known by histograms of
its localizations' distances, which add up exactly in any order, so that no tiling changes them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from caml_dask.compiled import njit
from caml_dask.spatial.ranked import ranked_neighbors

WIDTH = 48
"""Numbers that stand for a localization between rounds of messages."""
ROUNDS = 4
CHANNELS = 4
"""Vectors that stand for it beside them."""
NEIGHBORS = 100
RANKS = np.array([1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64, 100])
"""Neighbors whose distance a localization starts from."""
EDGE_RANKS = np.array([1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 24, 32, 43, 58, 77, 100])
"""Neighbors with which it exchanges messages: near ones, and far ones that give reach without cost."""
NEAR_EDGES = 8
"""Edges of the near group; messages are averaged apart in the near and in the far group."""
REGION_RANKS = np.array([1, 3, 5, 10, 20, 50, 100])
REGION_STEPS = np.array([[2, 10], [5, 30], [10, 50], [30, 100]])
"""Pairs of ranks: how distances grow from the one to the other tells clusters from re-blinks and from chance."""
QUANTILES = np.array([0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98])
BINS = 256
PER_OCTAVE = 8
BIN_OFFSET = 64
UNIT_RANK = 3
"""Place in REGION_RANKS of the distance whose median is the unit of length."""
REGION_INPUTS = (len(REGION_RANKS) + len(REGION_STEPS)) * len(QUANTILES) + 1
NODE_INPUTS = len(RANKS) + 2
EDGE_INPUTS = 2
MOST_COUNTED = 8_192.0
_FARTHEST = 6.0  # bound of a log distance


@dataclass(frozen=True, eq=False)
class Graph:
    """A field as the network sees it.

    Attributes
    ----------
    nodes : (n, NODE_INPUTS) float32
        Log distances at RANKS, whether precision is known, its log.
    neighbors : (n, E) int32
        Row of the neighbor of each edge; its own row where there is none.
    present : (n, E) float32
        1 for an edge, 0 where the field has too few localizations for it.
    edges : (n, E, EDGE_INPUTS) float32
        Of each edge: log length; length relative to what is usual at its ends.
    directions : (n, E, d) float32
        Unit vectors to the neighbor.
    region : (REGION_INPUTS,) float32
        Quantiles of the region's log distances and steps, and the log of its number of localizations.
    unit_nm : float
        The region's unit of length.
    """

    nodes: NDArray[np.float32]
    neighbors: NDArray[np.int32]
    present: NDArray[np.float32]
    edges: NDArray[np.float32]
    directions: NDArray[np.float32]
    region: NDArray[np.float32]
    unit_nm: float


def build_graph(points_nm: NDArray[np.float64], uncertainty_nm: NDArray[np.float64] | None = None) -> Graph:
    """Make the graph of a field that is one region.

    Parameters
    ----------
    points_nm : (n, d) float64
        Coordinates in nm.
    uncertainty_nm : (n,) float64 or None
        Localization precision in nm, where it is known.

    Returns
    -------
    Graph
        The graph.
    """
    k = min(NEIGHBORS, len(points_nm) - 1)
    rows, distances = ranked_neighbors(points_nm, k)
    histogram = region_histogram(distances)
    region, unit = region_inputs(histogram, len(points_nm))
    log_distance = np.log(np.maximum(distances / np.float32(unit), np.float32(1e-3))).clip(-_FARTHEST, _FARTHEST)
    nodes = np.zeros((len(points_nm), NODE_INPUTS), np.float32)
    nodes[:, : len(RANKS)] = log_distance[:, np.minimum(RANKS, k) - 1]
    if uncertainty_nm is not None:
        nodes[:, -2] = 1
        nodes[:, -1] = np.log(np.maximum(uncertainty_nm / unit, 1e-3)).clip(-_FARTHEST, _FARTHEST)
    exists = k >= EDGE_RANKS
    at = np.minimum(EDGE_RANKS, k) - 1
    neighbors = np.where(exists, rows[:, at], np.arange(len(points_nm))[:, None]).astype(np.int32)
    present = np.broadcast_to(exists, neighbors.shape).astype(np.float32)
    scale = distances[:, min(8, k) - 1]
    length = distances[:, at]
    usual = scale[:, None] + scale[neighbors]
    edges = np.stack([log_distance[:, at], length / np.maximum(length + usual, 1e-9)], axis=-1) * present[..., None]
    gaps = (points_nm[neighbors] - points_nm[:, None]) / np.maximum(length, 1e-9)[..., None]
    return Graph(nodes, neighbors, present, edges.astype(np.float32), gaps.astype(np.float32), region, unit)


def region_histogram(distances_nm: NDArray[np.float32]) -> NDArray[np.int64]:
    """Count localizations by their neighbor distances.

    Parameters
    ----------
    distances_nm : (n, k) float32
        Ascending distances in nm; the last stands for those that are missing.

    Returns
    -------
    (REGION_RANKS + REGION_STEPS, BINS) int64
        Counts by distance at each rank, then by the growth from one rank to another, in eighths of an octave.
    """
    k = distances_nm.shape[1]
    counts = np.zeros((len(REGION_RANKS) + len(REGION_STEPS), BINS), np.int64)
    _count(distances_nm, np.minimum(REGION_RANKS, k) - 1, np.minimum(REGION_STEPS, k) - 1, counts)
    return counts


@njit()
def _count(distances, ranks, steps, counts):  # type: ignore[no-untyped-def]
    least = np.float32(2.0**-7.9)
    for i in range(distances.shape[0]):
        for r in range(len(ranks)):
            b = int(np.floor(PER_OCTAVE * np.log2(max(distances[i, ranks[r]], least)))) + BIN_OFFSET
            counts[r, min(max(b, 0), BINS - 1)] += 1
        for s in range(len(steps)):
            growth = max(distances[i, steps[s, 1]], least) / max(distances[i, steps[s, 0]], least)
            b = int(np.floor(PER_OCTAVE * np.log2(growth)))
            counts[len(ranks) + s, min(max(b, 0), BINS - 1)] += 1


def region_inputs(histogram: NDArray[np.int64], n: int) -> tuple[NDArray[np.float32], float]:
    """Input of a region, and its unit of length.

    Parameters
    ----------
    histogram : (REGION_RANKS + REGION_STEPS, BINS) int64
        Of :func:`region_histogram`, summed over the region.
    n : int
        Localizations of the region.

    Returns
    -------
    inputs : (REGION_INPUTS,) float32
        Log quantiles in the unit of length, log quantiles of the steps, log number of localizations.
    unit_nm : float
        Median distance to the 10th neighbor in nm.
    """
    below = np.concatenate([np.zeros((len(histogram), 1)), np.cumsum(histogram, axis=1)], axis=1)
    places = np.array([np.interp(QUANTILES * row[-1], row, np.arange(BINS + 1)) for row in below])
    log = places * (np.log(2.0) / PER_OCTAVE)
    ranks = len(REGION_RANKS)
    middle = log[UNIT_RANK, len(QUANTILES) // 2]
    unit = float(np.exp(middle - BIN_OFFSET * np.log(2.0) / PER_OCTAVE))
    inputs = np.concatenate([(log[:ranks] - middle).ravel(), log[ranks:].ravel(), [np.log(min(n, MOST_COUNTED) / 1e3)]])
    return inputs.clip(-_FARTHEST, _FARTHEST).astype(np.float32), unit
