"""Keras architectures of the networks of Williamson et al. 2020; Keras is imported when one is built."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from caml_dask.extras import require
from caml_dask.networks.layers import (
    CONVOLUTION_DENSE_UNITS,
    CONVOLUTIONS,
    DENSE_UNITS,
    FILTER_STEPS,
    FILTERS,
    HIDDEN_UNITS,
    LSTM_UNITS,
    POOL,
    Shapes,
    outputs,
)

if TYPE_CHECKING:
    import keras

DROPOUT = 0.2


def import_keras() -> Any:
    """Keras on its TensorFlow backend, with its log at errors only unless the user asked for more.

    Worker processes are to be spawned, never forked, once this was called.

    Raises
    ------
    UsageError : they are not installed.
    """
    require("train", "Keras")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import keras

    return keras


def build_dense(n_neighbors: int, n_classes: int, channels: int = 1) -> keras.Model:
    """The dense network: 32 rectified units at each of the N steps, one sigmoid (or a softmax) over all of them.

    The units start with their bends spread over 0 to 1. From Keras' own start, every bias 0, they stay bunched near the
    median step, and the loss ends some 4 % higher.
    """
    keras = import_keras()
    start = keras.initializers
    return keras.Sequential(
        [
            keras.Input((n_neighbors, channels)),
            keras.layers.Dense(
                HIDDEN_UNITS,
                activation="relu",
                kernel_initializer=start.RandomNormal(stddev=3.0),
                bias_initializer=start.RandomUniform(-0.5, 0.5),
            ),
            keras.layers.Flatten(),
            _output(n_classes),
        ]
    )


def build_lstm(n_neighbors: int, n_classes: int) -> keras.Model:
    """The LSTM network: filters over neighboring steps, two LSTM layers, dense layers; maxima of four before and after.

    The published dropout inside the LSTM layers is left out: the published accuracy is passed without it.
    """
    keras = import_keras()
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((n_neighbors, 1)),
            layers.Conv1D(FILTERS, FILTER_STEPS, activation="relu"),
            layers.MaxPooling1D(POOL),
            layers.Dropout(DROPOUT),
            layers.LSTM(LSTM_UNITS, return_sequences=True),
            layers.LSTM(LSTM_UNITS, return_sequences=True),
            layers.Dropout(DROPOUT),
            layers.MaxPooling1D(POOL),
            layers.Flatten(),
            *(layers.Dense(units, activation="relu") for units in DENSE_UNITS),
            _output(n_classes),
        ]
    )


def build_convolution(n_neighbors: int, n_classes: int) -> keras.Model:
    """The convolutional network: four layers of rectified filters in strides, then dense layers."""
    keras = import_keras()
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((n_neighbors, 1)),
            *(layers.Conv1D(filters, width, strides, activation="relu") for filters, width, strides in CONVOLUTIONS),
            layers.Flatten(),
            *(layers.Dense(units, activation="relu") for units in CONVOLUTION_DENSE_UNITS),
            _output(n_classes),
        ]
    )


def _output(n_classes: int) -> Any:
    """The last layer: clustered or not, or a share for each of several classes."""
    activation = "sigmoid" if n_classes == 2 else "softmax"
    return import_keras().layers.Dense(outputs(n_classes), activation=activation)


def keras_scores(
    build: Callable[[], keras.Model],
    shapes: Shapes,
    weights: Mapping[str, NDArray[np.float32]],
    windows: NDArray[np.float32],
    *,
    threads: int = 1,
) -> NDArray[np.float32]:
    """Scores, (n, c) float32, by Keras itself: the reference, and what scores networks that are never shipped.

    windows : the network's input.
    threads : as of :class:`caml_dask.networks.inference.scoring.Score`; Keras takes as many as it finds.
    """
    model = build()
    model.set_weights([weights[name] for name, _ in shapes])
    return np.asarray(model.predict(windows, batch_size=4_096, verbose=0), np.float32)
