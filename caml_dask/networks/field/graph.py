"""What the field network sees of a localization: distances to its neighbors, some of them by name, and its region.

All lengths are relative to the region's: the median distance to the 10th neighbor. A region is known by histograms of
its localizations' distances, which add up exactly in any order, so that no tiling changes them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

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


USED_RANKS = np.unique(np.concatenate([RANKS, EDGE_RANKS, REGION_RANKS, REGION_STEPS.ravel()]))
"""Neighbors of which the distance is kept."""
_RANKS_AT, EDGES_AT = np.searchsorted(USED_RANKS, RANKS), np.searchsorted(USED_RANKS, EDGE_RANKS)
_REGION_AT, _STEPS_AT = np.searchsorted(USED_RANKS, REGION_RANKS), np.searchsorted(USED_RANKS, REGION_STEPS)
SCALE_AT = int(np.searchsorted(USED_RANKS, 8))
"""Place in USED_RANKS of the distance that is usual around a localization."""


@dataclass(frozen=True, eq=False)
class Graph:
    """Localizations as the network sees them.

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
        Localization precision in nm, where it is known; 0 or NaN where it is not.

    Returns
    -------
    Graph
        The graph.
    """
    n = len(points_nm)
    k = min(NEIGHBORS, n - 1)
    rows, distances = ranked_neighbors(points_nm, k, ranks=np.minimum(USED_RANKS, k), also=uncertainty_nm)
    region, unit = region_inputs(region_histogram(distances), n)
    neighbors, present = edges_of(rows[:, EDGES_AT], k)
    directions = directions_to(points_nm, points_nm, neighbors)
    precision = np.zeros(n) if uncertainty_nm is None else uncertainty_nm
    nodes, edges = inputs(distances, distances[:, SCALE_AT], precision, neighbors, present, np.full(n, unit))
    return Graph(nodes, neighbors, present, edges, directions, region, unit)


def edges_of(neighbors: NDArray[np.integer[Any]], k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The neighbors and `present` of a Graph from the neighbors at EDGE_RANKS, (n, E), of k that there are."""
    exists = k >= EDGE_RANKS
    own = np.arange(len(neighbors))[:, None]
    present = np.tile(exists.astype(np.float32), (len(neighbors), 1))
    return np.where(exists, neighbors, own).astype(np.int32), present


def directions_to(
    points_nm: NDArray[np.float64], ends_nm: NDArray[np.float64], neighbors: NDArray[np.int32]
) -> NDArray[np.float32]:
    """Unit vectors from each of the points to its neighbors.

    Parameters
    ----------
    points_nm : (n, d) float64
        Coordinates in nm.
    ends_nm : (m, d) float64
        Coordinates in nm of what `neighbors` counts.
    neighbors : (n, E) int32
        Rows of `ends_nm`.

    Returns
    -------
    (n, E, d) float32
        Unit vectors; zeros to what lies at the same place.
    """
    directions = np.empty((*neighbors.shape, points_nm.shape[1]), np.float32)
    _turn(np.ascontiguousarray(points_nm), np.ascontiguousarray(ends_nm), np.ascontiguousarray(neighbors), directions)
    return directions


@njit()
def _turn(points, ends, neighbors, directions):  # type: ignore[no-untyped-def]
    for i in range(neighbors.shape[0]):
        for e in range(neighbors.shape[1]):
            square = 0.0
            for x in range(points.shape[1]):
                square += (ends[neighbors[i, e], x] - points[i, x]) ** 2
            length = max(math.sqrt(square), 1e-9)
            for x in range(points.shape[1]):
                directions[i, e, x] = (ends[neighbors[i, e], x] - points[i, x]) / length


