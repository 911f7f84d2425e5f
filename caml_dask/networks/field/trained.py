"""The field networks that ship with the package: weights, and the cards that say how they were made."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from caml_dask.errors import UsageError, WeightsError


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
