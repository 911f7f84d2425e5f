"""Clusters from what the field network says: localizations vote for centers, and votes that agree are one cluster.

A vote is the localization's place plus its offset. Votes are linked where one lies within a share of the radius that
the other expects of its cluster. Links are mutual, so that clusters depend on no order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from caml_dask.errors import InputError, TooFewLocalizations
from caml_dask.networks.field.graph import build_graph
from caml_dask.networks.field.trained import LEAST_LOCALIZATIONS, load_field_network
from caml_dask.networks.field.whole import say
from caml_dask.schema import NO_CLUSTER
from caml_dask.spatial.blocks import BlockIndex
from caml_dask.spatial.labelled import LabelledIndex
from caml_dask.spatial.links import UNLINKED


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
    radius_nm : (n,) float64
        Root mean square radius that it expects of its cluster, in nm.
    """

    p_clustered: NDArray[np.float32]
    cluster_id: NDArray[np.int64]
    center_nm: NDArray[np.float64]
    radius_nm: NDArray[np.float64]


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
    weights = load_field_network(f"field-{points.shape[1]}d").weights if weights is None else weights
    said = say(weights, graph, threads)
    votes = points[order] + said.offset_nm
    called, linked = weights["decision"]
    ids = group(votes, said.clustered > called, linked * said.radius_nm, min_points)
    back = np.argsort(order)
    return FieldClusters(said.clustered[back], _numbered(ids[back]), votes[back], said.radius_nm[back])


def group(
    votes_nm: NDArray[np.float64], called: NDArray[np.bool_], reach_nm: NDArray[np.float64], min_points: int
) -> NDArray[np.int64]:
    """Clusters, (n,) int64 in no certain numbering, -1 for none.

    Parameters
    ----------
    votes_nm : (n, d) float64
        Where localizations place the center of their cluster, in nm.
    called : (n,) bool
        Which of them are in clusters.
    reach_nm : (n,) float64
        How far a vote links to others.
    min_points : int
        Localizations below which a cluster is none.
    """
    component = LabelledIndex.build(votes_nm, called.astype(np.int8)).components(np.where(called, reach_nm, UNLINKED))
    enough = called & (np.bincount(component, minlength=len(called))[component] >= min_points)
    return np.where(enough, component, NO_CLUSTER)


def _numbered(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same clusters, numbered from 0 by their first localizations."""
    found, first, at = np.unique(ids, return_index=True, return_inverse=True)
    clusters = found != NO_CLUSTER
    numbers = np.full(len(found), NO_CLUSTER)
    numbers[np.flatnonzero(clusters)[np.argsort(first[clusters])]] = np.arange(clusters.sum())
    return numbers[at]
