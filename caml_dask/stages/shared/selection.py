"""Which rows of the input are analyzed: those with finite coordinates that pass the filter of the settings.

All others keep their place in the points, with null results. Every stage that reads the input asks here, so that all
of them take the same rows; whether a row is taken depends on nothing but that row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from caml_dask.errors import InputError
from caml_dask.io.readers.carried import find_carried
from caml_dask.schema import CARRIED
from caml_dask.stages.shared.work import Work, coordinates, finite
from caml_dask.stages.tables import INPUT, Table
from caml_dask.where import parse_filter


def filtered_by(work: Work, names: Sequence[str]) -> list[dict[str, Any]]:
    """The columns that the filter of the settings compares, as :data:`caml_dask.stages.tables.FACTS` has them.

    Parameters
    ----------
    work : Work
        The image, with its settings.
    names : sequence of str
        The columns of its input, loc_id and coordinates among them.

    Returns
    -------
    list of dict
        Name in the filter, column of the input, and what its values are times; empty without a filter.

    Raises
    ------
    InputError
        The input has no such column, or is not certain of its unit; the message names those it has.
    """
    if work.settings.where is None:
        return []
    wanted = parse_filter(work.settings.where).names
    found = find_carried(names, wanted)
    lacking = [name for name in wanted if name not in {column.name for column in found}]
    if lacking:
        known = find_carried(names, [column.name for column in CARRIED])
        others = [name for name in names if name not in {column.column for column in known}]
        listed = ", ".join([*(column.name for column in known), *map(_quoted, others)])
        unsure = lacking[0] != "frame" and lacking[0] in {column.name for column in CARRIED}
        raise InputError(
            f"--where {work.settings.where!r}: the table has no column {lacking[0]!r}"
            + (" of a certain unit" if unsure else "")
            + f"; it has {listed}",
            work.image.path,
        )
    return [asdict(column) for column in found]


def _quoted(name: str) -> str:
    """A column as a filter names it."""
    return name if name.replace(".", "_").isidentifier() else f'"{name}"'


def passing(work: Work, table: pa.Table, columns: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Which rows of a table of the input pass the filter, (n,) bool; all where there is none.

    columns : as :func:`filtered_by` gives them
    """
    if work.settings.where is None:
        return np.ones(len(table), dtype=bool)
    values = {column["name"]: _scaled(table[column["column"]], column["factor"]) for column in columns}
    return parse_filter(work.settings.where).passing(values, work.image.path)


def _scaled(values: pa.ChunkedArray, factor: float) -> pa.ChunkedArray:
    return values if factor == 1.0 else pc.multiply(pc.cast(values, pa.float64()), factor)


def selected(work: Work, table: pa.Table, facts: Mapping[str, Any]) -> np.ndarray:
    """Which rows of a chunk of the input are analyzed, (n,) bool."""
    whole = finite(coordinates(table))
    return whole & passing(work, table, facts["where"]) if facts["where"] else whole


def selected_xy(work: Work, of: Table = INPUT, facts: Mapping[str, Any] | None = None) -> Iterator[np.ndarray]:
    """x and y, (m, 2) float64, of the rows of each chunk of the input, or of detections, that are analyzed."""
    facts = work.facts() if facts is None else facts
    names = [*facts["coordinates"], *(column["column"] for column in facts["where"])]
    for chunk in range(facts["chunks"]):
        table = work.get(of, chunk, list(dict.fromkeys(names)))
        points = coordinates(table)[:, :2]
        yield points if facts["finite"] == facts["rows"] else points[selected(work, table, facts)]
