"""Localizations that are in memory already, or in a file that is named, as the tables that readers yield."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from caml_dask.errors import InputError, UsageError
from caml_dask.io.readers.coordinates import to_nm
from caml_dask.io.readers.headers import Header, find_axes, name_own_columns
from caml_dask.io.readers.sources import list_channels, read_localizations
from caml_dask.io.remote.inputs import as_file
from caml_dask.schema import COORDINATES
from caml_dask.settings import ColumnMap

_NAME = Path("table")  # what errors call a table that came from no file
_ACCEPTED = (
    "give the path of a file, an (n, 2) or (n, 3) array in nm, or a table: pandas, Arrow, polars or any other with "
    "__arrow_c_stream__ or __dataframe__"
)


@runtime_checkable
class ArrowStream(Protocol):
    """A table by the PyCapsule interface of Arrow: polars, DuckDB, ibis, nanoarrow and others."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The table as a capsule."""
        ...


@runtime_checkable
class Interchanged(Protocol):
    """A table by the DataFrame interchange protocol."""

    def __dataframe__(self, nan_as_null: bool = False, allow_copy: bool = True) -> object:
        """The table as an interchange object."""
        ...


Localizations: TypeAlias = (
    str
    | PathLike[str]
    | npt.NDArray[np.floating[Any]]
    | npt.NDArray[np.integer[Any]]
    | pd.DataFrame
    | pa.Table
    | ArrowStream
    | Interchanged
)
"""What :func:`caml_dask.analyze` takes: a file's path, an array in nm, or a table."""


def as_localizations(data: Localizations, columns: ColumnMap) -> pa.Table:
    """Localizations as a table of ours, whatever holds them.

    Parameters
    ----------
    data : str, path, array or table
        The path or URL of a file of one channel; an (n, 2) or (n, 3) array in nm; or a table of pandas, of Arrow, or
        with ``__arrow_c_stream__`` or ``__dataframe__``, whose headers or `columns` name coordinates and unit.
    columns : ColumnMap
        Which columns are the coordinates, where the headers do not say.

    Returns
    -------
    pyarrow.Table
        loc_id, 0 to n - 1, and the coordinates in nm, then the table's own columns.

    Raises
    ------
    UsageError
        Another type, an array of another shape, or an array with names of columns or a unit.
    InputError
        A table whose coordinates or units are not known, or a file that cannot be read or holds several channels.
    """
    if isinstance(data, str | PathLike):
        with as_file(data) as path:
            return _of_file(path, columns)
    table = _table_of(data)
    if table is None:
        if columns != ColumnMap():
            raise UsageError("columns= says what the columns of a table are; an array is taken in nm: convert it first")
        array = _array_of(data)
        return _numbered([pa.array(column) for column in array.T], list(COORDINATES[: array.shape[1]]))
    axes = find_axes(Header(_NAME, tuple(table.column_names)), columns)
    coordinates = [
        to_nm(table.column(a.column), a.nm_per_unit, name=table.column_names[a.column], path=_NAME, first_row=0)
        for a in axes
    ]
    names = [*COORDINATES[: len(axes)], *name_own_columns(table.column_names)]
    return _numbered([*coordinates, *table.columns], names)


def _of_file(path: Path, columns: ColumnMap) -> pa.Table:
    """The localizations of a file.

    Raises
    ------
    InputError : it cannot be read, or holds several channels, each of which is an image of its own.
    """
    channels = list_channels(path, columns)
    if len(channels) > 1:
        raise InputError(
            f"holds {len(channels)} channels ({', '.join(map(repr, channels[:5]))}), each an image of its own: read it "
            "with read_localizations and analyze the rows of one, or use `caml-dask run`",
            path,
        )
    return read_localizations(path, columns)


def _table_of(data: Localizations) -> pa.Table | None:
    """A table as Arrow's; None of what is none.

    Raises
    ------
    UsageError : one that Arrow cannot take over.
    """
    if isinstance(data, pa.Table):
        return data
    try:
        if isinstance(data, pd.DataFrame):
            return pa.Table.from_pandas(data, preserve_index=False)
        if isinstance(data, ArrowStream):
            return pa.table(data)
        if isinstance(data, Interchanged):
            from pyarrow.interchange import from_dataframe

            return from_dataframe(data)
    except (pa.ArrowException, TypeError, ValueError, NotImplementedError) as error:
        kind = type(data).__name__
        raise UsageError(f"this {kind} cannot be taken over as an Arrow table ({error}): {_ACCEPTED}") from None
    return None


def _array_of(data: object) -> npt.NDArray[np.float64]:
    """Coordinates in nm, (n, 2) or (n, 3)."""
    kind = type(data).__name__
    fields = getattr(getattr(data, "dtype", None), "names", None)
    if isinstance(data, dict) or fields:
        raise UsageError(
            f"localizations of type {kind} came with names of columns: make it a table, pandas.DataFrame(data)"
        )
    try:
        array = np.asarray(data, dtype=np.float64)
    except (TypeError, ValueError):
        raise UsageError(f"localizations of type {kind} came: {_ACCEPTED}") from None
    if array.ndim == 0:
        raise UsageError(f"localizations of type {kind} came: {_ACCEPTED}")
    if array.ndim != 2 or array.shape[1] not in (2, 3):
        raise UsageError(f"an array of shape {array.shape} came; wanted (n, 2) or (n, 3), in nm")
    return array


def _numbered(columns: list[Any], names: list[str]) -> pa.Table:
    table = pa.Table.from_arrays(columns, names=names)
    return table.add_column(0, "loc_id", pa.array(np.arange(len(table), dtype=np.uint64)))
