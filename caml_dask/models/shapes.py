"""Sizes of the networks' layers, and the names and shapes of their weights in Keras' order."""

from __future__ import annotations

Shapes = tuple[tuple[str, tuple[int, ...]], ...]

HIDDEN_UNITS = 32
"""Of the dense network, at each step."""

FILTERS = 32
FILTER_STEPS = 3
POOL = 4
LSTM_UNITS = 32
DENSE_UNITS = (32, 16)


def dense_shapes(n_neighbors: int) -> Shapes:
    """Names and shapes of the dense network's weights, in Keras' order."""
    return (
        ("hidden_kernel", (1, HIDDEN_UNITS)),
        ("hidden_bias", (HIDDEN_UNITS,)),
        ("output_kernel", (n_neighbors * HIDDEN_UNITS, 1)),
        ("output_bias", (1,)),
    )


def pooled_steps(n_neighbors: int) -> tuple[int, int]:
    """Steps that the LSTM network has after its first and after its second maximum."""
    first = (n_neighbors - FILTER_STEPS + 1) // POOL
    return first, first // POOL


def lstm_shapes(n_neighbors: int) -> Shapes:
    """Names and shapes of the LSTM network's weights, in Keras' order."""
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
        ("output_kernel", (second, 1)),
        ("output_bias", (1,)),
    )
