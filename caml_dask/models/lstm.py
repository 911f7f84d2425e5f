"""Scoring of the LSTM network without TensorFlow: one compiled loop over localizations.

The helpers of the loop stay in its file: numba's cache on disk notices changes of the file that holds a compiled
function, not of files that it calls into.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from caml_dask.models.features import as_distances, norm_self_row, refuse_row, shares
from caml_dask.models.shapes import FILTERS, LSTM_UNITS, POOL, lstm_shapes, pooled_steps

LOG2_E = np.float32(1.44269504)
LN2_HIGH = np.float32(0.693359375)
LN2_LOW = np.float32(-2.12194440e-4)
NEAREST = np.float32(1.5 * 2**23)
"""Added and taken away again, it rounds a float32 below 2**22 to the nearest whole number."""
EXP_LIMIT = np.float32(87.0)
TAYLOR = tuple(np.float32(x) for x in (1 / 5_040, 1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2))
ONE = np.float32(1)
TWO = np.float32(2)


@intrinsic
def _power_of_two(typing_context: Any, exponent: Any) -> Any:
    """2 ** exponent of a whole float32 from -126 to 127, by writing the exponent's bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        whole = context.cast(builder, arguments[0], types.float32, types.int32)
        bits = builder.shl(builder.add(whole, whole.type(127)), whole.type(23))
        return builder.bitcast(bits, context.get_value_type(types.float32))

    return types.float32(types.float32), generate


