"""Clusters against the truth: whole analyses of small simulated cells, a record for each network, cell and class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from caml_dask.api import analyze
from caml_dask.errors import CamlError
from caml_dask.evaluation.protocol import SCENARIO_COLUMNS, Protocol, cluster_field, described, generator
from caml_dask.geometry.measure import measure_clusters, measure_clusters_3d
from caml_dask.metrics import cluster_scores, hull_iou
from caml_dask.networks import AnyNetwork, load
from caml_dask.schema import CLUSTERED, FIBER, NO_CLUSTER
from caml_dask.simulate import AnyScenario, Field
from caml_dask.spatial.blocks import BlockIndex
from caml_dask.spatial.links import OUTLINE_FACTOR
from caml_dask.spatial.neighbors import nearest

FRAGMENT_SHARE = 0.1
"""Share of a true cluster's members from which on a found cluster counts as one of its fragments."""

_PAIRS = (
    "clusters",
    "clusters_per_um2",
    "median_points_per_cluster",
    "median_area_nm2",
    "median_volume_nm3",
    "percent_clustered",
)
PROPERTIES = tuple(f"{side}_{name}" for name in _PAIRS for side in ("true", "found"))
FRAGMENTS = (
    "mean_fragments",
    "percent_in_0_fragments",
    "percent_in_1_fragment",
    "percent_in_2_fragments",
    "percent_in_3_or_more_fragments",
)
COLUMNS = (
    "network",
    *SCENARIO_COLUMNS,
    "class",
    "localizations",
    "area_um2",
    *PROPERTIES,
    "matched_clusters",
    "ari",
    "ari_clustered",
    "hull_iou",
    *FRAGMENTS,
    "reason",
)
KEYS = ("network", "grid", "scenario", "replicate", "class")


@dataclass(frozen=True)
class Found:
    """What an analysis found, of one class.

    cluster : (n,) int64 cluster of each localization, -1 for none.
    area_nm2, volume_nm3 : (c,) float64 of its clusters; empty where it measures no such thing.
    """

    cluster: NDArray[np.int64]
    area_nm2: NDArray[np.float64]
    volume_nm3: NDArray[np.float64]


def cluster_records(
    grid: str, scenario: AnyScenario, replicate: int, networks: Sequence[str], protocol: Protocol
) -> list[dict[str, Any]]:
    """Simulate a cell, analyse it with each network, and compare its clusters with the true ones.

    Returns
    -------
    a record for each network and class of cluster that it knows, with `COLUMNS`; one that could not be made has the
    reason.
    """
    rng = generator("clusters", scenario, replicate, protocol)
    about = described(grid, scenario, replicate)
    try:
        field = cluster_field(scenario, rng, protocol)
    except CamlError as error:
        left_out = {**about, "class": "", "localizations": 0, "reason": str(error)}
        return [{"network": load(network).name, **left_out} for network in networks]
    records = []
    for network in networks:
        spec = load(network)
        row = {"network": spec.name, **about, "localizations": len(field.points_nm)}
        try:
            result = analyze(field.points_nm, network=network, n_jobs=1)
        except CamlError as error:
            records.append({**row, "class": "", "reason": str(error)})
            continue
        for label, key in classes_of(spec).items():
            found = found_of_class(result.points, result.clusters, label)
            records.append({**row, "class": key, **compare_clusters(field, found, label), "reason": ""})
    return records


def classes_of(spec: AnyNetwork) -> dict[int | None, str]:
    """The classes of cluster that a network knows, by label; None stands for clusters of any class."""
    if len(spec.classes) == 2:
        return {None: "clustered"}
    return {CLUSTERED: "round", FIBER: "fiber"}


def found_of_class(points: pd.DataFrame, clusters: pd.DataFrame, label: int | None) -> Found:
    """Clusters of a class, from the tables of an analysis."""
    cluster = points["cluster_id"].to_numpy()
    if label is not None:
        cluster = np.where(points["label"].to_numpy() == label, cluster, NO_CLUSTER)
        clusters = clusters[clusters["label"] == label]
    sizes = [clusters[c].to_numpy(np.float64) if c in clusters else np.empty(0) for c in ("area_nm2", "volume_nm3")]
    return Found(cluster, *sizes)


