"""Labels against the truth: a record for each network and simulated field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caml_dask.api import analyze
from caml_dask.errors import CamlError
from caml_dask.evaluation.protocol import SCENARIO_COLUMNS, Protocol, described, generator, label_field
from caml_dask.metrics import class_scores, confusion, rates
from caml_dask.networks import AnyNetwork, TrainedNetwork, load
from caml_dask.simulate import AnyScenario, Field
from caml_dask.spatial.blocks import BlockIndex
from caml_dask.spatial.neighbors import nearest

BINS = 10
"""Of the calibration: scores from 0 to 1 in tenths."""
CLASS_KEYS = ("non_clustered", "round", "fiber")
"""Classes by label; with two classes "round" is every cluster."""

_BIN_COLUMNS = tuple(f"bin{b}_{what}" for b in range(BINS) for what in ("n", "mean_score", "share_clustered"))
_CONFUSION_COLUMNS = tuple(f"n_{true}_called_{found}" for true in CLASS_KEYS for found in CLASS_KEYS)
_COUNTS = ("n", *_CONFUSION_COLUMNS, *(c for c in _BIN_COLUMNS if c.endswith("_n")))
COLUMNS = (
    "network",
    *SCENARIO_COLUMNS,
    "localizations",
    "n",
    "accuracy",
    "balanced_accuracy",
    "f1",
    "precision",
    "recall",
    *(f"recall_{key}" for key in CLASS_KEYS),
    "mean_score",
    "percent_called_clustered",
    *_CONFUSION_COLUMNS,
    *_BIN_COLUMNS,
    "reason",
)
KEYS = ("network", "grid", "scenario", "replicate")


def label_records(
    grid: str, scenario: AnyScenario, replicate: int, networks: Sequence[str], protocol: Protocol
) -> list[dict[str, Any]]:
    """Simulate a field and compare the labels of a sample of it, the same for all networks.

    Returns
    -------
    a record for each network, with `COLUMNS`; one that could not be made has the reason, and n = 0.
    """
    rng = generator("labels", scenario, replicate, protocol)
    about = described(grid, scenario, replicate)
    loaded = [load(network) for network in networks]
    try:
        field = label_field(scenario, rng, protocol)
    except CamlError as error:
        return [{"network": tried.name, **about, **_left_out(0, str(error))} for tried in loaded]
    n = len(field.points_nm)
    rows = np.sort(rng.choice(n, min(protocol.samples_taken, n), replace=False))
    index = BlockIndex.build(field.points_nm)
    return [{"network": tried.name, **about, **_scored(tried, field, index, rows)} for tried in loaded]


def _scored(network: AnyNetwork, field: Field, index: BlockIndex, rows: NDArray[np.int64]) -> dict[str, Any]:
    """What a network makes of some localizations of a field."""
    n = len(field.points_nm)
    if n < network.least_localizations:
        return _left_out(n, f"{network.name} needs {network.least_localizations} localizations; the field has {n}")
    if isinstance(network, TrainedNetwork):
        scores = network.scores(nearest(index, network.n_neighbors, rows).distances_nm)
    else:
        points = analyze(field.points_nm, network.name, any_extent=True, n_jobs=1).points
        scores = points[list(network.score_columns)].to_numpy(np.float32)[rows]
    found = compare_labels(field.classes[rows], scores, network.labels(scores))
    return {"localizations": n, **found, "reason": ""}


def compare_labels(truth: NDArray[np.int8], scores: NDArray[np.float32], labels: NDArray[np.int8]) -> dict[str, Any]:
    """Compare labels and scores with the truth.

    Parameters
    ----------
    truth, labels : (n,) int8 classes, as in schema.POINTS; n is at least 1.
    scores : (n, 1) of clustered, which counts fibers as clustered; or (n, 3) of each class; float32.

    Returns
    -------
    Over the network's own classes: accuracy, balanced accuracy (mean recall of the classes present), recall of each,
    confusion counts. Over clustered (of any class) against not: F1, precision, recall, percent called clustered, mean
    score, and the calibration: localizations, their mean score and the share of them that is clustered, by tenths of
    the score. The score of clustered is one minus that of non-clustered where there are several. NaN where nothing is
    counted.
    """
    clustered = class_scores(truth, labels)
    if scores.shape[1] == 1:
        truth = (truth > 0).astype(np.int8)
    counts = confusion(truth, labels, len(CLASS_KEYS))
    of = rates(counts)
    score = (scores[:, 0] if scores.shape[1] == 1 else 1 - scores[:, 0]).astype(np.float64)
    return {
        "n": len(truth),
        "accuracy": of.accuracy,
        "balanced_accuracy": of.balanced_accuracy,
        "f1": clustered.f1,
        "precision": clustered.precision,
        "recall": clustered.recall,
        **dict(zip((f"recall_{key}" for key in CLASS_KEYS), of.recall.tolist(), strict=True)),
        "mean_score": float(score.mean()),
        "percent_called_clustered": 100.0 * float((labels > 0).mean()),
        **dict(zip(_CONFUSION_COLUMNS, counts.ravel().tolist(), strict=True)),
        **_calibration(truth > 0, score),
    }


def _calibration(truth: NDArray[np.bool_], score: NDArray[np.float64]) -> dict[str, Any]:
    """Counts of localizations by tenths of their score; a score of 1 belongs to the last."""
    at = np.minimum((score * BINS).astype(np.int64), BINS - 1)
    n = np.bincount(at, minlength=BINS)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(at, weights=score, minlength=BINS) / n
        share = np.bincount(at, weights=truth.astype(np.float64), minlength=BINS) / n
    values = zip(n.tolist(), mean.tolist(), share.tolist(), strict=True)
    return dict(zip(_BIN_COLUMNS, (value for of_bin in values for value in of_bin), strict=True))


def _left_out(localizations: int, reason: str) -> dict[str, Any]:
    """The record of a field that could not be scored: counts are 0, the rest NaN."""
    return {"localizations": localizations, **dict.fromkeys(_COUNTS, 0), "reason": reason}
