"""The dense layers of the field network, compiled; a row's result depends on that row alone.

Some rows are computed together, so that a weight once loaded serves them all. Every sum runs over its inputs in order,
each product added with one rounding: no bit depends on the other rows, nor on the length of the CPU's vectors.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba.core.codegen import get_host_cpu_features
from numpy.typing import NDArray

from caml_dask.compiled import njit
from caml_dask.networks.field.graph import CHANNELS
from caml_dask.networks.inference.lanes import LINEAR, RECTIFIED
from caml_dask.networks.inference.vectors import vectors as vectors_of

ROWS, PARTS = 4, 3
"""Rows, and vectors of units, that are computed together: their sums, and what these are made of, fill 16 registers."""
_LANES = 16 if "+avx512f" in get_host_cpu_features() else 8
_UNITS = PARTS * _LANES
_OF_UNITS, _OF_CHANNELS = vectors_of(_LANES), vectors_of(CHANNELS)
load, store, splat = _OF_UNITS.load, _OF_UNITS.store, _OF_UNITS.splat
multiply_add, larger = _OF_UNITS.multiply_add, _OF_UNITS.larger
load_channels, store_channels, splat_channels = _OF_CHANNELS.load, _OF_CHANNELS.store, _OF_CHANNELS.splat
multiply_add_channels, plus_channels = _OF_CHANNELS.multiply_add, _OF_CHANNELS.plus
Packed = tuple[NDArray[np.float32], NDArray[np.float32]]


def packed(kernel: NDArray[Any], bias: NDArray[Any]) -> Packed:
    """Weights of a layer as :func:`one_layer` takes them.

    Parameters
    ----------
    kernel : (m, q) float32
        Of q units.
    bias : (q,) float32
        Theirs.

    Returns
    -------
    kernel : (p, m, _UNITS) float32
        By groups of units, the last one filled up with zeros.
    bias : (p, _UNITS) float32
        Theirs.
    """
    groups = -(-len(bias) // _UNITS)
    wide = np.pad(kernel, ((0, 0), (0, groups * _UNITS - len(bias)))).astype(np.float32)
    columns = np.ascontiguousarray(wide.reshape(-1, groups, _UNITS).transpose(1, 0, 2))
    return columns, np.pad(bias, (0, groups * _UNITS - len(bias))).astype(np.float32).reshape(groups, _UNITS)


@njit()
def _layer(values, kernel, bias, least, out):  # type: ignore[no-untyped-def]
    """Fill `out`, (ROWS, p _UNITS): bias plus `values`, (ROWS, m or more), times kernel; RECTIFIED or LINEAR."""
    floor, places = splat(least), out.shape[1] // _LANES
    for group in range(kernel.shape[0]):
        columns, at = kernel[group], PARTS * group
        a0 = a1 = a2 = a3 = load(bias, at)
        b0 = b1 = b2 = b3 = load(bias, at + 1)
        c0 = c1 = c2 = c3 = load(bias, at + 2)
        for i in range(columns.shape[0]):
            a, b, c = load(columns, PARTS * i), load(columns, PARTS * i + 1), load(columns, PARTS * i + 2)
            x = splat(values[0, i])
            a0, b0, c0 = multiply_add(a, x, a0), multiply_add(b, x, b0), multiply_add(c, x, c0)
            x = splat(values[1, i])
            a1, b1, c1 = multiply_add(a, x, a1), multiply_add(b, x, b1), multiply_add(c, x, c1)
            x = splat(values[2, i])
            a2, b2, c2 = multiply_add(a, x, a2), multiply_add(b, x, b2), multiply_add(c, x, c2)
            x = splat(values[3, i])
            a3, b3, c3 = multiply_add(a, x, a3), multiply_add(b, x, b3), multiply_add(c, x, c3)
        store(larger(a0, floor), out, at)
        store(larger(b0, floor), out, at + 1)
        store(larger(c0, floor), out, at + 2)
        store(larger(a1, floor), out, places + at)
        store(larger(b1, floor), out, places + at + 1)
        store(larger(c1, floor), out, places + at + 2)
        store(larger(a2, floor), out, 2 * places + at)
        store(larger(b2, floor), out, 2 * places + at + 1)
        store(larger(c2, floor), out, 2 * places + at + 2)
        store(larger(a3, floor), out, 3 * places + at)
        store(larger(b3, floor), out, 3 * places + at + 1)
        store(larger(c3, floor), out, 3 * places + at + 2)


@njit(inline="always")
def _put(values, start, out, first):  # type: ignore[no-untyped-def]
    """Fill columns of `out`, (ROWS, m), from `first` on with rows of `values` from `start` on, the last repeated."""
    for r in range(ROWS):
        row = min(start + r, values.shape[0] - 1)
        for c in range(values.shape[1]):
            out[r, first + c] = values[row, c]


@njit(inline="always")
def _take(given, start, out):  # type: ignore[no-untyped-def]
    """Fill the rows of `out`, (n, q), from `start` on with those of `given`, (ROWS, q or more)."""
    for r in range(min(ROWS, out.shape[0] - start)):
        for c in range(out.shape[1]):
            out[start + r, c] = given[r, c]


@njit()
def two_layers(a, b, c, first, second, out):  # type: ignore[no-untyped-def]
    """Fill `out`, (n, q): rectified `first`, then linear `second`, of the rows of `a`, `b` and `c` side by side.

    `first` and `second` are packed kernel and bias.
    """
    values = np.empty((ROWS, a.shape[1] + b.shape[1] + c.shape[1]), np.float32)
    hidden, given = np.empty((ROWS, first[1].size), np.float32), np.empty((ROWS, second[1].size), np.float32)
    for start in range(0, a.shape[0], ROWS):
        _put(a, start, values, 0)
        _put(b, start, values, a.shape[1])
        _put(c, start, values, a.shape[1] + b.shape[1])
        _layer(values, first[0], first[1], RECTIFIED, hidden)
        _layer(hidden, second[0], second[1], LINEAR, given)
        _take(given, start, out)


@njit()
def one_layer(a, b, weights, least, out):  # type: ignore[no-untyped-def]
    """Fill `out`, (n, q): one layer of the rows of `a` and `b` side by side, RECTIFIED or LINEAR."""
    values = np.empty((ROWS, a.shape[1] + b.shape[1]), np.float32)
    given = np.empty((ROWS, weights[1].size), np.float32)
    for start in range(0, a.shape[0], ROWS):
        _put(a, start, values, 0)
        _put(b, start, values, a.shape[1])
        _layer(values, weights[0], weights[1], least, given)
        _take(given, start, out)


@njit()
def normalize(values, out):  # type: ignore[no-untyped-def]
    """Fill `out` with `values`, (n, m), each row with a mean of 0 and a variance of 1."""
    last, places, mean, square = len(values) - 1, np.float32(values.shape[1]), np.float32(0), np.float32(0)
    for start in range(0, len(values), ROWS):  # sums in order, side by side: each waits for the one before it
        h, i, j, k = start, min(start + 1, last), min(start + 2, last), min(start + 3, last)
        mean_h = mean_i = mean_j = mean_k = mean
        for c in range(values.shape[1]):
            mean_h += values[h, c]
            mean_i += values[i, c]
            mean_j += values[j, c]
            mean_k += values[k, c]
        mean_h, mean_i, mean_j, mean_k = mean_h / places, mean_i / places, mean_j / places, mean_k / places
        square_h = square_i = square_j = square_k = square
        for c in range(values.shape[1]):
            square_h += (values[h, c] - mean_h) * (values[h, c] - mean_h)
            square_i += (values[i, c] - mean_i) * (values[i, c] - mean_i)
            square_j += (values[j, c] - mean_j) * (values[j, c] - mean_j)
            square_k += (values[k, c] - mean_k) * (values[k, c] - mean_k)
        _scale(values, h, mean_h, square_h, out)
        _scale(values, i, mean_i, square_i, out)
        _scale(values, j, mean_j, square_j, out)
        _scale(values, k, mean_k, square_k, out)


@njit(inline="always")
def _scale(values, i, mean, square, out):  # type: ignore[no-untyped-def]
    scale = np.float32(1 / math.sqrt(np.float64(square) / values.shape[1] + 1e-5))
    for c in range(values.shape[1]):
        out[i, c] = (values[i, c] - mean) * scale


@njit()
def add_pulls(pulls, head, keep, edges, vectors):  # type: ignore[no-untyped-def]
    """Move `vectors`, (n, CHANNELS, d), on: what is kept of them plus `pulls`, (n, d, W), through `head`; bounded.

    `head` is (W, CHANNELS); `edges`, (n,), is the number of edges of each localization.
    """
    axes, zero = vectors.shape[2], splat_channels(np.float32(0))
    total = np.empty((axes, CHANNELS), np.float32)
    for i in range(vectors.shape[0]):
        for x in range(axes):
            sums = zero
            for w in range(pulls.shape[2]):
                product = multiply_add_channels(load_channels(head, w), splat_channels(pulls[i, x, w]), zero)
                sums = plus_channels(sums, product)
            store_channels(sums, total, x)
        for k in range(CHANNELS):
            square = np.float32(1)
            for x in range(axes):
                value = keep[k] * vectors[i, k, x] + total[x, k] / edges[i]
                vectors[i, k, x] = value
                square += value * value
            scale = np.float32(1 / math.sqrt(square))
            for x in range(axes):
                vectors[i, k, x] *= scale