def compare_clusters(field: Field, found: Found, label: int | None) -> dict[str, Any]:
    """Hold clusters of a class against the true ones of that class.

    Both are counted on the true area of the cell; a true cluster's outline is that of its members, with the package's
    own measure. Medians are over clusters; NaN where there are none.
    """
    truth = field.truth if label is None else np.where(field.classes == label, field.truth, NO_CLUSTER)
    scores = cluster_scores(truth, found.cluster)
    true_area, true_volume = true_sizes(field.points_nm, truth)
    n = len(truth)
    pairs = {
        "clusters": (scores.n_true, scores.n_found),
        "clusters_per_um2": (scores.n_true / field.area_um2, scores.n_found / field.area_um2),
        "median_points_per_cluster": (_median(_members(truth)), _median(_members(found.cluster))),
        "median_area_nm2": (_median(true_area), _median(found.area_nm2)),
        "median_volume_nm3": (_median(true_volume), _median(found.volume_nm3)),
        "percent_clustered": tuple(100 * float((ids != NO_CLUSTER).sum()) / n for ids in (truth, found.cluster)),
    }
    return {
        "area_um2": field.area_um2,
        **{f"{side}_{name}": value for name, both in pairs.items() for side, value in zip(("true", "found"), both)},
        "matched_clusters": scores.n_matched,
        "ari": scores.ari,
        "ari_clustered": scores.ari_clustered,
        "hull_iou": hull_iou(field.xy_nm, truth, found.cluster) if field.points_nm.shape[1] == 2 else math.nan,
        **_fragment_columns(fragments(truth, found.cluster)),
    }


def fragments(truth: NDArray[np.int64], found: NDArray[np.int64]) -> NDArray[np.int64]:
    """Found clusters that hold at least a tenth of a true cluster's members, for each true cluster: (c,) int64.

    Parameters
    ----------
    truth, found : (n,) cluster ids, -1 for none.
    """
    ids, at, members = np.unique(truth[truth != NO_CLUSTER], return_inverse=True, return_counts=True)
    inside = found[truth != NO_CLUSTER]
    held = inside != NO_CLUSTER
    pairs, shared = np.unique(np.column_stack([at[held], inside[held]]), axis=0, return_counts=True)
    enough = shared >= FRAGMENT_SHARE * members[pairs[:, 0]]
    return np.bincount(pairs[enough, 0], minlength=len(ids))


def true_sizes(
    points_nm: NDArray[np.float64], truth: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Areas in nm2 or volumes in nm3 of the outlines of the true clusters' members: (c,) float64, the other (0,)."""
    members = np.flatnonzero(truth != NO_CLUSTER)
    members = members[np.argsort(truth[members], kind="stable")]
    if len(members) == 0:
        return np.empty(0), np.empty(0)
    nearest_nm = nearest(BlockIndex.build(points_nm), 1, members).nearest_nm
    starts = np.append(np.flatnonzero(np.diff(truth[members], prepend=NO_CLUSTER)), len(members))
    sums = np.add.reduceat(nearest_nm, starts[:-1])
    of_members = points_nm[members], nearest_nm, starts, OUTLINE_FACTOR * sums / np.diff(starts)
    if points_nm.shape[1] == 2:
        return measure_clusters(*of_members).area_nm2, np.empty(0)
    return np.empty(0), measure_clusters_3d(*of_members).volume_nm3


def _members(cluster: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.unique(cluster[cluster != NO_CLUSTER], return_counts=True)[1]


def _median(values: NDArray) -> float:
    return float(np.median(values)) if len(values) else math.nan


def _fragment_columns(of_cluster: NDArray[np.int64]) -> dict[str, float]:
    if len(of_cluster) == 0:
        return dict.fromkeys(FRAGMENTS, math.nan)
    counts = np.bincount(np.minimum(of_cluster, 3), minlength=4)
    return dict(zip(FRAGMENTS, (float(of_cluster.mean()), *(100.0 * counts / len(of_cluster)).tolist()), strict=True))
