"""How well a field network does on fields of its prior; probabilities that mean what they say there, and decisions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

from caml_dask.metrics import class_scores, cluster_scores
from caml_dask.networks.field.architecture import BENDS
from caml_dask.networks.field.clusters import FieldClusters, find_clusters, group
from caml_dask.schema import NO_CLUSTER
from caml_dask.simulate.unknown import Sample, draw_field
from caml_dask.simulate.unknown.fields import LEAST_MEMBERS

DECISION, CALIBRATION, VALIDATION = 1 << 28, 1 << 29, 1 << 30
"""Added to the seed of a training, for fields that calibrate it and fields that measure it; it has seen none."""
RISING = (-3.9, 20.0)
"""Bounds of b0 and of b0 + 2 b1 of a bend: above -4, what is likelier before it is likelier behind it."""
CALLED = np.arange(0.4, 0.71, 0.05)
LINKED = np.array([0.1, 0.14, 0.2, 0.28, 0.4])
BINS = np.linspace(0.0, 1.0, 11)
SORTS = {"molecules": 0, "re-blinking": 1}
"""Whether detections of molecules that re-blink are drawn."""

_Weights = Mapping[str, NDArray[np.float32]]


def calibrated(weights: _Weights, seed: int, axes: int, fields: int) -> dict[str, NDArray[np.float32]]:
    """The same network, with probabilities that are the shares of clustered localizations on fields of the prior.

    The logit z of "clustered" is scaled and shifted (Platt 1999), then bent: z + b0 p + b1 p^2, where p is the logistic
    function of z. A line alone leaves shares of the middle tenths some points off; far from it, the bend is a shift.

    Parameters
    ----------
    weights : mapping of str to float32 array
        Of the network.
    seed : int
        Of its training.
    axes : int
        2 or 3.
    fields : int
        Of each sort, to calibrate it on: shares of both count alike.

    Returns
    -------
    dict of str to float32 array
        The weights.
    """
    plain = {**weights, "bend": np.zeros(BENDS, np.float32)}
    said, truth = [], []
    for sort in SORTS:
        for sample, answer in _answers(plain, seed + CALIBRATION, sort, axes, fields):
            said.append(answer.p_clustered)
            truth.append(sample.truth != NO_CLUSTER)
    logits, clustered = logit(np.clip(np.concatenate(said).astype(np.float64), 1e-7, 1 - 1e-7)), np.concatenate(truth)

    def cross_entropy(curve: NDArray[np.float64]) -> float:
        line = curve[0] * logits + curve[1]
        p = expit(line)
        again = line + p * (curve[2] + p * (curve[3] - curve[2]) / 2)
        return float(np.mean(np.logaddexp(0.0, again) - clustered * again))

    found = minimize(cross_entropy, [1.0, 0.0, 0.0, 0.0], bounds=[(1e-3, None), (None, None), RISING, RISING])
    scale, shift, first, last = found.x
    bend = first, (last - first) / 2
    kernel, bias = weights["heads_kernel"].copy(), weights["heads_bias"].copy()
    kernel[:, 0] *= scale
    bias[0] = scale * bias[0] + shift
    return {**weights, "heads_kernel": kernel, "heads_bias": bias, "bend": np.array(bend, np.float32)}


def decided(weights: _Weights, seed: int, axes: int, fields: int) -> dict[str, NDArray[np.float32]]:
    """The same network, with the decisions at which its clusters have the highest adjusted Rand index on the prior.

    Parameters
    ----------
    weights : mapping of str to float32 array
        Of the network, calibrated.
    seed : int
        Of its training.
    axes : int
        2 or 3.
    fields : int
        Of each sort, to decide it on.

    Returns
    -------
    dict of str to float32 array
        The weights.
    """
    pairs = [(called, linked) for called in CALLED for linked in LINKED]
    scores = [
        [_ari(sample, answer, *pair) for pair in pairs]
        for sort in SORTS
        for sample, answer in _answers(weights, seed + DECISION, sort, axes, fields)
        if (sample.truth != NO_CLUSTER).any()
    ]
    return {**weights, "decision": np.array(pairs[int(np.argmax(np.mean(scores, axis=0)))], np.float32)}


def _ari(sample: Sample, answer: FieldClusters, called: float, linked: float) -> float:
    found = group(answer.center_nm, answer.p_clustered > called, linked * answer.radius_nm, LEAST_MEMBERS)
    return cluster_scores(sample.truth, found).ari


def _answers(weights: _Weights, seed: int, sort: str, axes: int, fields: int) -> Iterator[tuple[Sample, FieldClusters]]:
    """Fields of the prior, and what a network says of them."""
    for number in range(fields):
        rng = np.random.default_rng([seed, SORTS[sort], number])
        sample = draw_field(rng, axes=axes, least=300, most=6_000, blinking=SORTS[sort])
        yield sample, find_clusters(sample.points_nm, weights=weights)


def measure(weights: _Weights, seed: int, axes: int, fields: int) -> dict[str, Any]:
    """How well a network does on fields of the prior that it has not seen, and on fields without clusters.

    Parameters
    ----------
    weights : mapping of str to float32 array
        Of the network.
    seed : int
        Of its training.
    axes : int
        2 or 3.
    fields : int
        Fields of molecules, and as many of re-blinking detections.

    Returns
    -------
    dict
        Means over fields of accuracy and adjusted Rand index, by sort; the share of localizations in clusters, in
        percent, by density on random fields; and how often localizations are clustered by how often it was said.
    """
    found: dict[str, Any] = {}
    said: list[NDArray[Any]] = []
    called, _ = weights["decision"]
    for sort in SORTS:
        scores = []
        for sample, answer in _answers(weights, seed + VALIDATION, sort, axes, fields):
            truth = sample.truth != NO_CLUSTER
            said.append(np.stack([answer.p_clustered, truth]))
            right = class_scores(truth.astype(np.int64), (answer.p_clustered > called).astype(np.int64))
            scores.append(
                (right.accuracy, cluster_scores(sample.truth, answer.cluster_id).ari if truth.any() else np.nan)
            )
        accuracy, ari = np.array(scores).T
        found[sort] = {"accuracy": round(float(accuracy.mean()), 4), "ari": round(float(np.nanmean(ari)), 4)}
    p, clustered = np.concatenate(said, axis=1)
    at = np.clip(np.digitize(p, BINS) - 1, 0, len(BINS) - 2)
    found["clustered_by_p"] = {
        f"{BINS[b]:.1f}-{BINS[b + 1]:.1f}": round(float(clustered[at == b].mean()), 3) for b in np.unique(at)
    }
    found["percent_in_clusters_on_random_fields"] = {
        str(n): round(100 * float(np.mean([_called(n, axes, seed, weights) for seed in range(5)])), 2)
        for n in (400, 2_000, 10_000)
    }
    return found


def _called(n: int, axes: int, seed: int, weights: Mapping[str, NDArray[np.float32]]) -> float:
    points = np.random.default_rng([VALIDATION, n, seed]).uniform(0, 10_000, (n, axes))
    return float((find_clusters(points, weights=weights).cluster_id != NO_CLUSTER).mean())
