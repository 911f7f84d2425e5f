"""The tables that stages of methods exchange, beside those of :mod:`caml_dask.stages.tables`."""

from __future__ import annotations

from caml_dask.schema import Column
from caml_dask.stages.tables import ID_COLUMN, INT, PLACE_COLUMNS, Table

CORES = Table(
    "cores",
    "tile",
    "The cores of a tile: localizations around which there are so many that they make a cluster.",
    (*ID_COLUMN, *PLACE_COLUMNS, Column("row", INT, "row in the tile")),
)
