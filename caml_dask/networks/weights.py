"""Weights of the networks: read only where their SHA-256 is the one their card pins."""

from __future__ import annotations

import hashlib
from importlib.resources.abc import Traversable

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from caml_dask.errors import WeightsError
from caml_dask.networks.cards import card, weights_folder
from caml_dask.networks.registry import NetworkSpec, spec_named


def load_weights(name: str, folder: Traversable | None = None) -> dict[str, NDArray[np.float32]]:
    """The weight arrays of the network `name`, checked before anything of them is parsed.

    Parameters
    ----------
    name : a network in the registry.
    folder : where NAME.safetensors and NAME.json lie; None takes the package's own.

    Raises
    ------
    UsageError : no such network.
    WeightsError : bytes that are not the ones the card pins, other arrays than the network's, or values that are not
        finite.
    """
    entry = spec_named(name)
    pinned = card(name, folder)["weights_sha256"]
    at = (weights_folder() if folder is None else folder) / f"{name}.safetensors"
    try:
        blob = at.read_bytes()
    except OSError as error:
        raise WeightsError(f"{at} cannot be read ({error}): reinstall caml_dask") from error
    found = hashlib.sha256(blob).hexdigest()
    if found != pinned:
        raise WeightsError(
            f"{at} has SHA-256 {found}, its card pins {pinned}: the file was altered; reinstall caml_dask"
        )
    try:
        arrays = safetensors.numpy.load(blob)
    except safetensors.SafetensorError as error:
        raise WeightsError(f"{at} is no safetensors file ({error}): train {name} again") from error
    check_weights(entry, arrays)
    return arrays


def check_weights(entry: NetworkSpec, arrays: dict[str, NDArray[np.float32]]) -> None:
    """Refuse arrays that are not the network's.

    Raises
    ------
    WeightsError : other names, shapes or types, or values that are not finite.
    """
    found = {key: (array.dtype.name, array.shape) for key, array in arrays.items()}
    wanted = {key: ("float32", shape) for key, shape in entry.shapes}
    if found != wanted:
        raise WeightsError(f"weights of {entry.name} hold {found}, wanted {wanted}: train {entry.name} again")
    broken = [key for key, array in arrays.items() if not np.isfinite(array).all()]
    if broken:
        raise WeightsError(f"weights of {entry.name} hold non-finite values in {', '.join(broken)}: train it again")
