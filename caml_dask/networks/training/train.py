"""Training a network from simulated fields: sets, fits, ten-fold cross-validation, weights and card."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from caml_dask.atomic import publish, publish_text
from caml_dask.errors import UsageError
from caml_dask.extras import require
from caml_dask.networks.card_fields import NAME
from caml_dask.networks.spec import FitSettings, NetworkSpec
from caml_dask.networks.trained import labels_of
from caml_dask.networks.training.card import make_card, mean_rates, measure_csr, measure_set
from caml_dask.networks.training.fit import Fitted, LabelledInputs, fit
from caml_dask.networks.training.keras import keras_scores
from caml_dask.networks.training.sets import SPLITS, TrainingSets, missing_parts, read_parts
from caml_dask.networks.weights import check_weights

logger = logging.getLogger(__name__)

FOLD_SAMPLES = 200_000
"""Of the cross-validation, fewer than of a training set."""
FOLD_VALIDATION = 20_000


def sets_of(entry: NetworkSpec, samples: int = 500_000) -> TrainingSets:
    """The sets a network is trained and tested on, of `samples` and twice a fifth of them (Williamson et al. 2020).

    Parameters
    ----------
    entry : NetworkSpec
        The network.
    samples : int
        Samples of the training set.

    Returns
    -------
    TrainingSets
        What the sets hold.
    """
    return TrainingSets(
        entry.scenarios(),
        entry.n_neighbors,
        len(entry.classes),
        n_train=samples,
        n_validation=samples // 5,
        n_test=samples // 5,
        relative_xy=entry.relative_xy,
    )


def train(
    entry: NetworkSpec,
    sets: TrainingSets,
    out_dir: Path,
    work_dir: Path,
    settings: FitSettings | None = None,
    *,
    restarts: int = 1,
    folds: int = 0,
    command: str = "",
) -> dict[str, Any]:
    """Train a network and write its weights and card; what an interrupted call finished is not done again.

    Parameters
    ----------
    entry : NetworkSpec
        The network, or a variant of one.
    sets : TrainingSets
        What it is trained on; all parts compiled under `work_dir`.
    out_dir : Path
        Where NAME.safetensors and NAME.json go.
    work_dir : Path
        Where sets and checkpoints are kept.
    settings : FitSettings or None
        How to fit; None takes the network's own.
    restarts : int
        Fits from consecutive seeds, of which the one best on the validation set is kept.
    folds : int
        Folds of a cross-validation that is reported in the card; 0 for none.
    command : str
        What was called, for the card.

    Returns
    -------
    the card.

    Raises
    ------
    UsageError
        Sets that are not compiled, a name that files cannot have, or Keras or TensorFlow is not installed.
    WeightsError
        The fit diverged.
    """
    if missing := missing_parts(sets, work_dir):
        raise UsageError(
            f"{len(missing)} parts of the sets of {entry.name} are not compiled under {work_dir}: compile them"
            " first, as `caml-dask train` does"
        )
    if not NAME.fullmatch(entry.name):
        raise UsageError(f"{entry.name!r} is no name for a network: use letters, digits, '.', '_' and '-', at most 64")
    require("train", "training a network")
    settings = entry.settings if settings is None else settings
    samples, validation = (read_inputs(entry, sets, split, work_dir)[0] for split in ("train", "validation"))
    fits: list[tuple[Fitted, FitSettings]] = []
    for restart in range(restarts):
        again = replace(settings, seed=settings.seed + restart)
        fits.append((fit(entry, samples, validation, again, _checkpoint(work_dir, entry, sets, again)), again))
    best, used = min(fits, key=lambda done: done[0].loss)
    check_weights(entry, best.weights)
    blob = safetensors.numpy.save(best.weights)
    results: dict[str, Any] = {
        split: measure_set(entry, best.weights, read_parts(sets, split, work_dir), sets) for split in SPLITS
    }
    results["csr_percent_called_clustered_by_density_per_um2"] = measure_csr(entry, best.weights, sets.seed)
    if folds:
        results["cross_validation"] = cross_validate(entry, sets, settings, folds, work_dir)
    card = make_card(entry, sets, used, best, restarts, results, hashlib.sha256(blob).hexdigest(), command)
    out_dir.mkdir(parents=True, exist_ok=True)
    publish(out_dir / f"{entry.name}.safetensors", lambda working: working.write_bytes(blob))
    publish_text(out_dir / f"{entry.name}.json", json.dumps(card, indent=2) + "\n")
    return card


def check_folds(folds: int) -> None:
    """Refuse numbers of folds that leave nothing to fit to.

    Parameters
    ----------
    folds : int
        Number of folds.
    """
    if folds < 2:
        raise UsageError(f"{folds} folds: give at least 2, or 0 for none")


def cross_validate(
    entry: NetworkSpec, sets: TrainingSets, settings: FitSettings, folds: int, work_dir: Path
) -> dict[str, Any]:
    """Fit `folds` times to all fields of the training set but one share of them, and test on that share.

    Up to 200,000 samples of the training set are used, drawn evenly, for half of the epochs; the epoch is kept by the
    validation set, whose fields are neither fitted nor tested here.

    Parameters
    ----------
    entry : NetworkSpec
        The network.
    sets : TrainingSets
        What the network is trained on.
    settings : FitSettings
        How to fit.
    folds : int
        Number of folds.
    work_dir : Path
        Folder of the compiled sets and checkpoints.

    Returns
    -------
    samples and epochs used, accuracy on each left-out share, their mean and standard deviation (n - 1).
    """
    check_folds(folds)
    whole, field = read_inputs(entry, sets, "train", work_dir)
    held = read_inputs(entry, sets, "validation", work_dir)[0]
    rng = np.random.default_rng([sets.seed, folds])
    rows = np.sort(rng.choice(len(field), min(FOLD_SAMPLES, len(field)), replace=False))
    some = np.sort(rng.choice(len(held.labels), min(FOLD_VALIDATION, len(held.labels)), replace=False))
    validation = LabelledInputs(held.inputs[some], held.labels[some])
    fields = rng.permutation(np.unique(field))
    fold_of_field = dict(zip(fields.tolist(), (np.arange(len(fields)) % folds).tolist(), strict=True))
    fold = np.array([fold_of_field[f] for f in field[rows].tolist()])
    accuracy = []
    settings = replace(settings, epochs=-(-settings.epochs // 2))
    for left_out in range(folds):
        inside, outside = rows[fold != left_out], rows[fold == left_out]
        at = _checkpoint(work_dir, entry, sets, settings, f"fold-{left_out}-of-{folds}")
        fitted = fit(entry, LabelledInputs(whole.inputs[inside], whole.labels[inside]), validation, settings, at)
        found = predict(entry, fitted.weights, whole.inputs[outside])
        accuracy.append(round(mean_rates(whole.labels[outside], found, len(entry.classes))["accuracy"], 4))
        logger.info("%s: fold %d of %d: accuracy %.4f", entry.name, left_out + 1, folds, accuracy[-1])
    return {
        "folds": folds,
        "samples": len(rows),
        "epochs": settings.epochs,
        "accuracy": accuracy,
        "mean": round(float(np.mean(accuracy)), 4),
        "standard_deviation": round(float(np.std(accuracy, ddof=1)), 4),
    }


def predict(
    entry: NetworkSpec, weights: dict[str, NDArray[np.float32]], inputs: NDArray[np.float32]
) -> NDArray[np.int8]:
    """Labels, (n,) int8, that Keras itself finds for inputs.

    Parameters
    ----------
    entry : NetworkSpec
        The network.
    weights : mapping of str to (...) float32
        Weight arrays by name.
    inputs : (n, N, 1 or 2) float32
        The network's input.

    Returns
    -------
    (n,) int8
        Labels.
    """
    return labels_of(keras_scores(entry.build, entry.shapes, weights, inputs))


def read_inputs(
    entry: NetworkSpec, sets: TrainingSets, split: str, work_dir: Path
) -> tuple[LabelledInputs, NDArray[np.int64]]:
    """A whole set as the network takes it, and the field (n,) of each sample.

    Parameters
    ----------
    entry : NetworkSpec
        The network.
    sets : TrainingSets
        What the network is trained on.
    split : str
        "train", "validation" or "test".
    work_dir : Path
        Folder of the compiled sets and checkpoints.

    Returns
    -------
    LabelledInputs
        Inputs and labels.
    (n,) int64
        Field of each sample.
    """
    n = sets.size(split)
    inputs = np.empty((n, entry.n_neighbors, 2 if entry.relative_xy else 1), np.float32)
    labels, field = np.empty(n, np.int8), np.empty(n, np.int64)
    stop = 0
    for part in read_parts(sets, split, work_dir):
        start, stop = stop, stop + len(part.labels)
        inputs[start:stop] = entry.inputs(part.windows)
        labels[start:stop], field[start:stop] = part.labels, part.field
    return LabelledInputs(inputs, labels), field


def _checkpoint(
    work_dir: Path, entry: NetworkSpec, sets: TrainingSets, settings: FitSettings, what: str = "fit"
) -> Path:
    values = json.dumps([entry.architecture, asdict(settings)], sort_keys=True)
    digest = hashlib.sha256(values.encode()).hexdigest()[:16]
    return work_dir / "fits" / f"{entry.name}-{sets.digest()}-{digest}-{what}.npz"