def inputs(
    distances_nm: NDArray[np.float32],
    scales_nm: NDArray[np.float32],
    uncertainty_nm: NDArray[np.float64],
    neighbors: NDArray[np.int32],
    present: NDArray[np.float32],
    unit_nm: NDArray[np.float64],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The nodes and edges of a Graph.

    Parameters
    ----------
    distances_nm : (n, U) float32
        Distances at USED_RANKS in nm, the last one for those that are missing.
    scales_nm : (m,) float32
        Distance at SCALE_AT of every localization that `neighbors` counts, the n first.
    uncertainty_nm : (n,) float64
        Localization precision in nm; 0 or NaN where it is not known.
    neighbors, present : (n, E) int32 and float32
        As in Graph.
    unit_nm : (n,) float64
        Unit of length of each localization's region in nm.

    Returns
    -------
    nodes : (n, NODE_INPUTS) float32
        As in Graph.
    edges : (n, E, EDGE_INPUTS) float32
        As in Graph.
    """
    nodes = np.zeros((len(neighbors), NODE_INPUTS), np.float32)
    edges = np.zeros((*neighbors.shape, EDGE_INPUTS), np.float32)
    seen = (distances_nm, scales_nm, uncertainty_nm, neighbors, present, unit_nm)
    # writable, though nothing is written: kernels are compiled anew for arrays that are not
    _fill(*(np.require(array, requirements=("C", "W")) for array in seen), _RANKS_AT, EDGES_AT, nodes, edges)
    return nodes, edges


@njit()
def _log(length, unit):  # type: ignore[no-untyped-def]
    return np.float32(min(max(math.log(max(length / unit, 1e-3)), -_FARTHEST), _FARTHEST))


@njit()
def _fill(distances, scales, uncertainty, neighbors, present, unit, ranks, edge_ranks, nodes, edges):  # type: ignore[no-untyped-def]
    for i in range(nodes.shape[0]):
        for r in range(len(ranks)):
            nodes[i, r] = _log(np.float64(distances[i, ranks[r]]), unit[i])
        if uncertainty[i] > 0:
            nodes[i, len(ranks)] = 1
            nodes[i, len(ranks) + 1] = _log(uncertainty[i], unit[i])
        for e in range(neighbors.shape[1]):
            if present[i, e] > 0:
                length = np.float64(distances[i, edge_ranks[e]])
                usual = np.float64(scales[i]) + np.float64(scales[neighbors[i, e]])
                edges[i, e, 0] = _log(length, unit[i])
                edges[i, e, 1] = length / max(length + usual, 1e-9)


def region_histogram(distances_nm: NDArray[np.float32]) -> NDArray[np.int64]:
    """Count localizations by their neighbor distances.

    Parameters
    ----------
    distances_nm : (n, U) float32
        Distances at USED_RANKS in nm; the last stands for those that are missing.

    Returns
    -------
    (REGION_RANKS + REGION_STEPS, BINS) int64
        Counts by distance at each rank, then by the growth from one rank to another, in eighths of an octave.
    """
    return region_histograms(distances_nm, np.zeros(len(distances_nm), np.int64), 1)[0]


def region_histograms(distances_nm: NDArray[np.float32], region: NDArray[np.int64], regions: int) -> NDArray[np.int64]:
    """As :func:`region_histogram`, of each region apart.

    Parameters
    ----------
    distances_nm : (n, U) float32
        Distances at USED_RANKS in nm.
    region : (n,) int64
        Region of each localization, from 0.
    regions : int
        How many there are.

    Returns
    -------
    (regions, REGION_RANKS + REGION_STEPS, BINS) int64
        Counts.
    """
    counts = np.zeros((regions, len(REGION_RANKS) + len(REGION_STEPS), BINS), np.int64)
    _count(distances_nm, region, _REGION_AT, _STEPS_AT, counts)
    return counts


@njit()
def _count(distances, region, ranks, steps, counts):  # type: ignore[no-untyped-def]
    least = np.float32(2.0**-7.9)
    for i in range(distances.shape[0]):
        mine = counts[region[i]]
        for r in range(len(ranks)):
            b = int(np.floor(PER_OCTAVE * np.log2(max(distances[i, ranks[r]], least)))) + BIN_OFFSET
            mine[r, min(max(b, 0), BINS - 1)] += 1
        for s in range(len(steps)):
            growth = max(distances[i, steps[s, 1]], least) / max(distances[i, steps[s, 0]], least)
            b = int(np.floor(PER_OCTAVE * np.log2(growth)))
            mine[len(ranks) + s, min(max(b, 0), BINS - 1)] += 1


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
