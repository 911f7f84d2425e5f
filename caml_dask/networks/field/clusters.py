"""Clusters from what the field network says: localizations vote for centers, and votes that agree are one cluster.

A vote is the localization's place plus its offset. Votes are first averaged with those of the neighbors that are
probably in the same cluster, then linked where they lie nearer to each other than a share of the radius that both ends
expect of their cluster. Neither depends on an order: averages run over a localization's own edges, links are mutual.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from caml_dask.errors import InputError, TooFewLocalizations
from caml_dask.networks.field.graph import Graph, build_graph
from caml_dask.networks.field.network import Said, say
from caml_dask.networks.field.trained import load_field
from caml_dask.schema import NO_CLUSTER
from caml_dask.spatial.blocks import BlockIndex

LEAST_LOCALIZATIONS = 30
"""Of a field: the least on which the network was trained."""
CALLED = 0.5
"""Probability from which a localization counts as clustered."""
AVERAGES = 2
"""Times that votes are averaged with those of neighbors."""
LINKED = 0.25
"""Share of the expected radius within which votes are linked."""


@dataclass(frozen=True, eq=False)
class FieldClusters:
    """Clusters of a field.

    Attributes
    ----------
    p_clustered : (n,) float32
        Probability that a localization is in a cluster.
    cluster_id : (n,) int64
        Its cluster, numbered from 0 by their first localizations; -1 for none.
    center_nm : (n, d) float64
        Where its vote places the center of its cluster, in nm.
    """

    p_clustered: NDArray[np.float32]
    cluster_id: NDArray[np.int64]
    center_nm: NDArray[np.float64]


def find_clusters(
    points_nm: NDArray[np.float64],
    uncertainty_nm: NDArray[np.float64] | None = None,
    *,
    min_points: int = 3,
    threads: int = 1,
    weights: Mapping[str, NDArray[np.float32]] | None = None,
) -> FieldClusters:
    """Find the clusters of a field of up to some ten thousand localizations.

    Parameters
    ----------
    points_nm : (n, d) float64
        Coordinates in nm, d of 2 or 3, n of 30 or more.
    uncertainty_nm : (n,) float64 or None
        Localization precision in nm, where it is known.
    min_points : int
        Localizations below which a cluster is none.
    threads : int
        That share the work; no bit depends on their number.
    weights : mapping of str to float32 array, or None
        Of a network; None takes the one that ships for d axes.

    Returns
    -------
    FieldClusters
        The clusters, in the order of `points_nm`.

    Raises
    ------
    InputError
        Coordinates or precisions of another shape, or that are not finite.
    TooFewLocalizations
        Fewer than 30 localizations.
    """
    points = np.asarray(points_nm, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] not in (2, 3) or not np.isfinite(points).all():
        raise InputError(f"coordinates of shape {points.shape}: give (n, 2) or (n, 3) finite numbers in nm")
    if len(points) < LEAST_LOCALIZATIONS:
        raise TooFewLocalizations(
            f"the field network needs {LEAST_LOCALIZATIONS} localizations; there are {len(points)}"
        )
    if uncertainty_nm is not None:
        uncertainty_nm = np.asarray(uncertainty_nm, dtype=np.float64)
        if uncertainty_nm.shape != (len(points),) or not (np.isfinite(uncertainty_nm) & (uncertainty_nm > 0)).all():
            raise InputError(
                f"precisions of shape {uncertainty_nm.shape} for {len(points)} localizations:"
                " give one positive number in nm for each"
            )
    order = BlockIndex.build(points).order  # neighbors side by side in memory
    graph = build_graph(points[order], None if uncertainty_nm is None else uncertainty_nm[order])
    said = say(load_field(points.shape[1]) if weights is None else weights, graph, threads)
    votes, ids = group(points[order], graph, said, min_points)
    back = np.argsort(order)
    return FieldClusters(said.clustered[back], _numbered(ids[back]), votes[back])


def group(
    points_nm: NDArray[np.float64], graph: Graph, said: Said, min_points: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Votes, (n, d) float64 in nm, and clusters, (n,) int64 in no certain numbering, -1 for none.

    Parameters
    ----------
    points_nm : (n, d) float64
        Coordinates in nm.
    graph, said
        The field as the network saw it, and what it said.
    min_points : int
        Localizations below which a cluster is none.
    """
    called = said.clustered > CALLED
    trust = np.where(called[:, None] & called[graph.neighbors], said.same.astype(np.float64) ** 2, 0) * graph.present
    votes, log_radius = points_nm + said.offset_nm, np.log(said.radius_nm)
    total = 1 + trust.sum(axis=1)
    for _ in range(AVERAGES):
        votes = (votes + np.einsum("ne,ned->nd", trust, votes[graph.neighbors])) / total[:, None]
        log_radius = (log_radius + (trust * log_radius[graph.neighbors]).sum(axis=1)) / total
    ids = np.full(len(points_nm), NO_CLUSTER)
    rows = np.flatnonzero(called)
    if not len(rows):
        return votes, ids
    reach = LINKED * np.exp(log_radius[rows])
    a, b = cKDTree(votes[rows]).query_pairs(float(reach.max()), output_type="ndarray").T
    near = ((votes[rows[a]] - votes[rows[b]]) ** 2).sum(axis=1) < reach[a] * reach[b]
    links = coo_matrix((np.ones(near.sum()), (a[near], b[near])), shape=(len(rows), len(rows)))
    _, component = connected_components(links, directed=False)
    enough = np.bincount(component) >= min_points
    ids[rows] = np.where(enough[component], component, NO_CLUSTER)
    return votes, ids


def _numbered(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same clusters, numbered from 0 by their first localizations."""
    found, first, at = np.unique(ids, return_index=True, return_inverse=True)
    clusters = found != NO_CLUSTER
    numbers = np.full(len(found), NO_CLUSTER)
    numbers[np.flatnonzero(clusters)[np.argsort(first[clusters])]] = np.arange(clusters.sum())
    return numbers[at]
