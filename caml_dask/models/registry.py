"""The networks that can be used: one entry each, and weights with a card for every entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from caml_dask.errors import UsageError
from caml_dask.models.dense import dense_scores
from caml_dask.models.networks import Shapes, build_dense, dense_shapes

if TYPE_CHECKING:
    import keras

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Network:
    """An architecture and how to score with it.

    Parameters
    ----------
    name : as published by Williamson et al. 2020.
    n_neighbors : neighbors in its input window, N.
    dimensions : 2 or 3, of the coordinates it was trained on.
    classes : names of the classes, in the order of `label`.
    input_form : how distances become its input.
    shapes : name and shape of each weight array, in Keras' order.
    build : makes the untrained Keras model.
    score : from weights and (n, N) float32 distances to (n,) float32 scores, row by row to the bit.
    """

    name: str
    n_neighbors: int
    dimensions: int
    classes: tuple[str, ...]
    input_form: str
    shapes: Shapes
    build: Callable[[], keras.Model]
    score: Callable[[Mapping[str, Array], Array], Array]


NETWORKS = {
    entry.name: entry
    for entry in (
        Network(
            name="XPILJZ",
            n_neighbors=100,
            dimensions=2,
            classes=("non-clustered", "clustered"),
            input_form="norm-self",
            shapes=dense_shapes(100),
            build=partial(build_dense, 100),
            score=dense_scores,
        ),
    )
}


def network(name: str) -> Network:
    """The entry called `name`.

    Raises
    ------
    UsageError : no such network; the message lists those there are.
    """
    try:
        return NETWORKS[name]
    except KeyError:
        raise UsageError(f"unknown model {name!r}: use one of {', '.join(NETWORKS)}") from None
