"""Weights of the networks: parsed only where their SHA-256 is the one their card pins."""

from __future__ import annotations

import os

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from caml_dask.errors import WeightsError
from caml_dask.networks.cards import Card, read_card, weights_bytes
from caml_dask.networks.spec import NetworkSpec


def load_weights(network: str | os.PathLike[str] | Card) -> dict[str, NDArray[np.float32]]:
    """The weight arrays of a network, checked before anything of them is parsed.

    Parameters
    ----------
    network : str or path-like or Card
        As of :func:`caml_dask.networks.cards.read_card`, or a card that was read.

    Returns
    -------
    dict of str to (...) float32
        Arrays by name.

    Raises
    ------
    UsageError
        No such network.
    WeightsError
        Bytes that are not the ones the card pins, other arrays than the network's, or values that are not finite.
    """
    found = network if isinstance(network, Card) else read_card(network)
    blob = weights_bytes(found)
    try:
        arrays = safetensors.numpy.load(blob)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{found.place.weights} is no safetensors file ({error}): {found.place.remedy}") from error
    check_weights(found.spec, arrays)
    return arrays


def check_weights(entry: NetworkSpec, arrays: dict[str, NDArray[np.float32]]) -> None:
    """Refuse arrays that are not the network's.

    Parameters
    ----------
    entry : NetworkSpec
        The network.
    arrays : mapping of str to ndarray
        Arrays by name.

    Raises
    ------
    WeightsError
        Other names, shapes or types, or values that are not finite.
    """
    found = {key: (array.dtype.name, array.shape) for key, array in arrays.items()}
    wanted = {key: ("float32", shape) for key, shape in entry.shapes}
    if found != wanted:
        raise WeightsError(f"weights of {entry.name} hold {found}, wanted {wanted}: train {entry.name} again")
    broken = [key for key, array in arrays.items() if not np.isfinite(array).all()]
    if broken:
        raise WeightsError(f"weights of {entry.name} hold non-finite values in {', '.join(broken)}: train it again")
