"""The tables that stages exchange: each with its columns, their types, and what it is for.

They live while an image is under way, in memory or in the run directory; what users get is in
:mod:`caml_dask.schema`. A stage declares which of them it reads and writes, and touches no others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from caml_dask.errors import StoreError
from caml_dask.schema import CLUSTERS, CLUSTERS_3D, POINTS, Column

ID, INT, FLOAT, INTS = pa.uint64(), pa.int64(), pa.float64(), pa.list_(pa.int64())


@dataclass(frozen=True)
class Table:
    """One kind of table.

    Parameters
    ----------
    name : str
        Its name in the store.
    per : str
        What there is one of: the "image", each "chunk" of its input, or each "tile"; where detections are merged, each
        "detection tile" too.
    meaning : str
        What it holds, in a sentence.
    columns : tuple of Column
        Its columns; optional ones may be missing.
    others : str or None
        What further columns it may have; None where it has no others.
    parts : str or None
        What it can be taken apart by again, "tile" or "chunk".
    ranged : bool
        Whether some of its rows are read without the others.
    passing : bool
        Whether it is so large that memory holds it no longer than until the last stage that reads it is done.
    """

    name: str
    per: str
    meaning: str
    columns: tuple[Column, ...]
    others: str | None = None
    parts: str | None = None
    ranged: bool = False
    passing: bool = False

    def check(self, table: pa.Table) -> None:
        """Compare a table with its declaration.

        Raises
        ------
        StoreError : a column that is missing, of another type, or not declared.
        """
        declared = {column.name: column for column in self.columns}
        for column in self.columns:
            if column.name not in table.column_names:
                if not column.optional:
                    raise StoreError(f"the table {self.name} has no column {column.name}: {self._listing(table)}")
            elif (found := table.schema.field(column.name).type) != column.type:
                raise StoreError(f"the column {column.name} of {self.name} is {found}; it is declared as {column.type}")
        undeclared = [name for name in table.column_names if name not in declared]
        if undeclared and self.others is None:
            raise StoreError(f"the table {self.name} declares no column {undeclared[0]}: {self._listing(table)}")

    def _listing(self, table: pa.Table) -> str:
        return f"it has {', '.join(table.column_names)}; declared are {', '.join(c.name for c in self.columns)}"


def _of_points(names: Sequence[str]) -> tuple[Column, ...]:
    """Columns that tables share with the points users get."""
    return tuple(column for column in POINTS if column.name in names)


ID_COLUMN = _of_points(["loc_id"])
PLACE_COLUMNS = _of_points(["x_nm", "y_nm", "z_nm"])
_SCORES = tuple(column for column in POINTS if column.name.startswith("p_"))
_LABEL = _of_points(["label"])
_ROOT = Column("root", ID, "smallest loc_id of the component inside its tile")
_B = Column("b_nm", FLOAT, "1.2 times the mean nearest-neighbor distance of the component's members")
_COLUMNS = pa.list_(pa.struct([("name", pa.string()), ("column", pa.string()), ("factor", FLOAT)]))
_CARRIED = "carried columns, under their canonical names"

FACTS = Table(
    "facts",
    "image",
    "What reading found.",
    (
        Column("rows", INT, "rows of the input"),
        Column("nonfinite", INT, "rows without finite coordinates"),
        Column("finite", INT, "rows that are analyzed: with finite coordinates, and passing the filter"),
        Column("chunks", INT, "chunks the input is stored in"),
        Column("coordinates", pa.list_(pa.string()), "names of the coordinates"),
        Column("bounds_nm", pa.list_(FLOAT), "x0, y0, x1, y1 of the localizations"),
        Column(
            "carried",
            _COLUMNS,
            "columns that flow through the tiles: canonical name, column of the input, and what its values are times",
        ),
        Column("where", _COLUMNS, "columns that the filter compares, likewise"),
    ),
)
INPUT = Table(
    "input",
    "chunk",
    "The input as it was read.",
    (*ID_COLUMN, *PLACE_COLUMNS),
    others="the file's own columns",
)
ROIS = Table(
    "rois",
    "image",
    "The regions of interest, by region_id; none of them overlaps another.",
    (Column("name", pa.string(), "what users call it"), Column("shape", pa.binary(), "polygons in nm, WKB")),
)
CELL_MASK = Table(
    "cell_mask",
    "image",
    "The part of the plane that localizations occupy; no row where regions or the area are given.",
    (
        Column("shape", pa.binary(), "polygons in nm, WKB"),
        Column("outlined", pa.bool_(), "whether it has an outline; without one it is the bounding box"),
    ),
)
CHUNKS = Table("chunks", "image", "Where chunks begin.", (Column("first_id", ID, "smallest loc_id of each chunk"),))
BOXES = Table(
    "boxes",
    "image",
    "The box of each tile.",
    tuple(Column(name, FLOAT, "a side; infinite at the image's") for name in ("x0_nm", "y0_nm", "x1_nm", "y1_nm")),
)
CUTS = Table(
    "cuts",
    "image",
    "The tree of cuts that made the tiles, see Partition.",
    (
        Column("axis", INT, "axis of the cut"),
        Column("at_nm", FLOAT, "place of the cut"),
        Column("below", INT, "cut below it, or ~tile"),
        Column("above", INT, "cut above it, or ~tile"),
    ),
)
SCATTERED = Table(
    "scattered",
    "chunk",
    "The rows of a chunk that are analyzed, by the tile that owns them.",
    (*ID_COLUMN, *PLACE_COLUMNS),
    others=_CARRIED,
    parts="tile",
)
TILE = Table(
    "tile",
    "tile",
    "The localizations of a tile, in the order of its blocks.",
    (*ID_COLUMN, *PLACE_COLUMNS),
    others=_CARRIED,
)
LABELS = Table(
    "labels",
    "tile",
    "What the network found, in the order of the tile.",
    (
        *ID_COLUMN,
        *_SCORES,
        *_LABEL,
        Column("window_nm", FLOAT, "distance to the N-th neighbor"),
        Column("nearest_nm", FLOAT, "distance to the nearest neighbor"),
    ),
)
REACH = Table(
    "reach",
    "tile",
    "Reach and component of each localization, in the order of the tile.",
    (
        *ID_COLUMN,
        Column("reach_nm", FLOAT, "radius within which it links to its class; -1 for none"),
        *_of_points(["window_saturated"]),
        _ROOT,
    ),
)
_LINKS = (
    _ROOT,
    Column("foreign_id", ID, "loc_id it links to in another tile"),
    Column("foreign_tile", ID, "that tile"),
)
LINKS = Table("links", "tile", "Distinct links from components of a tile to localizations of others.", _LINKS)
ROOTS = Table(
    "roots",
    "tile",
    "Components of a tile.",
    (
        _ROOT,
        Column("count", INT, "members"),
        Column("sum_nearest_nm", pa.list_(FLOAT), "floats whose exact sum is that of the nearest-neighbor distances"),
    ),
)
COMPONENTS = Table("components", "tile", "The b of the component that each root belongs to.", (_ROOT, _B))
PIECE_LINKS = Table("piece_links", "tile", "As links, after the cut.", _LINKS)
PIECES = Table(
    "pieces",
    "tile",
    "Component of each localization after the cut, in the order of the tile.",
    (*ID_COLUMN, _ROOT, *_of_points(["window_saturated"])),
)
PIECE_ROOTS = Table("piece_roots", "tile", "As roots, after the cut.", (_ROOT, Column("count", INT, "members"), _B))
NUMBERS = Table(
    "numbers",
    "tile",
    "The cluster of each piece of a tile.",
    (_ROOT, *_of_points(["cluster_id"]), _B),
)
VISITORS = Table(
    "visitors", "tile", "Other tiles with members of clusters at home here.", (Column("tile", INT, "the other tile"),)
)
MEASURED = Table(
    "measured",
    "tile",
    "The measured clusters at home in a tile, without the distance to their nearest.",
    tuple(
        Column(c.name, c.type, c.meaning, optional=c.optional or c not in CLUSTERS or c not in CLUSTERS_3D)
        for c in dict.fromkeys((*CLUSTERS, *CLUSTERS_3D))
        if c.name not in ("nearest_cluster_nm", "q_value")
    ),
    ranged=True,
)
VERDICTS = Table(
    "verdicts",
    "image",
    "What the test against randomness found of each cluster, by cluster_id.",
    (
        Column("cluster_id", INT, "as in measured"),
        Column("q_value", FLOAT, "as in clusters"),
        Column("kept", pa.bool_(), "whether it stays a cluster under the settings"),
    ),
)
CSR_TEST = Table(
    "csr_test",
    "image",
    "What the test against randomness found of the image, and of each region of interest where there are several.",
    (
        Column("region_id", INT, "the region; -1 for all that is counted"),
        Column("p_value", FLOAT, "share of random fields whose localizations are as likely to be clustered"),
        Column("percent", FLOAT, "mean percentage of the localizations of random fields that are in clusters"),
        Column("percent_error", FLOAT, "its standard error, with that of one image"),
        Column("clusters", FLOAT, "mean number of clusters of random fields, for each of their localizations"),
        Column("clusters_error", FLOAT, "likewise"),
        Column("sub_fields", INT, "parts of the image that were compared"),
        Column("random_fields", INT, "random fields they were compared with"),
        Column("localizations", INT, "localizations of the random fields"),
        Column("detections_per_molecule", FLOAT, "1 where frames are not known, or detections are merged"),
        Column("precision_nm", FLOAT, "median lateral precision; null where none is known", optional=True),
        Column(
            "precision_missing", FLOAT, "share of localizations whose precision is no positive number; likewise", True
        ),
    ),
)
OUTLINES = Table(
    "outlines",
    "tile",
    "Their outlines.",
    (Column("cluster_id", INT, "as in measured"), Column("outline", pa.binary(), "polygon in nm, WKB")),
    ranged=True,
)
MEMBERSHIP = Table(
    "membership",
    "tile",
    "What users get of each localization of a tile, by the chunk of the input it is in.",
    (*ID_COLUMN, *_SCORES, *_LABEL, *_of_points(["cluster_id", "window_saturated", "region_id"])),
    parts="chunk",
)
TALLY = Table(
    "tally",
    "tile",
    "Counts that the summary adds up, see Counts.",
    tuple(
        Column(name, INTS, "counts")
        for name in (
            *("duplicates", "window_saturated", "labelled", "in_clusters", "nearest_non", "nearest", "windows"),
            *("labelled_by_region", "in_clusters_by_region"),
        )
    ),
)
HULL = Table("hull", "tile", "Corners of the convex hull of a tile's localizations.", PLACE_COLUMNS[:2])
PIXELS = Table(
    "pixels",
    "tile",
    "Localizations of a tile on the pixels of the picture.",
    (Column("place", INT, "pixel and class"), Column("number", INT, "localizations there")),
)
RESULT = Table(
    "points",
    "chunk",
    "The points users get, where there is no directory to write them to.",
    POINTS,
    others="the file's own columns",
)
