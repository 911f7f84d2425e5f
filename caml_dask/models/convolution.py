"""Scoring of the convolutional network without TensorFlow: one compiled loop over localizations."""

from __future__ import annotations

from collections.abc import Mapping

import numba
import numpy as np
from numpy.typing import NDArray

from caml_dask.models.features import as_distances, norm_self_row, refuse_row, shares
from caml_dask.models.lstm import add_products, relu
from caml_dask.models.shapes import CONVOLUTIONS, convolution_shapes, convolved_steps


@numba.njit(cache=True, nogil=True)
def _convolved(values, stride, kernel, bias, out):  # type: ignore[no-untyped-def]
    """Fill `out`, (steps, filters): rectified filters over `values`, (steps before x channels,), read in strides.

    `kernel` is (width x channels, filters), `stride` counts steps times channels.
    """
    for s in range(out.shape[0]):
        out[s] = bias
        add_products(values[s * stride : s * stride + kernel.shape[0]], kernel, out[s])
        relu(out[s])


@numba.njit(cache=True, nogil=True)
def _convolution_scores(distances, layers, strides, places, dense, scores):  # type: ignore[no-untyped-def]
    """Fill `scores`, (n, c) float32; the first row that is not ascending and finite, or -1.

    Each sum runs in order, apart for each unit, so that the order of additions, hence every bit, is the same whatever
    the batch. `layers` are kernel and bias of each convolution, `places` hold what comes out of it.
    """
    kernel_1, bias_1, kernel_2, bias_2, kernel_3, bias_3, kernel_4, bias_4 = layers
    first, second, third, fourth = places
    dense_kernel_1, dense_bias_1, dense_kernel_2, dense_bias_2, output_kernel, output_bias = dense
    steps = np.empty(distances.shape[1], np.float32)
    dense_1 = np.empty(dense_bias_1.shape[0], np.float32)
    dense_2 = np.empty(dense_bias_2.shape[0], np.float32)
    for r in range(distances.shape[0]):
        if not norm_self_row(distances[r], steps):
            return r
        _convolved(steps, strides[0], kernel_1, bias_1, first)
        _convolved(first.reshape(first.size), strides[1], kernel_2, bias_2, second)
        _convolved(second.reshape(second.size), strides[2], kernel_3, bias_3, third)
        _convolved(third.reshape(third.size), strides[3], kernel_4, bias_4, fourth)
        dense_1[:] = dense_bias_1
        add_products(fourth.reshape(fourth.size), dense_kernel_1, dense_1)
        relu(dense_1)
        dense_2[:] = dense_bias_2
        add_products(dense_1, dense_kernel_2, dense_2)
        relu(dense_2)
        scores[r] = output_bias
        add_products(dense_2, output_kernel, scores[r])
        shares(scores[r])
    return -1


def convolution_scores(
    weights: Mapping[str, NDArray[np.float32]], distances: NDArray[np.float32], n_neighbors: int
) -> NDArray[np.float32]:
    """Scores from neighbor distances by the convolutional network.

    Parameters
    ----------
    weights : the arrays of `shapes.convolution_shapes`, for N neighbors.
    distances : (n, N) float32
        Ascending distances of n localizations to their N nearest neighbors.
    n_neighbors : N.

    Returns
    -------
    (n, c) float32
        c is 1 for two classes, p_clustered, and the number of classes otherwise. Each row's scores depend on that row
        alone, to the bit.

    Raises
    ------
    InputError : distances of another shape or type, or a row that is not finite, non-negative and ascending.
    """
    rows = as_distances(distances, n_neighbors)
    scores = np.empty((len(rows), len(weights["output_bias"])), np.float32)
    arrays = [np.ascontiguousarray(weights[name]) for name, _ in convolution_shapes(n_neighbors, 2)]
    count = 2 * len(CONVOLUTIONS)
    layers = tuple(array.reshape(-1, array.shape[-1]) if array.ndim == 3 else array for array in arrays[:count])
    channels = (1, *(filters for filters, _, _ in CONVOLUTIONS))
    strides = tuple(stride * channels[i] for i, (_, _, stride) in enumerate(CONVOLUTIONS))
    places = tuple(
        np.empty((steps, filters), np.float32)
        for steps, (filters, _, _) in zip(convolved_steps(n_neighbors), CONVOLUTIONS, strict=True)
    )
    bad = _convolution_scores(rows, layers, strides, places, tuple(arrays[count:]), scores)
    refuse_row(rows, int(bad))
    return scores
