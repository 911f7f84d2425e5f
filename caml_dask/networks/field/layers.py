"""The dense layers of the field network, compiled over groups of rows; a row's result depends on that row alone."""

from __future__ import annotations

import math

import numpy as np

from caml_dask.compiled import njit
from caml_dask.networks.inference.lanes import LINEAR, RECTIFIED, ROWS, layer


@njit()
def to_lanes(values, start, out, first):  # type: ignore[no-untyped-def]
    """Fill places of `out`, (m, ROWS), from `first` on with the rows of `values` from `start` on, the last repeated."""
    for r in range(ROWS):
        row = min(start + r, values.shape[0] - 1)
        for c in range(values.shape[1]):
            out[first + c, r] = values[row, c]


@njit()
def from_lanes(lanes, first, start, out):  # type: ignore[no-untyped-def]
    """Fill the rows of `out`, (n, c), from `start` on with the places of `lanes`, (m, ROWS), from `first` on."""
    for r in range(min(ROWS, out.shape[0] - start)):
        for c in range(out.shape[1]):
            out[start + r, c] = lanes[first + c, r]


@njit()
def normalize(values, places):  # type: ignore[no-untyped-def]
    """Give the first places of `values`, (m, ROWS), a mean of 0 and a variance of 1 in every lane."""
    mean, square = np.zeros(ROWS, np.float32), np.zeros(ROWS, np.float32)
    for c in range(places):
        for r in range(ROWS):
            mean[r] += values[c, r]
    for r in range(ROWS):
        mean[r] /= np.float32(places)
    for c in range(places):
        for r in range(ROWS):
            values[c, r] -= mean[r]
            square[r] += values[c, r] * values[c, r]
    for r in range(ROWS):
        square[r] = np.float32(1 / math.sqrt(np.float64(square[r]) / places + 1e-5))
    for c in range(places):
        for r in range(ROWS):
            values[c, r] *= square[r]


@njit()
def two_layers(a, b, c, normalized, first, second, out):  # type: ignore[no-untyped-def]
    """Fill `out`, (n, q): rectified `first`, then linear `second`, of the rows of `a`, `b` and `c` side by side.

    Those of `a` are normalized where it says so. `first` and `second` are packed kernel and bias.
    """
    width = a.shape[1] + b.shape[1] + c.shape[1]
    values = np.empty((width, ROWS), np.float32)
    hidden = np.empty((first[1].size, ROWS), np.float32)
    given = np.empty((second[1].size, ROWS), np.float32)
    for start in range(0, a.shape[0], ROWS):
        to_lanes(a, start, values, 0)
        if normalized:
            normalize(values, a.shape[1])
        to_lanes(b, start, values, a.shape[1])
        to_lanes(c, start, values, a.shape[1] + b.shape[1])
        layer(values, first[0], first[1], RECTIFIED, hidden)
        layer(hidden, second[0], second[1], LINEAR, given)
        from_lanes(given, 0, start, out)


@njit()
def one_layer(a, b, normalized, weights, least, out):  # type: ignore[no-untyped-def]
    """Fill `out`, (n, q): one layer of the rows of `a` and `b` side by side, RECTIFIED or LINEAR."""
    values = np.empty((a.shape[1] + b.shape[1], ROWS), np.float32)
    given = np.empty((weights[1].size, ROWS), np.float32)
    for start in range(0, a.shape[0], ROWS):
        to_lanes(a, start, values, 0)
        if normalized:
            normalize(values, a.shape[1])
        to_lanes(b, start, values, a.shape[1])
        layer(values, weights[0], weights[1], least, given)
        from_lanes(given, 0, start, out)


@njit()
def add_pulls(pulls, head, keep, edges, vectors):  # type: ignore[no-untyped-def]
    """Move `vectors`, (n, C, d), on: what is kept of them plus `pulls`, (n, d, W), through `head`, (C, W); bounded.

    `edges`, (n,), is the number of edges of each localization.
    """
    channels, axes = vectors.shape[1], vectors.shape[2]
    for i in range(vectors.shape[0]):
        for k in range(channels):
            square = np.float32(1)
            for x in range(axes):
                total = np.float32(0)
                for w in range(pulls.shape[2]):
                    total += pulls[i, x, w] * head[k, w]
                value = keep[k] * vectors[i, k, x] + total / edges[i]
                vectors[i, k, x] = value
                square += value * value
            scale = np.float32(1 / math.sqrt(square))
            for x in range(axes):
                vectors[i, k, x] *= scale
