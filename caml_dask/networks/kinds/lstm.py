"""The LSTM network of Williamson et al. 2020: filters, two LSTM layers, dense layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from caml_dask.compiled import njit
from caml_dask.networks.inference.lanes import LINEAR, RECTIFIED, ROWS, layer, multiply_add, packed, raise_to
from caml_dask.networks.inference.scoring import Scorer, Weights, finish_group, read_group
from caml_dask.networks.layers import Shapes, outputs
from caml_dask.networks.training.keras import import_keras, output_layer

if TYPE_CHECKING:
    import keras

FILTERS = 32
FILTER_STEPS = 3
POOL = 4
LSTM_UNITS = 32
DENSE_UNITS = (32, 16)
DROPOUT = 0.2

NEAREST = np.float32(1.5 * 2**23)
"""Added, it rounds a float32 below 2**22 to the nearest whole number, which then stands in the last bits."""
LEAST_EXPONENT = np.float32(-126)
MOST_EXPONENT = np.float32(40)
"""So that the product of three such powers is finite; the sigmoid is off by 1e-12 there."""
POLYNOMIAL = tuple(np.float32(x) for x in (0.00132646524, 0.00967151132, 0.0555073396, 0.240222421, 0.693146978, 1.0))
"""2 ** x for x from -1/2 to 1/2, highest power first: of those that give 1 at 0, the one nearest everywhere."""
ONE = np.float32(1)
LOG2_E = 1.4426950408889634
TANH_SCALE = np.float32(-2 * LOG2_E)
GATE_SCALES = (-LOG2_E, -LOG2_E, -2 * LOG2_E, -LOG2_E)
"""In Keras' order: input, forget, cell, output. Sigmoid and tanh of x come from 2 to the power of x times this; the
weights are multiplied by it beforehand."""


def pooled_steps(n_neighbors: int) -> tuple[int, int]:
    """Steps that the LSTM network has after its first and after its second maximum.

    Parameters
    ----------
    n_neighbors : int
        Neighbors in the input window, N.

    Returns
    -------
    tuple of int
        Steps after the first and after the second maximum.
    """
    first = (n_neighbors - FILTER_STEPS + 1) // POOL
    return first, first // POOL


def lstm_shapes(n_neighbors: int, n_classes: int) -> Shapes:
    """Names and shapes of the LSTM network's weights, in Keras' order.

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
    first, second = DENSE_UNITS
    return (
        ("filter_kernel", (FILTER_STEPS, 1, FILTERS)),
        ("filter_bias", (FILTERS,)),
        ("lstm_1_kernel", (FILTERS, 4 * LSTM_UNITS)),
        ("lstm_1_recurrent_kernel", (LSTM_UNITS, 4 * LSTM_UNITS)),
        ("lstm_1_bias", (4 * LSTM_UNITS,)),
        ("lstm_2_kernel", (LSTM_UNITS, 4 * LSTM_UNITS)),
        ("lstm_2_recurrent_kernel", (LSTM_UNITS, 4 * LSTM_UNITS)),
        ("lstm_2_bias", (4 * LSTM_UNITS,)),
        ("dense_1_kernel", (pooled_steps(n_neighbors)[1] * LSTM_UNITS, first)),
        ("dense_1_bias", (first,)),
        ("dense_2_kernel", (first, second)),
        ("dense_2_bias", (second,)),
        ("output_kernel", (second, outputs(n_classes))),
        ("output_bias", (outputs(n_classes),)),
    )


def build_lstm(n_neighbors: int, n_classes: int) -> keras.Model:
    """The LSTM network: filters over neighboring steps, two LSTM layers, dense layers; maxima of four before and after.

    The published dropout inside the LSTM layers is left out: the published accuracy is passed without it.

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
            layers.Conv1D(FILTERS, FILTER_STEPS, activation="relu"),
            layers.MaxPooling1D(POOL),
            layers.Dropout(DROPOUT),
            layers.LSTM(LSTM_UNITS, return_sequences=True),
            layers.LSTM(LSTM_UNITS, return_sequences=True),
            layers.Dropout(DROPOUT),
            layers.MaxPooling1D(POOL),
            layers.Flatten(),
            *(layers.Dense(units, activation="relu") for units in DENSE_UNITS),
            output_layer(n_classes),
        ]
    )


@intrinsic
def _scaled(typing_context: Any, value: Any, exponent: Any) -> Any:
    """`value`, 0.7 to 1.5, times 2 to the power of the whole number in the last bits of the float32 `exponent`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = context.get_value_type(types.int32)
        bits, added = (builder.bitcast(argument, number) for argument in arguments)
        return builder.bitcast(builder.add(bits, builder.shl(added, number(23))), arguments[0].type)

    return types.float32(types.float32, types.float32), generate


