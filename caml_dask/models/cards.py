"""Model cards: what a network's weights are, how they were made and how well they do."""

from __future__ import annotations

import json
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from caml_dask.errors import WeightsError
from caml_dask.models.registry import NETWORKS, network


def weights_folder() -> Traversable:
    """Where the weights and cards that ship with the package lie."""
    return files("caml_dask.models") / "weights"


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
            f"  {found['limits']}",
            f"  weights SHA-256 {found['weights_sha256']}",
        ]
    return "\n".join(lines)


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
    network(name)
    at = (weights_folder() if folder is None else folder) / f"{name}.json"
    try:
        found = json.loads(at.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{at} is no readable model card ({error}): reinstall caml_dask") from error
    if not isinstance(found, dict) or found.get("name") != name or not isinstance(found.get("weights_sha256"), str):
        raise WeightsError(f"{at} pins no weights of {name}: reinstall caml_dask")
    return found
