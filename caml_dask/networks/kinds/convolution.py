"""The convolutional network after Williamson et al. 2020: filters in strides, then dense layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from caml_dask.compiled import njit
from caml_dask.networks.inference.lanes import RECTIFIED, ROWS, layer, packed
from caml_dask.networks.inference.scoring import Scorer, Weights, finish_group, read_group
from caml_dask.networks.layers import Shapes, outputs
from caml_dask.networks.training.keras import import_keras, output_layer

if TYPE_CHECKING:
    import keras

CONVOLUTIONS = ((48, 8, 4), (64, 6, 4), (64, 4, 2), (64, 4, 2))
"""Filters, width and stride of each layer."""
DENSE_UNITS = (128, 32)


def convolved_steps(n_neighbors: int) -> tuple[int, ...]:
    """Steps that the convolutional network has after each convolution; below 1 where the window is too small.

    Parameters
    ----------
    n_neighbors : int
        Neighbors in the input window, N.

    Returns
    -------
    tuple of int
        Steps after each convolution.
    """
    steps, found = n_neighbors, []
    for _, width, stride in CONVOLUTIONS:
        steps = (steps - width) // stride + 1
        found.append(steps)
    return tuple(found)


def convolution_shapes(n_neighbors: int, n_classes: int) -> Shapes:
    """Names and shapes of the convolutional network's weights, in Keras' order.

    Parameters
    ----------
    n_neighbors : int
        Neighbors in the input window, N.
    n_classes : int
        Number of classes.

    Returns
    -------
    tuple of (str, tuple of int)
        Name and shape of each array.
    """
    shapes: list[tuple[str, tuple[int, ...]]] = []
    channels = 1
    for i, (filters, width, _) in enumerate(CONVOLUTIONS, 1):
        shapes += [(f"filter_{i}_kernel", (width, channels, filters)), (f"filter_{i}_bias", (filters,))]
        channels = filters
    units = convolved_steps(n_neighbors)[-1] * channels
    for name, wide in zip(("dense_1", "dense_2", "output"), (*DENSE_UNITS, outputs(n_classes)), strict=True):
        shapes += [(f"{name}_kernel", (units, wide)), (f"{name}_bias", (wide,))]
        units = wide
    return tuple(shapes)


def build_convolution(n_neighbors: int, n_classes: int) -> keras.Model:
    """The convolutional network: four layers of rectified filters in strides, then dense layers.

    Parameters
    ----------
    n_neighbors : int
        Neighbors in the input window, N.
    n_classes : int
        Number of classes.

    Returns
    -------
    keras.Model
        The untrained model.
    """
    keras = import_keras()
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((n_neighbors, 1)),
            *(layers.Conv1D(filters, width, strides, activation="relu") for filters, width, strides in CONVOLUTIONS),
            layers.Flatten(),
            *(layers.Dense(units, activation="relu") for units in DENSE_UNITS),
            output_layer(n_classes),
        ]
    )


@njit()
def _convolved(values, stride, kernel, bias, out):  # type: ignore[no-untyped-def]
    """Fill `out`, (steps x filters, ROWS): rectified filters over `values`, (steps before x channels, ROWS).

    `kernel` and `bias` are packed; `stride` counts steps times channels.
    """
    width, filters = kernel.shape[1], bias.size
    for s in range(out.shape[0] // filters):
        seen = values[s * stride : s * stride + width]
        layer(seen, kernel, bias, RECTIFIED, out[s * filters : (s + 1) * filters])


@njit()
def _convolution_scores(distances, scores, convolutions, strides, sizes, dense):  # type: ignore[no-untyped-def]
    """Fill `scores`, (n, c) float32.

    `convolutions` and `dense` are packed kernels and biases, `strides` those of the convolutions in numbers of their
    input, `sizes` how many numbers come out of each.
    """
    rows = np.empty((ROWS, distances.shape[1]), np.float32)
    steps = np.empty((distances.shape[1], ROWS), np.float32)
    for start in range(0, distances.shape[0], ROWS):
        read_group(distances, start, rows, steps)
        values = steps
        for i in range(len(convolutions)):
            kernel, bias = convolutions[i]
            out = np.empty((sizes[i], ROWS), np.float32)
            _convolved(values, strides[i], kernel, bias, out)
            values = out
        finish_group(values, dense, start, scores)


def _arrays(weights: Weights, n_neighbors: int) -> tuple[Any, ...]:
    """The arrays of `convolution_shapes` as the kernel takes them."""
    names = [name for name, _ in convolution_shapes(n_neighbors, 2)]
    layers = tuple(packed(weights[kernel], weights[bias]) for kernel, bias in zip(names[::2], names[1::2], strict=True))
    convolutions, dense = layers[: len(CONVOLUTIONS)], layers[len(CONVOLUTIONS) :]
    filters = [count for count, _, _ in CONVOLUTIONS]
    strides = tuple(
        stride * channels for (_, _, stride), channels in zip(CONVOLUTIONS, [1, *filters[:-1]], strict=True)
    )
    sizes = tuple(steps * count for steps, count in zip(convolved_steps(n_neighbors), filters, strict=True))
    return convolutions, strides, sizes, dense


convolution_scores = Scorer(_convolution_scores, _arrays)
"""Of the convolutional network."""
