"""Field networks with their weights: those that ship with the package, and those that their users trained."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from caml_dask.errors import UsageError, WeightsError
from caml_dask.networks.cards import bounded_bytes
from caml_dask.networks.field.architecture import weight_shapes
from caml_dask.networks.field.network import Layers
from caml_dask.networks.field.ranks import NEIGHBORS
from caml_dask.networks.field.said import Said
from caml_dask.schema import CLUSTERED, FIBER, NON_CLUSTERED
from caml_dask.settings import FIBER_NETWORK, FIELD_NETWORKS

LEAST_LOCALIZATIONS = 30
"""Of a field: the least on which the network was trained."""
_MOST_CARD_BYTES = 1 << 20
_HEADER_BYTES = 1 << 16


def is_field_network(network: str) -> bool:
    """Whether settings name a field network.

    Parameters
    ----------
    network : str
        Name or path, as of :class:`caml_dask.settings.Settings`.

    Returns
    -------
    bool
        False for a network of windows, and for what does not exist.
    """
    if network in FIELD_NETWORKS:
        return True
    return os.path.isabs(network) and _own_card(Path(network)) is not None  # noqa: PTH117 - a str stays one


def field_network_for(axes: int) -> str | None:
    """The name of the field network that ships for so many axes.

    Parameters
    ----------
    axes : int
        2 or 3.

    Returns
    -------
    str or None
        Its name; None where none ships with this version.
    """
    name = f"field-{axes}d"
    return name if ships(name) else None


def ships(name: str) -> bool:
    """Whether the weights of a field network are in this version.

    Parameters
    ----------
    name : str
        One of ``settings.FIELD_NETWORKS``.

    Returns
    -------
    bool
        True if they are.
    """
    return (_folder() / f"{name}.json").is_file()


@dataclass(frozen=True, eq=False)
class TrainedFieldNetwork:
    """A field network with its weights.

    Parameters
    ----------
    name : str
        One of ``settings.FIELD_NETWORKS``.
    card : mapping
        What is known of it.
    weights : mapping of str to float32 array
        By name.
    card_sha256 : str or None
        Digest of its card's file; None for a network that ships with the package.
    """

    name: str
    card: Mapping[str, Any] = field(repr=False)
    weights: Mapping[str, NDArray[np.float32]] = field(repr=False)
    card_sha256: str | None = None
    n_neighbors: int = NEIGHBORS
    least_localizations: int = LEAST_LOCALIZATIONS

    @property
    def fibers(self) -> bool:
        """Whether it tells fibers from round clusters."""
        return "fiber1_kernel" in self.weights

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of its classes, by label."""
        return ("non-clustered", "round", "fiber") if self.fibers else ("non-clustered", "clustered")

    @property
    def score_columns(self) -> tuple[str, ...]:
        """Names of its scores."""
        return ("p_non", "p_round", "p_fiber") if self.fibers else ("p_clustered",)

    @property
    def dimensions(self) -> int:
        """Dimensions of the coordinates it was trained on."""
        return int(self.card["dimensions"])

    @property
    def identity(self) -> dict[str, str]:
        """Name and digests: what a manifest says of it, and what tells its results from another's."""
        own = {} if self.card_sha256 is None else {"card_sha256": self.card_sha256}
        return {"name": self.name, "weights_sha256": self.card["weights_sha256"], **own}

    @property
    def trained_on(self) -> Mapping[str, tuple[float, float]]:
        """Empty: its prior has no ranges that a field could be compared with."""
        return {}

    @property
    def csr_percent(self) -> tuple[float, ...]:
        """Empty: see `trained_on`."""
        return ()

    @cached_property
    def layers(self) -> Layers:
        """The weights as kernels take them."""
        return Layers(self.weights)

    def labels(self, scores: NDArray[np.float32]) -> NDArray[np.int8]:
        """Classes of localizations.

        Parameters
        ----------
        scores : (n, c) float32
            Probabilities, in the order of `score_columns`.

        Returns
        -------
        (n,) int8
            Classes, by their place in `classes`.
        """
        called, _ = self.weights["decision"]
        if not self.fibers:
            return (scores[:, 0] > called).astype(np.int8)
        shape = np.where(scores[:, 2] > scores[:, 1], FIBER, CLUSTERED)
        return np.where(1 - scores[:, 0] > called, shape, NON_CLUSTERED).astype(np.int8)

    def scores(self, said: Said) -> NDArray[np.float32]:
        """Its scores.

        Parameters
        ----------
        said : Said
            Its answer for n localizations.

        Returns
        -------
        (n, c) float32
            Probabilities, in the order of `score_columns`.
        """
        clustered = said.clustered
        if not self.fibers:
            return clustered[:, None]
        return np.stack([1 - clustered, clustered * (1 - said.fiber), clustered * said.fiber], axis=1)


