"""Training a network from simulated fields: ``python -m caml_dask.models.train XPILJZ --out DIR``."""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from caml_dask.errors import CamlError
from caml_dask.models.classify import THRESHOLD
from caml_dask.models.features import norm_self
from caml_dask.models.fit import fit
from caml_dask.models.registry import FitSettings, Network, network
from caml_dask.models.training_sets import SPLITS, Samples, TrainingSets, draw_samples, load_set
from caml_dask.models.weights import check_weights
from caml_dask.simulate import Scenario, simulate

FIT_OPTIONS = {"epochs": int, "batch": int, "learning_rate": float, "seed": int}
PUBLISHED = "Williamson et al. 2020, Nature Communications 11, s41467-020-15293-x"
LIMITS = (
    "Clusters of more localizations than the window come out fragmented or missed. Trained on simulated fields"
    " without re-blinking, drift or localization uncertainty, and without CSR fields; the share of those that it calls"
    " clustered is in the results."
)
CSR_DENSITIES_PER_UM2 = (10, 50, 100, 500, 1_000)
CSR_SAMPLES = 3_000


def train(
    name: str,
    out_dir: Path,
    work_dir: Path,
    sets: TrainingSets | None = None,
    settings: FitSettings | None = None,
    *,
    restarts: int = 1,
    command: str = "",
) -> dict[str, Any]:
    """Train a network and write its weights and card; what an interrupted call finished is not done again.

    Parameters
    ----------
    name : a network in the registry.
    out_dir : where NAME.safetensors and NAME.json go.
    work_dir : where the simulated sets and the checkpoints are kept.
    sets : what is simulated; None takes the protocol of Williamson et al. 2020.
    settings : how to fit; None takes the network's own.
    restarts : fits from consecutive seeds, of which the one best on the validation set is kept.
    command : what was called, for the card.

    Returns
    -------
    the card.

    Raises
    ------
    UsageError : no such network, or sets that ask more of a field than it holds.
    WeightsError : the fit diverged.
    """
    entry = network(name)
    sets = TrainingSets() if sets is None else sets
    settings = entry.settings if settings is None else settings
    samples = {split: load_set(sets, split, entry.n_neighbors, work_dir) for split in SPLITS}
    inputs = {split: (norm_self(samples[split].distances), samples[split].labels) for split in ("train", "validation")}
    fits = []
    for restart in range(restarts):
        again = replace(settings, seed=settings.seed + restart)
        at = work_dir / f"{name}-{sets.digest(entry.n_neighbors)}-{_digest(asdict(again))}.npz"
        fits.append((*fit(entry, inputs["train"], inputs["validation"], again, at), again))
    weights, epoch, _, used = min(fits, key=lambda done: done[2])
    check_weights(entry, weights)
    blob = safetensors.numpy.save(weights)
    found = {
        **_about(entry, hashlib.sha256(blob).hexdigest(), command),
        "training": _protocol(sets, used, epoch, restarts),
        "results": {
            **{split: measure(entry, weights, samples[split], sets) for split in SPLITS},
            "csr_percent_called_clustered_by_density_per_um2": measure_csr(entry, weights, sets.seed),
        },
    }
    out_dir.mkdir(parents=True, exist_ok=True)
    _publish(out_dir / f"{name}.safetensors", blob)
    _publish(out_dir / f"{name}.json", (json.dumps(found, indent=2) + "\n").encode())
    return found


def measure(
    entry: Network, weights: dict[str, NDArray[np.float32]], samples: Samples, sets: TrainingSets
) -> dict[str, Any]:
    """How well weights do on a set, scored the way the package scores.

    Returns
    -------
    accuracy, and F1, precision and recall as means of the two classes; by density the mean of the two classes' recall,
    and the same without the fully clustered fields, whose localizations are the easiest to tell.
    """
    found = entry.score(weights, samples.distances) > THRESHOLD
    truth = samples.labels > 0
    density = np.array([scenario.density_per_um2 for scenario in sets.scenarios])[samples.scenario]
    mixed = np.array([scenario.percent_clustered < 100 for scenario in sets.scenarios])[samples.scenario]
    rates = {key: round(value, 4) for key, value in _rates(truth, found).items()}
    return {
        "n": len(truth),
        **rates,
        "balanced_accuracy_by_density_per_um2": _by_density(truth, found, density),
        "balanced_accuracy_mixed_fields": round(_rates(truth[mixed], found[mixed])["recall"], 4),
        "balanced_accuracy_mixed_fields_by_density_per_um2": _by_density(truth[mixed], found[mixed], density[mixed]),
    }


