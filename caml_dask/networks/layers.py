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

CONVOLUTIONS = ((48, 8, 4), (64, 6, 4), (64, 4, 2), (64, 4, 2))
"""Filters, width and stride of each layer of the convolutional network."""
CONVOLUTION_DENSE_UNITS = (128, 32)


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


def convolved_steps(n_neighbors: int) -> tuple[int, ...]:
    """Steps that the convolutional network has after each convolution; below 1 where the window is too small."""
    steps, found = n_neighbors, []
    for _, width, stride in CONVOLUTIONS:
        steps = (steps - width) // stride + 1
        found.append(steps)
    return tuple(found)


def convolution_shapes(n_neighbors: int, n_classes: int) -> Shapes:
    """Names and shapes of the convolutional network's weights, in Keras' order."""
    shapes: list[tuple[str, tuple[int, ...]]] = []
    channels = 1
    for i, (filters, width, _) in enumerate(CONVOLUTIONS, 1):
        shapes += [(f"filter_{i}_kernel", (width, channels, filters)), (f"filter_{i}_bias", (filters,))]
        channels = filters
    units = convolved_steps(n_neighbors)[-1] * channels
    for name, wide in zip(
        ("dense_1", "dense_2", "output"), (*CONVOLUTION_DENSE_UNITS, outputs(n_classes)), strict=True
    ):
        shapes += [(f"{name}_kernel", (units, wide)), (f"{name}_bias", (wide,))]
        units = wide
    return tuple(shapes)
