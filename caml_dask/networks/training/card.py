"""The card of a network that was just trained: how it was made, and how well it does on sets and without clusters."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caml_dask.metrics import confusion, rates
from caml_dask.networks.spec import FitSettings, NetworkSpec
from caml_dask.networks.trained import labels_of
from caml_dask.networks.training.fit import Fitted
from caml_dask.networks.training.sets import SPLITS, Samples, TrainingSets, draw_samples
from caml_dask.simulate import GRIDS, simulate

CSR_SAMPLES = 3_000
PUBLISHED = "Williamson et al. 2020, Nature Communications 11, s41467-020-15293-x"

Weights = Mapping[str, NDArray[np.float32]]


def measure_set(entry: NetworkSpec, weights: Weights, samples: Iterable[Samples], sets: TrainingSets) -> dict[str, Any]:
    """How well weights do on a set, scored the way the package scores.

    Parameters
    ----------
    entry : NetworkSpec
        The network.
    weights : mapping of str to (...) float32
        Its weight arrays by name.
    samples : iterable of Samples
        The set, in parts.
    sets : TrainingSets
        What the set holds.

    Returns
    -------
    accuracy, and F1, precision and recall as means of the classes; the confusion, rows the truth. By density the
    balanced accuracy (mean of the recall of the classes present), mean over fields; and all of it again without the
    fully clustered fields, whose localizations are the easiest to tell.
    """
    columns = []
    for part in samples:
        found = labels_of(entry.score(weights, part.windows))
        columns.append((part.labels, found, part.field))
    truth, found, field = (np.concatenate(column) for column in zip(*columns, strict=True))
    n_classes = len(entry.classes)
    scenario = field % len(sets.scenarios)
    mixed = np.array([s.percent_clustered < 100 for s in sets.scenarios])[scenario]
    return {
        "n": len(truth),
        **_rounded(mean_rates(truth, found, n_classes)),
        "confusion": confusion(truth, found, n_classes).tolist(),
        "balanced_accuracy_by_density_per_um2": _by_density(truth, found, field, sets),
        "mixed_fields": {
            "n": int(mixed.sum()),
            **_rounded(mean_rates(truth[mixed], found[mixed], n_classes)),
            "balanced_accuracy_by_density_per_um2": _by_density(truth[mixed], found[mixed], field[mixed], sets),
        },
    }


def measure_csr(entry: NetworkSpec, weights: Weights, seed: int) -> dict[str, float]:
    """Percent of localizations called clustered where none are, in one CSR field at each density.

    Parameters
    ----------
    entry : NetworkSpec
        The network.
    weights : mapping of str to (...) float32
        Weight arrays by name.
    seed : int
        Seed of the fields.

    Returns
    -------
    dict
        Percent, 0 to 100, by density per um2.
    """
    found = {}
    for scenario in GRIDS["csr" if entry.dimensions == 2 else "slab-csr"]():
        rng = np.random.default_rng([seed, int(scenario.density_per_um2)])
        windows, _ = draw_samples(simulate(scenario, rng), (CSR_SAMPLES, 0), entry.n_neighbors, rng, entry.relative_xy)
        labels = labels_of(entry.score(weights, windows))
        found[f"{scenario.density_per_um2:g}"] = round(100 * float((labels > 0).mean()), 2)
    return found


def mean_rates(truth: NDArray[np.int8], found: NDArray[np.int8], n_classes: int) -> dict[str, float]:
    """Accuracy, and means over the classes that occur in the truth of F1, precision and recall.

    Parameters
    ----------
    truth : (n,) int8
        True classes.
    found : (n,) int8
        Classes found.
    n_classes : int
        Number of classes.

    Returns
    -------
    dict
        Each rate by name, 0 to 1.
    """
    counts = confusion(truth, found, n_classes)
    there, of = counts.sum(axis=1) > 0, rates(counts)
    # a class that is never called has no precision: it counts as 0
    f1, precision, recall = (float(np.nan_to_num(v[there]).mean()) for v in (of.f1, of.precision, of.recall))
    return {"accuracy": of.accuracy, "f1": f1, "precision": precision, "recall": recall}


def _by_density(
    truth: NDArray[np.int8], found: NDArray[np.int8], field: NDArray[np.int64], sets: TrainingSets
) -> dict[str, float]:
    """Balanced accuracy of each field, as their mean at each density."""
    fields, at = np.unique(field, return_inverse=True)
    recalls = np.full((sets.n_classes, len(fields)), np.nan)
    for label in range(sets.n_classes):
        of = truth == label
        count = np.bincount(at[of], minlength=len(fields))
        hits = np.bincount(at[of & (found == label)], minlength=len(fields))
        recalls[label, count > 0] = (hits / np.maximum(count, 1))[count > 0]
    balanced = np.nanmean(recalls, axis=0)
    density = np.array([s.density_per_um2 for s in sets.scenarios])[fields % len(sets.scenarios)]
    return {f"{d:g}": round(float(balanced[density == d].mean()), 4) for d in np.unique(density)}


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {key: round(value, 4) for key, value in values.items()}


def make_card(
    entry: NetworkSpec,
    sets: TrainingSets,
    used: FitSettings,
    fitted: Fitted,
    restarts: int,
    results: dict[str, Any],
    weights_sha256: str,
    command: str,
) -> dict[str, Any]:
    """The card of weights that were just trained.

    Parameters
    ----------
    entry : NetworkSpec
        The network.
    sets : TrainingSets
        What the network is trained on.
    used : FitSettings
        How it was fitted.
    fitted : Fitted
        Result of the fit.
    restarts : int
        Number of fits.
    results : dict
        Measured accuracy.
    weights_sha256 : str
        SHA-256 of the weights' file.
    command : str
        The command that was called.

    Returns
    -------
    dict
        The card's values, as its file holds them.
    """
    return {
        "name": entry.name,
        "kind": entry.kind,
        "weights_sha256": weights_sha256,
        "n_neighbors": entry.n_neighbors,
        "dimensions": entry.dimensions,
        "classes": list(entry.classes),
        "input_form": entry.input_form,
        "architecture": f"{entry.architecture}; after {PUBLISHED}",
        "origin": "trained anew; the published weights are not available",
        "trained_on": trained_ranges(sets),
        "weights": {key: list(shape) for key, shape in entry.shapes},
        "command": command,
        "made_with": {
            "python": platform.python_version(),
            "machine": platform.machine(),
            **{package: version(package) for package in ("numpy", "scipy", "keras", "tensorflow")},
        },
        "training": {
            "grid": entry.grid,
            "clusters": entry.clusters,
            "data": (
                f"{len(sets.scenarios)} simulated scenarios, one field for each replicate; no field feeds two sets."
                " Each class is drawn evenly from the fields that hold it"
            ),
            "replicates": {split: list(replicates) for split, replicates in SPLITS.items()},
            "samples": {split: sets.size(split) for split in SPLITS},
            "simulation_seed": sets.seed,
            "loss": "cross-entropy",
            "optimizer": "Adam, cosine decay to 1 % of the learning rate",
            **asdict(used),
            "restarts": restarts,
            "kept_epoch": fitted.epoch,
            "kept_by": "lowest loss on the validation set",
            "losses_train_validation": fitted.losses.round(5).tolist(),
        },
        "results": results,
    }


def trained_ranges(sets: TrainingSets) -> dict[str, list[float]]:
    """Lowest and highest value, over the scenarios trained on, of what a field can be held against.

    Parameters
    ----------
    sets : TrainingSets
        What the network is trained on.

    Returns
    -------
    dict
        Lowest and highest value by name.
    """
    values: dict[str, list[float]] = {
        "points_per_cluster": [s.points_per_cluster for s in sets.scenarios],
        "percent_clustered": [s.percent_clustered for s in sets.scenarios],
        "contrast": [s.contrast for s in sets.scenarios if s.percent_clustered < 100],
    }
    return {name: [round(min(found), 2), round(max(found), 2)] for name, found in values.items()}
