"""Model cards: what a network's weights are, how they were made and how well they do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from caml_dask.errors import WeightsError
from caml_dask.networks.registry import NETWORKS, spec_named


def weights_folder() -> Traversable:
    """Where the weights and cards that ship with the package lie."""
    return files("caml_dask.networks") / "weights"


def catalogue() -> str:
    """The networks that can be used, a few lines each, as users read them."""
    lines = []
    for entry in NETWORKS.values():
        found = card(entry.name)
        test = found["results"]["test"]
        lines += [
            f"{entry.name}: {entry.dimensions}D, {entry.n_neighbors} neighbors, {' / '.join(entry.classes)}",
            f"  {100 * test['accuracy']:.1f} % right on {test['n']:,} localizations of held-out simulated fields "
            f"(F1 {test['f1']:.3f}, precision {test['precision']:.3f}, recall {test['recall']:.3f})",
            f"  for {entry.holds}",
            f"  not for {entry.fails}",
            f"  weights SHA-256 {found['weights_sha256']}",
        ]
    return "\n".join([*lines, "All that is known of one: caml-dask networks NAME"])


def readable(name: str) -> str:
    """The card of the network `name` as text.

    Raises
    ------
    UsageError : no such network.
    """
    entry, found = spec_named(name), card(name)
    training, results = found["training"], found["results"]
    ranges = found["trained_on"]
    test, mixed = results["test"], results["test"]["mixed_fields"]
    csr = results["csr_percent_called_clustered_by_density_per_um2"]
    lines = [
        f"# {name}",
        f"{entry.dimensions}D, {entry.n_neighbors} neighbors; classes {', '.join(entry.classes)}.",
        f"Layers: {found['architecture']}.",
        f"Weights: {found['origin']}; SHA-256 {found['weights_sha256']}.",
        "",
        "## Trained on",
        f"{training['data']}.",
        f"Grid `{training['grid']}`: {_span(ranges['points_per_cluster'])} points per cluster, "
        f"{_span(ranges['percent_clustered'])} % clustered, clusters {_span(ranges['contrast'])} times denser than "
        "what surrounds them. No re-blinking, drift or localization uncertainty; no fields without clusters.",
        f"{training['samples']['train']:,} samples, {training['epochs']} epochs, seed {training['seed']}; epoch "
        f"{training['kept_epoch']} kept by the {training['kept_by']}. Command: `{found['command']}`.",
        "",
        "## Where it holds, where it fails",
        f"Holds for {entry.holds}.",
        f"Fails for {entry.fails}.",
        "",
        "## On held-out simulated fields",
        f"Accuracy {_percent(test['accuracy'])}, F1 {test['f1']:.4f}, precision {test['precision']:.4f}, recall "
        f"{test['recall']:.4f} (means over classes) of {test['n']:,} localizations.",
        _by_density(test),
        *(_without_full_fields(mixed) if mixed["n"] < test["n"] else ()),
        f"Confusion (rows true, columns found): {test['confusion']}.",
        f"Called clustered where nothing is: {_listed(csr, 'per um2', 1.0)}.",
    ]
    if "cross_validation" in results:
        folds = results["cross_validation"]
        lines.append(
            f"{folds['folds']}-fold cross-validation on {folds['samples']:,} samples, {folds['epochs']} epochs each: "
            f"accuracy {_percent(folds['mean'])} +- {100 * folds['standard_deviation']:.2f}."
        )
    losses = ", ".join(f"{train:.4f} / {held:.4f}" for train, held in training["losses_train_validation"])
    return "\n".join([*lines, f"Loss by epoch, training / validation: {losses}."])


def _by_density(found: Mapping[str, Any]) -> str:
    by_density = _listed(found["balanced_accuracy_by_density_per_um2"], "per um2", 100.0)
    return f"Balanced accuracy by density, mean over fields: {by_density}."


def _without_full_fields(mixed: Mapping[str, Any]) -> Iterator[str]:
    yield "Without the fully clustered fields:"
    yield f"Accuracy {_percent(mixed['accuracy'])}, mean recall {_percent(mixed['recall'])}."
    yield _by_density(mixed)


def _span(ends: list[float]) -> str:
    return f"{ends[0]:g} to {ends[1]:g}"


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _listed(values: dict[str, float], unit: str, factor: float) -> str:
    return ", ".join(f"{factor * value:.1f} % at {key}" for key, value in values.items()) + f" {unit}"


def card(name: str, folder: Traversable | None = None) -> dict[str, Any]:
    """The card of the network `name`, as plain values.

    Parameters
    ----------
    name : a network in the registry.
    folder : where NAME.json lies; None takes the package's own.

    Raises
    ------
    UsageError : no such network.
    WeightsError : no readable card, or one that pins no weights of this network.
    """
    spec_named(name)
    at = (weights_folder() if folder is None else folder) / f"{name}.json"
    try:
        found = json.loads(at.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{at} is no readable model card ({error}): reinstall caml_dask") from error
    if not isinstance(found, dict) or found.get("name") != name or not isinstance(found.get("weights_sha256"), str):
        raise WeightsError(f"{at} pins no weights of {name}: reinstall caml_dask")
    return found
