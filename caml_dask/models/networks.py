"""Keras architectures of the networks of Williamson et al. 2020; Keras is imported when one is built."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from caml_dask.models.dense import HIDDEN_UNITS

if TYPE_CHECKING:
    import keras

Shapes = tuple[tuple[str, tuple[int, ...]], ...]


def import_keras() -> Any:
    """Keras on its TensorFlow backend, with its log at errors only unless the user asked for more.

    Worker processes are to be spawned, never forked, once this was called.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import keras

    return keras


def dense_shapes(n_neighbors: int) -> Shapes:
    """Names and shapes of the dense network's weights, in Keras' order."""
    return (
        ("hidden_kernel", (1, HIDDEN_UNITS)),
        ("hidden_bias", (HIDDEN_UNITS,)),
        ("output_kernel", (n_neighbors * HIDDEN_UNITS, 1)),
        ("output_bias", (1,)),
    )


def build_dense(n_neighbors: int) -> keras.Model:
    """The dense network: 32 rectified units at each of the N steps, one sigmoid over all of them.

    The units start with their bends spread over 0 to 1. From Keras' own start, every bias 0, they stay bunched near the
    median step, and the loss ends some 4 % higher.
    """
    keras = import_keras()
    start = keras.initializers
    return keras.Sequential(
        [
            keras.Input((n_neighbors, 1)),
            keras.layers.Dense(
                HIDDEN_UNITS,
                activation="relu",
                kernel_initializer=start.RandomNormal(stddev=3.0),
                bias_initializer=start.RandomUniform(-0.5, 0.5),
            ),
            keras.layers.Flatten(),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
