"""The dense network of Williamson et al. 2020: one layer of units at each step, then one over all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from caml_dask.compiled import njit
from caml_dask.networks.inference.lanes import ROWS, larger, load, multiply_add, splat, store
from caml_dask.networks.inference.scoring import Scorer, Weights, read_group, write_group
from caml_dask.networks.layers import Shapes, outputs
from caml_dask.networks.training.keras import import_keras, output_layer

if TYPE_CHECKING:
    import keras

HIDDEN_UNITS = 32
"""At each step."""

TOGETHER = 4
"""Hidden units whose sums are taken together: with their weights they fill the CPU's registers."""


def dense_shapes(n_neighbors: int, n_classes: int, channels: int = 1) -> Shapes:
    """Names and shapes of the dense network's weights, in Keras' order; `channels` are the numbers a neighbor has.

    Parameters
    ----------
    n_neighbors : int
        Neighbors in the input window, N.
    n_classes : int
        Number of classes.
    channels : int
        Numbers that the window holds of each neighbor.

    Returns
    -------
    tuple of (str, tuple of int)
        Name and shape of each array.
    """
    return (
        ("hidden_kernel", (channels, HIDDEN_UNITS)),
        ("hidden_bias", (HIDDEN_UNITS,)),
        ("output_kernel", (n_neighbors * HIDDEN_UNITS, outputs(n_classes))),
        ("output_bias", (outputs(n_classes),)),
    )


def build_dense(n_neighbors: int, n_classes: int, channels: int = 1) -> keras.Model:
    """The dense network: 32 rectified units at each of the N steps, one sigmoid (or a softmax) over all of them.

    The units start with their bends spread over 0 to 1. From Keras' own start, every bias 0, they stay bunched near the
    median step, and the loss ends some 4 % higher.

    Parameters
    ----------
    n_neighbors : int
        Neighbors in the input window, N.
    n_classes : int
        Number of classes.
    channels : int
        Numbers that the window holds of each neighbor.

    Returns
    -------
    keras.Model
        The untrained model.
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
            output_layer(n_classes),
        ]
    )


@njit()
def _add_units(steps, weights, biases, kernel, total):  # type: ignore[no-untyped-def]
    """Add to `total`, lanes, what TOGETHER hidden units give to one output.

    Each unit's sum over the `steps`, (N, ROWS), runs in their order. `weights` and `biases` are (TOGETHER,), `kernel`
    is (N, TOGETHER).
    """
    zero = splat(np.float32(0))
    weight_0, weight_1, weight_2, weight_3 = splat(weights[0]), splat(weights[1]), splat(weights[2]), splat(weights[3])
    bias_0, bias_1, bias_2, bias_3 = splat(biases[0]), splat(biases[1]), splat(biases[2]), splat(biases[3])
    a = b = c = d = zero
    for i in range(steps.shape[0]):
        step = load(steps, i)
        a = multiply_add(larger(multiply_add(step, weight_0, bias_0), zero), splat(kernel[i, 0]), a)
        b = multiply_add(larger(multiply_add(step, weight_1, bias_1), zero), splat(kernel[i, 1]), b)
        c = multiply_add(larger(multiply_add(step, weight_2, bias_2), zero), splat(kernel[i, 2]), c)
        d = multiply_add(larger(multiply_add(step, weight_3, bias_3), zero), splat(kernel[i, 3]), d)
    one = splat(np.float32(1))
    return multiply_add(d, one, multiply_add(c, one, multiply_add(b, one, multiply_add(a, one, total))))


@njit()
def _dense_scores(distances, scores, weights, biases, kernel, output_bias):  # type: ignore[no-untyped-def]
    """Fill `scores`, (n, c) float32.

    `weights` and `biases` of the hidden units are (p, TOGETHER), `kernel` is (c, p, N, TOGETHER).
    """
    n_neighbors, outputs = distances.shape[1], scores.shape[1]
    rows = np.empty((ROWS, n_neighbors), np.float32)
    steps = np.empty((n_neighbors, ROWS), np.float32)
    logits = np.empty((outputs, ROWS), np.float32)
    for start in range(0, distances.shape[0], ROWS):
        read_group(distances, start, rows, steps)
        for c in range(outputs):
            total = splat(output_bias[c])
            for p in range(weights.shape[0]):
                total = _add_units(steps, weights[p], biases[p], kernel[c, p], total)
            store(total, logits, c)
        write_group(logits, start, scores)


def _arrays(weights: Weights, n_neighbors: int) -> tuple[NDArray[np.float32], ...]:
    """The arrays of `dense_shapes` as the kernel takes them."""
    outputs = len(weights["output_bias"])
    parts = (HIDDEN_UNITS // TOGETHER, TOGETHER)
    return (
        weights["hidden_kernel"].reshape(parts),
        weights["hidden_bias"].reshape(parts),
        np.ascontiguousarray(weights["output_kernel"].reshape(n_neighbors, *parts, outputs).transpose(3, 1, 0, 2)),
        weights["output_bias"],
    )


dense_scores = Scorer(_dense_scores, _arrays)
"""Of the dense network of Williamson et al. 2020."""
