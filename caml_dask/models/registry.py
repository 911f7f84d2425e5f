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
from caml_dask.models.lstm import lstm_scores
from caml_dask.models.networks import build_dense, build_lstm
from caml_dask.models.shapes import Shapes, dense_shapes, lstm_shapes

if TYPE_CHECKING:
    import keras

Array = NDArray[np.float32]


@dataclass(frozen=True)
class FitSettings:
    """How a network is fitted.

    Parameters
    ----------
    epochs : passes over the training set.
    batch : samples an update.
    learning_rate : of Adam at the first update; it falls to 1 % of it along a cosine.
    seed : of the initial weights and of the order of samples.
    """

    epochs: int
    batch: int
    learning_rate: float
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1 or not self.learning_rate > 0:
            raise UsageError(f"{self}: give at least one epoch, one sample a batch and a positive learning rate")


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
    settings : how it is fitted unless asked otherwise.
    architecture : its layers, and what of the published ones was left out, for the card.
    """

    name: str
    n_neighbors: int
    dimensions: int
    classes: tuple[str, ...]
    input_form: str
    shapes: Shapes
    build: Callable[[], keras.Model]
    score: Callable[[Mapping[str, Array], Array], Array]
    settings: FitSettings
    architecture: str


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
            settings=FitSettings(epochs=20, batch=1_024, learning_rate=3e-3),
            architecture="32 rectified units at each step, then one sigmoid over all of them",
        ),
        Network(
            name="07VEJJ",
            n_neighbors=100,
            dimensions=2,
            classes=("non-clustered", "clustered"),
            input_form="norm-self",
            shapes=lstm_shapes(100),
            build=partial(build_lstm, 100),
            score=partial(lstm_scores, n_neighbors=100),
            settings=FitSettings(epochs=16, batch=512, learning_rate=3e-3),
            architecture=(
                "convolution of 32 rectified filters over 3 steps, maximum of 4, dropout 0.2, two LSTM layers of 32"
                " units, dropout 0.2, maximum of 4, rectified layers of 32 and 16 units, one sigmoid; left out: the"
                " dropout inside the LSTM layers, of their input and of their recurrent state"
            ),
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
