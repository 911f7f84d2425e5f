"""Cards: what a network's weights are, how they were made and how well they do; where they lie, and how they are read.

Networks come from the package, by name, or from a folder that `caml-dask train --out` wrote: a card, NAME.json, beside
its weights, NAME.safetensors. Nothing in a card is executed: it names an architecture that the package knows.
"""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, NamedTuple

from caml_dask.errors import UsageError, WeightsError
from caml_dask.networks.card_fields import MOST_CARD_BYTES, checked
from caml_dask.networks.registry import NETWORKS, from_card, spec_named
from caml_dask.networks.spec import NetworkSpec
from caml_dask.settings import network_named

_CARD, _WEIGHTS = ".json", ".safetensors"


class Place(NamedTuple):
    """Where a card and its weights lie.

    folder : holds both.
    name : of the network, and the stem of both files.
    ships : whether it is the package's own folder.
    """

    folder: Traversable
    name: str
    ships: bool

    @property
    def card(self) -> Traversable:
        """The card's file."""
        return self.folder / f"{self.name}{_CARD}"

    @property
    def weights(self) -> Traversable:
        """The weights' file."""
        return self.folder / f"{self.name}{_WEIGHTS}"

    @property
    def remedy(self) -> str:
        """What to do about a file that is not as it should be."""
        return "reinstall caml_dask" if self.ships else "train it again, or copy both of its files again"


@dataclass(frozen=True)
class Card:
    """A card that was read and checked.

    place : where it lies.
    sha256 : of its file.
    about : its values.
    spec : the network it describes.
    """

    place: Place
    sha256: str
    about: Mapping[str, Any] = field(repr=False, compare=False)
    spec: NetworkSpec = field(repr=False, compare=False)


def weights_folder() -> Traversable:
    """Where the weights and cards that ship with the package lie.

    Returns
    -------
    Traversable
        The folder, in the installed package.
    """
    return files("caml_dask.networks") / "weights"


def card(network: str | os.PathLike[str]) -> dict[str, Any]:
    """The card of a network, as plain values; `network` and errors as of :func:`read_card`.

    Parameters
    ----------
    network : str or path-like
        Name, folder, card or weights of a network, as of :func:`read_card`.

    Returns
    -------
    dict
        The card's values.
    """
    return dict(read_card(network).about)


def read_card(network: str | os.PathLike[str]) -> Card:
    """The card of a network.

    Parameters
    ----------
    network : str or path-like
        A name, as :func:`caml_dask.settings.network_named` takes it; or a folder that holds one network, or the card or
        the weights of one.

    Returns
    -------
    Card
        The card, with its place and digest.

    Raises
    ------
    UsageError
        No such network, or a folder that holds none or several.
    WeightsError
        A card that cannot be read, or that describes no network this version knows; it is named by field.
    """
    place = _place(network_named(network))
    return _parsed(place, bounded_bytes(place.card, MOST_CARD_BYTES, place.remedy))


def _place(network: str) -> Place:
    if not os.path.isabs(network):  # noqa: PTH117 - a str stays one
        return Place(weights_folder(), spec_named(network).name, True)
    path = Path(network)
    if not os.path.exists(path):  # noqa: PTH110 - that of Path raises where a folder above may not be entered
        raise UsageError(
            f"{path} does not exist, as {socket.gethostname()} sees it: name a folder that `caml-dask train --out` "
            "wrote, in a place that all workers see"
        )
    if not path.is_dir():
        if path.suffix not in (_CARD, _WEIGHTS):
            raise UsageError(f"{path} is no network: name the folder, or the card NAME{_CARD}, of a trained network")
        return Place(path.parent, path.stem, False)
    stems = sorted(p.stem for p in path.glob(f"*{_CARD}") if p.with_suffix(_WEIGHTS).exists())
    if not stems:
        raise UsageError(
            f"{path} holds no network: name a folder with a card, NAME{_CARD}, and its weights, NAME{_WEIGHTS}, as "
            "`caml-dask train --out` writes them"
        )
    if len(stems) > 1:
        raise UsageError(f"{path} holds {len(stems)} networks: name one, such as {path / stems[0]}{_CARD}")
    return Place(path, stems[0], False)


def bounded_bytes(at: Traversable, most: int, remedy: str) -> bytes:
    """The bytes of a file of a network.

    Parameters
    ----------
    at : Traversable
        The file.
    most : int
        Bytes that it may have.
    remedy : str
        What a user can do where it cannot be used.

    Returns
    -------
    bytes
        Its content.

    Raises
    ------
    WeightsError
        No file, one that cannot be read, or one that is larger than `most`: it is not read.
    """
    try:
        if not at.is_file():
            raise FileNotFoundError("it is no file")
        with at.open("rb") as stream:
            blob: bytes = stream.read(most + 1)
    except OSError as error:
        raise WeightsError(f"{at} cannot be read ({error.strerror or error}): {remedy}") from error
    if len(blob) > most:
        raise WeightsError(f"{at} holds more than {most:,} bytes: it is no file of this network; {remedy}")
    return blob


@lru_cache(maxsize=32)
def _parsed(place: Place, blob: bytes) -> Card:
    try:
        about = checked(blob)
    except ValueError as error:
        raise WeightsError(f"{place.card} is no card that this version can use: {error}; {place.remedy}") from error
    if about["name"] != place.name:
        raise WeightsError(
            f"{place.card} is the card of {about['name']}: a card and its weights are called as their network; "
            f"{place.remedy}"
        )
    try:
        spec = NETWORKS[place.name] if place.ships else from_card(about)
    except UsageError as error:
        raise WeightsError(f"{place.card} describes no network: {error}; {place.remedy}") from error
    return Card(place, hashlib.sha256(blob).hexdigest(), about, spec)


def weights_bytes(found: Card) -> bytes:
    """The bytes of the weights that a card pins.

    Parameters
    ----------
    found : Card
        The card.

    Returns
    -------
    bytes
        Content of the weights' file, whose SHA-256 is the one that the card pins.

    Raises
    ------
    WeightsError
        No file, one too large for the network's arrays, or other bytes than the card pins.
    """
    place = found.place
    blob = bounded_bytes(place.weights, found.spec.most_bytes, place.remedy)
    digest, pinned = hashlib.sha256(blob).hexdigest(), found.about["weights_sha256"]
    if digest != pinned:
        raise WeightsError(
            f"{place.weights} has SHA-256 {digest}, its card pins {pinned}: the file was altered; {place.remedy}"
        )
    return blob
