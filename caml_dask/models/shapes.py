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


def outputs(n_classes: int) -> int:
    """Scores that a network gives: one for two classes, one each for more."""
    return 1 if n_classes == 2 else n_classes


def dense_shapes(n_neighbors: int, n_classes: int, channels: int = 1) -> Shapes:
    """Names and shapes of the dense network's weights, in Keras' order; `channels` are the numbers a neighbor has."""
    return (
        ("hidden_kernel", (channels, HIDDEN_UNITS)),
        ("hidden_bias", (HIDDEN_UNITS,)),
        ("output_kernel", (n_neighbors * HIDDEN_UNITS, outputs(n_classes))),
        ("output_bias", (outputs(n_classes),)),
    )


def pooled_steps(n_neighbors: int) -> tuple[int, int]:
    """Steps that the LSTM network has after its first and after its second maximum."""
    first = (n_neighbors - FILTER_STEPS + 1) // POOL
    return first, first // POOL


def lstm_shapes(n_neighbors: int, n_classes: int) -> Shapes:
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
        ("output_kernel", (second, outputs(n_classes))),
        ("output_bias", (outputs(n_classes),)),
    )