@njit()
def power_of_two(x):  # type: ignore[no-untyped-def]
    """2 ** x of a float32 between LEAST_EXPONENT and MOST_EXPONENT, to 2e-7 of it; x beyond counts as one of them.

    Neither a library call nor a branch, so that a loop of it fills vector lanes.
    """
    x = min(max(x, LEAST_EXPONENT), MOST_EXPONENT)
    whole = x + NEAREST
    rest = x - (whole - NEAREST)
    power = POLYNOMIAL[0]
    for i in range(1, 6):
        power = multiply_add(power, rest, POLYNOMIAL[i])
    return _scaled(power, whole)


@njit(error_model="numpy")
def update(gates, cell, out):  # type: ignore[no-untyped-def]
    """New `cell` and `out`, (n,), of LSTM units from their scaled `gates`, (4, n).

    cell = sigmoid(forget) * cell + sigmoid(input) * tanh(gate) and out = sigmoid(output) * tanh(cell), each as one
    fraction, for divisions are slow.
    """
    for j in range(cell.shape[0]):
        taken, kept = ONE + power_of_two(gates[0, j]), ONE + power_of_two(gates[1, j])
        new, shown = power_of_two(gates[2, j]), ONE + power_of_two(gates[3, j])
        taken *= ONE + new
        value = (cell[j] * taken + (ONE - new) * kept) / (kept * taken)
        cell[j] = value
        power = power_of_two(TANH_SCALE * value)
        out[j] = (ONE - power) / (shown * (ONE + power))


@njit()
def _filtered(steps, kernel, bias, one, out):  # type: ignore[no-untyped-def]
    """Fill `out`, (FILTERS, ROWS): rectified filters over neighboring `steps`, the largest of POOL places each.

    `one`, as `out`, is working memory.
    """
    out[:] = 0
    for t in range(POOL):
        layer(steps[t : t + FILTER_STEPS], kernel, bias, RECTIFIED, one)
        raise_to(one, out)


@njit()
def _lstm_scores(distances, scores, second, filters, stacked, dense):  # type: ignore[no-untyped-def]
    """Fill `scores`, (n, c) float32.

    `second` are the steps after the second maximum; packed kernels and biases: of the `filters`, of both `stacked` LSTM
    layers, and of the `dense` layers. `states` hold what the filters give, then the first and the second LSTM layer's
    state, so that the input of each layer and its own state are one piece.
    """
    rows = np.empty((ROWS, distances.shape[1]), np.float32)
    steps = np.empty((distances.shape[1], ROWS), np.float32)
    one = np.empty((FILTERS, ROWS), np.float32)
    states = np.empty((FILTERS + 2 * LSTM_UNITS, ROWS), np.float32)
    gates = np.empty((4 * LSTM_UNITS, ROWS), np.float32)
    cells = np.empty((2, LSTM_UNITS * ROWS), np.float32)
    largest = np.empty((second, LSTM_UNITS, ROWS), np.float32)
    for start in range(0, distances.shape[0], ROWS):
        read_group(distances, start, rows, steps)
        cells[:] = 0
        states[:] = 0
        largest[:] = LINEAR
        for s in range(POOL * second):
            _filtered(steps[POOL * s :], filters[0], filters[1], one, states[:FILTERS])
            for n in range(2):
                kernel, bias = stacked[n]
                own = FILTERS + n * LSTM_UNITS
                layer(states[own + LSTM_UNITS - kernel.shape[1] :], kernel, bias, LINEAR, gates)
                out = states[own : own + LSTM_UNITS].reshape(LSTM_UNITS * ROWS)
                update(gates.reshape(4, LSTM_UNITS * ROWS), cells[n], out)
            raise_to(states[FILTERS + LSTM_UNITS :], largest[s // POOL])
        finish_group(largest.reshape(second * LSTM_UNITS, ROWS), dense, start, scores)


def _packed_lstm(weights: Weights, name: str) -> tuple[NDArray[np.float32], ...]:
    """Kernel and bias of an LSTM layer over its input and its state, scaled for `power_of_two`, and packed."""
    scale = np.repeat(GATE_SCALES, LSTM_UNITS)
    kernel = np.vstack([weights[f"{name}_kernel"], weights[f"{name}_recurrent_kernel"]])
    return packed(kernel * scale, weights[f"{name}_bias"] * scale)


def _arrays(weights: Weights, n_neighbors: int) -> tuple[Any, ...]:
    """The arrays of `lstm_shapes` as the kernel takes them."""
    filters = packed(weights["filter_kernel"], weights["filter_bias"])
    stacked = tuple(_packed_lstm(weights, name) for name in ("lstm_1", "lstm_2"))
    dense = tuple(
        packed(weights[f"{name}_kernel"], weights[f"{name}_bias"]) for name in ("dense_1", "dense_2", "output")
    )
    return pooled_steps(n_neighbors)[1], filters, stacked, dense


lstm_scores = Scorer(_lstm_scores, _arrays)
"""Of the LSTM network of Williamson et al. 2020."""
