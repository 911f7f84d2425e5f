"""Keras, imported when a network is built: its last layer, and the scores it gives."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from caml_dask.extras import require
from caml_dask.networks.layers import Shapes, outputs

if TYPE_CHECKING:
    import keras


def import_keras() -> Any:
    """Keras on its TensorFlow backend, with its log at errors only unless the user asked for more.

    Worker processes are to be spawned, never forked, once this was called.

    Returns
    -------
    module
        Keras.

    Raises
    ------
    UsageError
        They are not installed.
    """
    require("train", "Keras")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import keras

    return keras


def output_layer(n_classes: int) -> Any:
    """The last layer: clustered or not, or a share for each of several classes.

    Parameters
    ----------
    n_classes : int
        Number of classes.

    Returns
    -------
    keras.Layer
        A dense layer with a sigmoid, or a softmax for more than two classes.
    """
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

    Parameters
    ----------
    build : callable
        Makes the untrained model.
    shapes : tuple of (str, tuple of int)
        Name and shape of each weight array, in Keras' order.
    weights : mapping of str to (...) float32
        Weight arrays by name.
    windows : (n, N, 1 or 2) float32
        The network's input.
    threads : int
        Not used: Keras takes as many as it finds.

    Returns
    -------
    (n, c) float32
        Scores, 0 to 1.
    """
    model = build()
    model.set_weights([weights[name] for name, _ in shapes])
    return np.asarray(model.predict(windows, batch_size=4_096, verbose=0), np.float32)
