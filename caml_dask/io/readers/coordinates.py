"""Columns of a file as coordinates: float64 in nm, NaN where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from caml_dask.errors import InputError

# How files write that a number is missing; NaN itself is a number.
NULLS = (
    *("", "NA", "N/A", "n/a", "NULL", "null", "None", "<NA>", "#N/A", "#NA"),
    *("1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
)


def to_nm(
    column: pa.ChunkedArray, nm_per_unit: float, *, name: str, path: Path, first_row: int, decimal: str = "."
) -> pa.ChunkedArray:
    """A column in nm.

    Parameters
    ----------
    column : (n,) numbers, or text that can be read as numbers.
    nm_per_unit : length of its unit.
    name, path, first_row : what the errors name; `first_row` is the file's row of the column's first cell.
    decimal : decimal mark of numbers written as text.

    Returns
    -------
    (n,) float64, nm; NaN where the cell is null, empty or one of `NULLS`; infinite values are kept.

    Raises
    ------
    InputError : a cell that is no number, with its row, or a column of another type.
    """
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        column = _numbers(column, name, path, first_row, decimal)
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise InputError(f"{name!r} cannot be a coordinate: it holds {kind}, not numbers", path)
    values = column if kind == pa.float64() else pc.cast(column, pa.float64(), safe=False)
    if values.null_count:
        values = pc.fill_null(values, np.nan)
    return values if nm_per_unit == 1.0 else pc.multiply(values, nm_per_unit)


def _numbers(column: pa.ChunkedArray, name: str, path: Path, first_row: int, decimal: str) -> pa.ChunkedArray:
    """Numbers written as text: with blanks around a word for missing, say, or with one cell that is none."""
    cells = pc.utf8_trim_whitespace(column.cast(pa.string()))
    cells = pc.if_else(pc.is_in(cells, pa.array(NULLS)), pa.scalar(None, pa.string()), cells)
    if decimal != ".":
        # A point would pass for the decimal mark it is not.
        cells = pc.replace_substring(pc.replace_substring(cells, ".", "?"), decimal, ".")
    try:
        return cells.cast(pa.float64())
    except pa.ArrowInvalid:
        row = next(row for row, cell in enumerate(cells) if not _is_number(cell))
        written = column[row].as_py()
        raise InputError(f"{name!r} should be a number and is {written!r}", path, first_row + row) from None


def _is_number(cell: pa.StringScalar) -> bool:
    try:
        cell.cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True
