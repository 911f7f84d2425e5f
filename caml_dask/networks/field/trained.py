"""The field networks that ship with the package: weights, and the cards that say how they were made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from caml_dask.errors import UsageError, WeightsError
from caml_dask.networks.field.graph import NEIGHBORS
from caml_dask.networks.field.network import Layers
from caml_dask.settings import FIELD_NETWORKS

CALLED = 0.5
"""Probability from which a localization counts as clustered."""
LINKED = 0.2
"""Share of the expected radius within which votes are linked."""
LEAST_LOCALIZATIONS = 30
"""Of a field: the least on which the network was trained."""


def _folder() -> Traversable:
    return files("caml_dask.networks.field") / "weights"


def field_card(axes: int) -> dict[str, Any]:
    """The card of the field network for so many axes.

    Parameters
    ----------
    axes : int
        2 or 3.

    Returns
    -------
    dict
        The card's values.

    Raises
    ------
    UsageError
        None ships for so many axes.
    """
    path = _folder() / f"field-{axes}d.json"
    if not path.is_file():
        raise UsageError(
            f"no field network for {axes} axes ships with this version: train one, or take another network"
        )
    card: dict[str, Any] = json.loads(path.read_text())
    return card


def is_field_network(network: str) -> bool:
    """Whether settings name a field network.

    Parameters
    ----------
    network : str
        Name or path, as of :class:`caml_dask.settings.Settings`.

    Returns
    -------
    bool
        False for a network of windows.
    """
    return network in FIELD_NETWORKS


def field_network_for(axes: int) -> str | None:
    """The name of the field network for so many axes.

    Parameters
    ----------
    axes : int
        2 or 3.

    Returns
    -------
    str or None
        Its name; None where none ships with this version.
    """
    return f"field-{axes}d" if (_folder() / f"field-{axes}d.json").is_file() else None


@dataclass(frozen=True, eq=False)
class TrainedFieldNetwork:
    """A field network with its weights.

    Parameters
    ----------
    name : str
        "field-2d" or "field-3d".
    card : mapping
        What is known of it.
    weights : mapping of str to float32 array
        By name.
    """

    name: str
    card: Mapping[str, Any] = field(repr=False)
    weights: Mapping[str, NDArray[np.float32]] = field(repr=False)
    n_neighbors: int = NEIGHBORS
    least_localizations: int = LEAST_LOCALIZATIONS
    classes: tuple[str, ...] = ("non-clustered", "clustered")
    score_columns: tuple[str, ...] = ("p_clustered",)

    @property
    def dimensions(self) -> int:
        """Dimensions of the coordinates it was trained on."""
        return int(self.card["dimensions"])

    @property
    def identity(self) -> dict[str, str]:
        """Name and digest: what a manifest says of it, and what tells its results from another's."""
        return {"name": self.name, "weights_sha256": self.card["weights_sha256"]}

    @property
    def trained_on(self) -> Mapping[str, tuple[float, float]]:
        """Empty: its prior has no ranges that a field could be compared with."""
        return {}

    @property
    def csr_percent(self) -> tuple[float, ...]:
        """Percent of localizations that it puts in clusters in simulated fields without clusters."""
        return tuple(self.card["results"]["percent_in_clusters_on_random_fields"].values())

    @cached_property
    def layers(self) -> Layers:
        """The weights as kernels take them."""
        return Layers(self.weights)

    def labels(self, scores: NDArray[np.float32]) -> NDArray[np.int8]:
        """Classes of `scores`, (n, 1) float32: (n,) int8.

        Parameters
        ----------
        scores : (n, 1) float32
            Probabilities of being in a cluster.

        Returns
        -------
        (n,) int8
            Classes, by their place in `classes`.
        """
        return (scores[:, 0] > CALLED).astype(np.int8)


@cache
def load_field_network(name: str) -> TrainedFieldNetwork:
    """The field network that ships with the package under a name.

    Parameters
    ----------
    name : str
        One of ``settings.FIELD_NETWORKS``.

    Returns
    -------
    TrainedFieldNetwork
        The network.

    Raises
    ------
    UsageError
        None ships under the name.
    WeightsError
        Its weights are not the ones that its card pins.
    """
    axes = 2 + FIELD_NETWORKS.index(name)
    return TrainedFieldNetwork(name, field_card(axes), load_field(axes))


@cache
def load_field(axes: int) -> dict[str, NDArray[np.float32]]:
    """The weights of the field network for so many axes, parsed only where their SHA-256 is the one of the card.

    Parameters
    ----------
    axes : int
        2 or 3.

    Returns
    -------
    dict of str to float32 array
        Weights by name.

    Raises
    ------
    UsageError
        None ships for so many axes.
    WeightsError
        The bytes are not the ones that the card pins.
    """
    wanted = field_card(axes)["weights_sha256"]
    blob = (_folder() / f"field-{axes}d.safetensors").read_bytes()
    found = hashlib.sha256(blob).hexdigest()
    if found != wanted:
        raise WeightsError(
            f"field-{axes}d.safetensors has SHA-256 {found}, its card says {wanted}: reinstall caml_dask"
        )
    return safetensors.numpy.load(blob)
