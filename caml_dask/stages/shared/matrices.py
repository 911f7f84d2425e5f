"""Matrices as columns of tables: a list of numbers in each row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa


def lists(values: np.ndarray) -> pa.Array:
    """A column of the rows of an array, (n, ...), each flattened."""
    n = len(values)
    width = values.size // max(n, 1)
    flat = np.ascontiguousarray(values).reshape(-1)
    return pa.ListArray.from_arrays(pa.array(np.arange(n + 1, dtype=np.int32) * np.int32(width)), pa.array(flat))


def matrix(table: pa.Table, name: str, *shape: int) -> np.ndarray:
    """A column that `lists` made as an array again, (n, *shape).

    It is a copy: kernels are compiled once for arrays that can be written, and would be once more for others.
    """
    flat: np.ndarray[Any, Any] = np.array(table[name].combine_chunks().flatten())
    return flat.reshape(len(table), *shape)
