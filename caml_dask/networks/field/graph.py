"""What the field network sees of a localization: distances to its neighbors, some of them by name, and its region.

All lengths are relative to the region's unit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caml_dask.compiled import njit
from caml_dask.networks.field.ranks import EDGE_RANKS, NEIGHBORS, RANKS, SCALE_AT, USED_RANKS
from caml_dask.networks.field.region import FARTHEST, region_histogram, region_inputs
from caml_dask.spatial.ranked import ranked_neighbors

WIDTH = 48
"""Numbers that stand for a localization between rounds of messages."""
ROUNDS = 4
CHANNELS = 4
"""Vectors that stand for it beside them."""
NODE_INPUTS = len(RANKS) + 2
EDGE_INPUTS = 2
_RANKS_AT, EDGES_AT = np.searchsorted(USED_RANKS, RANKS), np.searchsorted(USED_RANKS, EDGE_RANKS)


@dataclass(frozen=True, eq=False)
class Graph:
    """Localizations as the network sees them.

    Attributes
    ----------
    nodes : (n, NODE_INPUTS) float32
        Log distances at RANKS, whether precision is given, its log.
    neighbors : (n, E) int32
        Row of the neighbor of each edge; its own row where there is none.
    present : (n, E) float32
        1 for an edge, 0 where the field has too few localizations for it.
    edges : (n, E, EDGE_INPUTS) float32
        Of each edge: log length; length relative to what is usual at its ends.
    directions : (n, E, d) float32
        Unit vectors to the neighbor.
    region : (REGION_INPUTS,) float32
        Of :func:`~caml_dask.networks.field.region.region_inputs`.
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
    return np.float32(min(max(math.log(max(length / unit, 1e-3)), -FARTHEST), FARTHEST))


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