def load_field_network(network: str) -> TrainedFieldNetwork:
    """A field network with its weights; those of one's own are read again when they have changed.

    Parameters
    ----------
    network : str
        One of ``settings.FIELD_NETWORKS``; or the absolute path of a folder that `caml-dask train-field` wrote, or of
        the card in it.

    Returns
    -------
    TrainedFieldNetwork
        The network.

    Raises
    ------
    UsageError
        None ships under the name.
    WeightsError
        A card or weights that cannot be read or are not those of a field network, or weights that are not the ones
        that the card pins.
    """
    if network not in FIELD_NETWORKS:
        card: Traversable | None = _own_card(Path(network))
        remedy, shipped = "train it again, or copy its folder anew", False
    else:
        card = _folder() / f"{network}.json"
        remedy, shipped = "reinstall caml_dask", True
    if card is None or (shipped and not card.is_file()):
        raise UsageError(f"no field network {network} ships with this version: train one, or take another network")
    name = card.name.removesuffix(".json")
    weights = Path(str(card)).with_suffix(".safetensors") if not shipped else _folder() / f"{name}.safetensors"
    most = sum(4 * math.prod(shape) for shape in weight_shapes(fibers=True).values()) + _HEADER_BYTES
    blobs = bounded_bytes(card, _MOST_CARD_BYTES, remedy), bounded_bytes(weights, most, remedy)
    try:
        return _parsed(name, *blobs, shipped)
    except (ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise WeightsError(f"{card} and its weights are no field network ({error}): {remedy}") from error


def _folder() -> Traversable:
    return files("caml_dask.networks.field") / "weights"


def _own_card(path: Path) -> Path | None:
    """The card of a field network of one's own; None where there is none."""
    cards = [path] if path.suffix == ".json" else [path / f"{name}.json" for name in FIELD_NETWORKS]
    return next((card for card in cards if card.stem in FIELD_NETWORKS and card.is_file()), None)


@lru_cache(maxsize=8)
def _parsed(name: str, card: bytes, weights: bytes, shipped: bool) -> TrainedFieldNetwork:
    about = json.loads(card)
    if about["name"] != name or not name.startswith(f"field-{about['dimensions']}d"):
        raise ValueError(f"the card says {about['name']} of {about['dimensions']} axes")
    found = hashlib.sha256(weights).hexdigest()
    if found != about["weights_sha256"]:
        raise ValueError(f"the weights have SHA-256 {found}, the card says {about['weights_sha256']}")
    arrays = safetensors.numpy.load(weights)
    shapes = {key: (array.shape, array.dtype.name) for key, array in arrays.items()}
    wanted = weight_shapes(fibers=name == FIBER_NETWORK)
    if shapes != {key: (shape, "float32") for key, shape in wanted.items()}:
        raise ValueError("its arrays are not those of this version's architecture")
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ValueError("its weights are not finite")
    return TrainedFieldNetwork(name, about, arrays, None if shipped else hashlib.sha256(card).hexdigest())