def measure_csr(entry: Network, weights: dict[str, NDArray[np.float32]], seed: int) -> dict[str, float]:
    """Percent of localizations called clustered where none are, in one CSR field at each density."""
    found = {}
    for density in CSR_DENSITIES_PER_UM2:
        rng = np.random.default_rng([seed, density])
        distances, _ = draw_samples(simulate(Scenario.csr(density), rng), 0, CSR_SAMPLES, entry.n_neighbors, rng)
        found[f"{density:g}"] = round(100 * float((entry.score(weights, distances) > THRESHOLD).mean()), 2)
    return found


def _by_density(
    truth: NDArray[np.bool_], found: NDArray[np.bool_], density_per_um2: NDArray[np.float64]
) -> dict[str, float]:
    """Mean of the two classes' recall at each density."""
    rows = {f"{density:g}": density_per_um2 == density for density in np.unique(density_per_um2)}
    return {density: round(_rates(truth[at], found[at])["recall"], 4) for density, at in rows.items()}


def _rates(truth: NDArray[np.bool_], found: NDArray[np.bool_]) -> dict[str, float]:
    """Accuracy, and means over the classes that occur of F1, precision and recall."""
    per_class = []
    for of, said in ((truth, found), (~truth, ~found)):
        if of.any():
            hits = float((of & said).sum())
            per_class.append((2 * hits / (of.sum() + said.sum()), hits / max(said.sum(), 1), hits / of.sum()))
    f1, precision, recall = (float(np.mean(column)) for column in zip(*per_class, strict=True))
    return {"accuracy": float((truth == found).mean()), "f1": f1, "precision": precision, "recall": recall}


def _about(entry: Network, weights_sha256: str, command: str) -> dict[str, Any]:
    """The part of a card that says what the weights are."""
    return {
        "name": entry.name,
        "weights_sha256": weights_sha256,
        "n_neighbors": entry.n_neighbors,
        "dimensions": entry.dimensions,
        "classes": list(entry.classes),
        "input_form": entry.input_form,
        "architecture": f"{entry.architecture}; after {PUBLISHED}",
        "origin": "trained anew; the published weights are not available",
        "limits": LIMITS,
        "weights": {key: list(shape) for key, shape in entry.shapes},
        "command": command,
        "made_with": {
            "python": platform.python_version(),
            "machine": platform.machine(),
            **{package: version(package) for package in ("numpy", "scipy", "keras", "tensorflow")},
        },
    }


def _protocol(sets: TrainingSets, used: FitSettings, epoch: int, restarts: int) -> dict[str, Any]:
    """The part of a card that says how the weights were made."""
    return {
        "data": (
            f"{len(sets.scenarios)} simulated scenarios, one field for each replicate; no field feeds two sets."
            " Each class is drawn evenly from the fields that hold it"
        ),
        "replicates": {split: list(replicates) for split, replicates in SPLITS.items()},
        "samples": {split: sets.size(split) for split in SPLITS},
        "simulation_seed": sets.seed,
        "loss": "binary cross-entropy",
        "optimizer": "Adam, cosine decay to 1 % of the learning rate",
        **asdict(used),
        "restarts": restarts,
        "kept_epoch": epoch,
        "kept_by": "lowest loss on the validation set",
    }


def _digest(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def _publish(at: Path, blob: bytes) -> None:
    """Write under a working name and rename, so that what is there is whole."""
    working = at.with_name(at.name + ".part")
    with working.open("wb") as stream:
        stream.write(blob)
        stream.flush()
        os.fsync(stream.fileno())
    working.replace(at)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: 0 done, 2 usage, 4 failed."""
    parser = argparse.ArgumentParser(
        "python -m caml_dask.models.train", description="Train a network from simulated fields."
    )
    parser.add_argument("name", help="the network, such as XPILJZ")
    parser.add_argument("--out", type=Path, required=True, help="where the weights and the card go")
    parser.add_argument("--work", type=Path, required=True, help="where simulated sets and checkpoints are kept")
    for option, kind in FIT_OPTIONS.items():
        parser.add_argument(
            f"--{option.replace('_', '-')}", type=kind, help="of the fit; the network's own unless given"
        )
    parser.add_argument(
        "--restarts", type=int, default=1, help="fits from consecutive seeds, the best of which is kept"
    )
    given = list(sys.argv[1:] if arguments is None else arguments)
    asked = parser.parse_args(given)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        chosen = {key: value for key in FIT_OPTIONS if (value := getattr(asked, key)) is not None}
        settings = replace(network(asked.name).settings, **chosen)
        command = shlex.join(["python", "-m", "caml_dask.models.train", *given])
        found = train(asked.name, asked.out, asked.work, settings=settings, restarts=asked.restarts, command=command)
    except CamlError as error:
        logging.getLogger(__name__).error("%s", error)
        return 2 if isinstance(error, ValueError) else 4
    sys.stdout.write(json.dumps(found["results"]["test"], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
