"""Compiled layers over groups of rows: a row has a lane of the CPU's vectors, so that a weight once loaded serves all.

Arrays of a group are (places, ROWS) float32, C-ordered. Every sum runs over its places in order, apart for each row,
each product added with one rounding, so that a row's result depends on that row alone, to the bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core.codegen import get_host_cpu_features
from numpy.typing import NDArray

from caml_dask.compiled import njit
from caml_dask.networks.inference.vectors import vectors

ROWS = 32 if "+avx512f" in get_host_cpu_features() else 8
"""Rows in a group. Eight sums of that many lanes fill the CPU's registers without running over: they hold 512 floats
with AVX-512, and 128 with AVX2 or on ARM."""
COLUMNS = 8
"""Sums of a layer that are taken together."""
RECTIFIED, LINEAR = np.float32(0), np.float32(-np.inf)
"""The least that a unit gives."""

_OF_ROWS = vectors(ROWS)
load, store, splat = _OF_ROWS.load, _OF_ROWS.store, _OF_ROWS.splat
multiply_add, larger = _OF_ROWS.multiply_add, _OF_ROWS.larger


@njit()
def raise_to(values, out):  # type: ignore[no-untyped-def]
    """Raise `out` to `values` where they are larger; both (n, ROWS)."""
    for j in range(values.shape[0]):
        store(larger(load(values, j), load(out, j)), out, j)


@njit()
def layer(values, kernel, bias, least, out):  # type: ignore[no-untyped-def]
    """Fill `out`, (n, ROWS): bias plus kernel times `values`, (m, ROWS), RECTIFIED or LINEAR.

    `kernel`, (n / COLUMNS, m, COLUMNS), and `bias`, (n / COLUMNS, COLUMNS), are those that `packed` makes.
    """
    floor = splat(least)
    for p in range(kernel.shape[0]):
        columns, start, sums = kernel[p], bias[p], out[p * COLUMNS : (p + 1) * COLUMNS]
        a, b, c, d = splat(start[0]), splat(start[1]), splat(start[2]), splat(start[3])
        e, f, g, h = splat(start[4]), splat(start[5]), splat(start[6]), splat(start[7])
        for i in range(columns.shape[0]):
            x = load(values, i)
            a = multiply_add(splat(columns[i, 0]), x, a)
            b = multiply_add(splat(columns[i, 1]), x, b)
            c = multiply_add(splat(columns[i, 2]), x, c)
            d = multiply_add(splat(columns[i, 3]), x, d)
            e = multiply_add(splat(columns[i, 4]), x, e)
            f = multiply_add(splat(columns[i, 5]), x, f)
            g = multiply_add(splat(columns[i, 6]), x, g)
            h = multiply_add(splat(columns[i, 7]), x, h)
        store(larger(a, floor), sums, 0)
        store(larger(b, floor), sums, 1)
        store(larger(c, floor), sums, 2)
        store(larger(d, floor), sums, 3)
        store(larger(e, floor), sums, 4)
        store(larger(f, floor), sums, 5)
        store(larger(g, floor), sums, 6)
        store(larger(h, floor), sums, 7)


def packed(kernel: NDArray[Any], bias: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights of a layer as `layer` reads them: COLUMNS units after one another, the last ones filled up with zeros.

    Parameters
    ----------
    kernel : (m, n) or (width, channels, n) float32
        Weights of a dense layer, or of a convolution.
    bias : (n,) float32
        One a unit.

    Returns
    -------
    (p, m, COLUMNS) and (p, COLUMNS) float32, p the n units in groups of COLUMNS
    """
    units = bias.shape[0]
    groups = -(-units // COLUMNS)
    wide = np.pad(kernel.reshape(-1, units), ((0, 0), (0, groups * COLUMNS - units))).astype(np.float32)
    columns = np.ascontiguousarray(wide.reshape(-1, groups, COLUMNS).transpose(1, 0, 2))
    return columns, np.pad(bias, (0, groups * COLUMNS - units)).astype(np.float32).reshape(groups, COLUMNS)