@intrinsic
def _multiply_add(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c of float32, rounded once: half the instructions, and the same bits on every CPU."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return types.float32(types.float32, types.float32, types.float32), generate


@numba.njit(cache=True, nogil=True, error_model="numpy")
def sigmoid(x):  # type: ignore[no-untyped-def]
    """1 / (1 + exp(-x)) of a float32, to 2e-7.

    Neither a library call nor a branch on division by zero (`error_model`), so that a loop of it fills vector lanes.
    """
    y = min(max(-x, -EXP_LIMIT), EXP_LIMIT)
    whole = (y * LOG2_E + NEAREST) - NEAREST
    rest = (y - whole * LN2_HIGH) - whole * LN2_LOW
    power = TAYLOR[0]
    for i in range(1, 6):
        power = power * rest + TAYLOR[i]
    power = (power * rest + ONE) * rest + ONE
    return ONE / (ONE + power * _power_of_two(whole))


@numba.njit(cache=True, nogil=True)
def tanh(x):  # type: ignore[no-untyped-def]
    """Hyperbolic tangent of a float32, to 4e-7."""
    return TWO * sigmoid(TWO * x) - ONE


@numba.njit(cache=True, nogil=True)
def relu(values):  # type: ignore[no-untyped-def]
    """Rectify `values`, (n,) float32, in place."""
    for j in range(values.shape[0]):
        values[j] = max(values[j], np.float32(0))


@numba.njit(cache=True, nogil=True)
def add_products(values, kernel, out):  # type: ignore[no-untyped-def]
    """Add `values`, (m,), times `kernel`, (m, n), to `out`, (n,); m a multiple of four.

    Four at a time, so that `out` is read and written once for four products; the order of additions is that of m.
    """
    for i in range(0, values.shape[0], 4):
        a, b, c, d = values[i], values[i + 1], values[i + 2], values[i + 3]
        for j in range(out.shape[0]):
            near = _multiply_add(b, kernel[i + 1, j], _multiply_add(a, kernel[i, j], out[j]))
            out[j] = _multiply_add(d, kernel[i + 3, j], _multiply_add(c, kernel[i + 2, j], near))


@numba.njit(cache=True, nogil=True)
def _filters(steps, kernel, bias, out):  # type: ignore[no-untyped-def]
    """Fill `out`, (n, FILTERS): rectified filters over three `steps`, the largest of four places each."""
    for s in range(out.shape[0]):
        out[s] = 0
        for t in range(POOL * s, POOL * (s + 1)):
            for j in range(FILTERS):
                value = bias[j] + steps[t] * kernel[0, 0, j] + steps[t + 1] * kernel[1, 0, j]
                out[s, j] = max(out[s, j], value + steps[t + 2] * kernel[2, 0, j])


@numba.njit(cache=True, nogil=True)
def _lstm(inputs, kernel, recurrent, bias, gates, cell, out):  # type: ignore[no-untyped-def]
    """Fill `out`, (n, LSTM_UNITS), from `inputs`, (n, m): one LSTM layer.

    Gates come in Keras' order: input, forget, cell, output. `gates` and `cell` are working memory.
    """
    cell[:] = 0
    for s in range(out.shape[0]):
        gates[:] = bias
        add_products(inputs[s], kernel, gates)
        if s > 0:
            add_products(out[s - 1], recurrent, gates)
        for j in range(2 * LSTM_UNITS):
            gates[j] = sigmoid(gates[j])
        for j in range(2 * LSTM_UNITS, 3 * LSTM_UNITS):
            gates[j] = tanh(gates[j])
        for j in range(3 * LSTM_UNITS, 4 * LSTM_UNITS):
            gates[j] = sigmoid(gates[j])
        for j in range(LSTM_UNITS):
            cell[j] = gates[LSTM_UNITS + j] * cell[j] + gates[j] * gates[2 * LSTM_UNITS + j]
            out[s, j] = gates[3 * LSTM_UNITS + j] * tanh(cell[j])


@numba.njit(cache=True, nogil=True)
def _lstm_scores(distances, first, second, arrays, scores):  # type: ignore[no-untyped-def]
    """Fill `scores`, (n, c) float32; the first row that is not ascending and finite, or -1.

    Each sum runs in order, apart for each unit, so that the units fill the lanes of a vector and the order of
    additions, hence every bit, is the same whatever the batch. `first` and `second` are the steps after each maximum.
    """
    filter_kernel, filter_bias, kernel_1, recurrent_1, bias_1, kernel_2, recurrent_2, bias_2 = arrays[:8]
    dense_kernel_1, dense_bias_1, dense_kernel_2, dense_bias_2, output_kernel, output_bias = arrays[8:]
    steps = np.empty(distances.shape[1], np.float32)
    filtered = np.empty((first, FILTERS), np.float32)
    states = np.empty((first, LSTM_UNITS), np.float32)
    gates = np.empty(4 * LSTM_UNITS, np.float32)
    cell = np.empty(LSTM_UNITS, np.float32)
    largest = np.empty((second, LSTM_UNITS), np.float32)
    dense_1 = np.empty(dense_bias_1.shape[0], np.float32)
    dense_2 = np.empty(dense_bias_2.shape[0], np.float32)
    for r in range(distances.shape[0]):
        if not norm_self_row(distances[r], steps):
            return r
        _filters(steps, filter_kernel, filter_bias, filtered)
        _lstm(filtered, kernel_1, recurrent_1, bias_1, gates, cell, states)
        _lstm(states, kernel_2, recurrent_2, bias_2, gates, cell, filtered)
        for s in range(second):
            largest[s] = filtered[POOL * s]
            for t in range(POOL * s + 1, POOL * (s + 1)):
                for j in range(LSTM_UNITS):
                    largest[s, j] = max(largest[s, j], filtered[t, j])
        dense_1[:] = dense_bias_1
        add_products(largest.reshape(second * LSTM_UNITS), dense_kernel_1, dense_1)
        relu(dense_1)
        dense_2[:] = dense_bias_2
        add_products(dense_1, dense_kernel_2, dense_2)
        relu(dense_2)
        for c in range(output_bias.shape[0]):
            logit = output_bias[c]
            for j in range(dense_2.shape[0]):
                logit += dense_2[j] * output_kernel[j, c]
            scores[r, c] = logit
        shares(scores[r])
    return -1


def lstm_scores(
    weights: Mapping[str, NDArray[np.float32]], distances: NDArray[np.float32], n_neighbors: int
) -> NDArray[np.float32]:
    """Scores from neighbor distances by the LSTM network of Williamson et al. 2020.

    Parameters
    ----------
    weights : the arrays of `shapes.lstm_shapes`, for N neighbors.
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
    arrays = tuple(np.ascontiguousarray(weights[name]) for name, _ in lstm_shapes(n_neighbors, 2))
    bad = _lstm_scores(rows, *pooled_steps(n_neighbors), arrays, scores)
    refuse_row(rows, int(bad))
    return scores
