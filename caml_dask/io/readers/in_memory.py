"""Localizations that are in memory already, as the tables that readers yield."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from caml_dask.errors import UsageError
from caml_dask.io.readers.coordinates import to_nm
from caml_dask.io.readers.headers import Header, find_axes, name_own_columns
from caml_dask.schema import COORDINATES
from caml_dask.settings import ColumnMap

_NAME = Path("table")  # what errors call a table that came from no file


def as_localizations(data: Any, columns: ColumnMap) -> pa.Table:
    """loc_id, 0 to n - 1, and the coordinates in nm, then the table's own columns.

    Parameters
    ----------
    data : (n, 2) or (n, 3) array in nm, or a pandas or Arrow table whose headers or `columns` name coordinates and
        unit.

    Raises
    ------
    UsageError : an array of another shape, or one with names of columns or a unit.
    InputError : a table whose coordinates or units are not known.
    """
    if isinstance(data, pa.Table):
        table = data
    elif hasattr(data, "columns") and hasattr(data, "dtypes"):
        table = pa.Table.from_pandas(data, preserve_index=False)
    else:
        if columns != ColumnMap():
            raise UsageError("columns= says what the columns of a table are; an array is taken in nm: convert it first")
        array = np.asarray(data, dtype=np.float64)
        if array.ndim != 2 or array.shape[1] not in (2, 3):
            raise UsageError(f"an array of shape {array.shape} came; wanted (n, 2) or (n, 3), in nm")
        return _numbered([pa.array(column) for column in array.T], list(COORDINATES[: array.shape[1]]))
    axes = find_axes(Header(_NAME, tuple(table.column_names)), columns)
    coordinates = [
        to_nm(table.column(a.column), a.nm_per_unit, name=table.column_names[a.column], path=_NAME, first_row=0)
        for a in axes
    ]
    names = [*COORDINATES[: len(axes)], *name_own_columns(table.column_names)]
    return _numbered([*coordinates, *table.columns], names)


def _numbered(columns: list[Any], names: list[str]) -> pa.Table:
    table = pa.Table.from_arrays(columns, names=names)
    return table.add_column(0, "loc_id", pa.array(np.arange(len(table), dtype=np.uint64)))
