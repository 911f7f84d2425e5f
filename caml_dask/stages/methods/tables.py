"""The tables that stages of methods exchange, beside those of :mod:`caml_dask.stages.tables`."""

from __future__ import annotations

import pyarrow as pa

from caml_dask.schema import Column
from caml_dask.stages.tables import FLOAT, ID, ID_COLUMN, INT, PLACE_COLUMNS, Table

SETTLED = Table(
    "settled",
    "image",
    "What the method takes of the image as a whole.",
    (Column("name", pa.string(), "which figure"), Column("value", FLOAT, "its value")),
)
CORES = Table(
    "cores",
    "tile",
    "The cores of a tile: localizations around which there are so many that they make a cluster.",
    (*ID_COLUMN, *PLACE_COLUMNS, Column("row", INT, "row in the tile")),
)
SITES = Table(
    "sites",
    "tile",
    "The places of a tile at which localizations lie, each once, by its coordinates.",
    (
        Column("loc_id", ID, "smallest loc_id of the localizations there"),
        *PLACE_COLUMNS[:2],
        Column("count", INT, "localizations there"),
    ),
)
CELLS = Table(
    "cells",
    "tile",
    "The Voronoi cell of each site of a tile, in their order.",
    (Column("area_nm2", FLOAT, "its area inside the bounding box of the localizations"),),
)
SIDES = Table(
    "sides",
    "tile",
    "The sides of the cells of a tile, cell by cell.",
    (
        Column("site", INT, "row of the cell in the tile's sites"),
        Column("other_id", ID, "loc_id of the site on the other side"),
        Column("other_tile", INT, "the tile that owns it"),
    ),
)
DENSE_CELLS = Table(
    "dense_cells",
    "tile",
    "The cells of a tile that are dense enough to be in a cluster.",
    (Column("loc_id", ID, "as in sites"), Column("site", INT, "row in the tile's sites")),
)
FITTED = Table(
    "fitted",
    "image",
    "The localizations in clusters of a method that looks at the whole image at once, by loc_id.",
    (
        *ID_COLUMN,
        Column("root", ID, "smallest loc_id of the cluster"),
        Column("root_tile", INT, "the tile that owns it"),
    ),
)
