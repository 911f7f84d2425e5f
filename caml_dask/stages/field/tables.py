"""The tables that the stages of the field network exchange, beside those of :mod:`caml_dask.stages.tables`."""

from __future__ import annotations

import pyarrow as pa

from caml_dask.networks.field.graph import ROUNDS
from caml_dask.schema import Column
from caml_dask.stages.tables import BOXES, CUTS, FLOAT, ID_COLUMN, INT, INTS, PLACE_COLUMNS, Table

SINGLES, PLACES = pa.list_(pa.float32()), pa.list_(pa.int32())

REGION_BOXES = Table("region_boxes", "image", "The box of each region.", BOXES.columns)
REGION_CUTS = Table("region_cuts", "image", "The tree of cuts that made the regions, see Partition.", CUTS.columns)
NEIGHBORHOODS = Table(
    "neighborhoods",
    "tile",
    "The neighbors of each localization, in the order of the tile; those of other tiles are counted on by the halo.",
    (
        *ID_COLUMN,
        Column("distances_nm", SINGLES, "distances at USED_RANKS"),
        Column("neighbors", PLACES, "rows of the neighbors at EDGE_RANKS"),
        Column("directions", SINGLES, "unit vectors to them"),
        Column("window_nm", FLOAT, "distance to the farthest of them"),
    ),
)
HALO = Table(
    "halo",
    "tile",
    "Localizations of other tiles that are neighbors of some in this one.",
    (Column("tile", INT, "the other tile"), Column("row", INT, "row in it")),
)
SCALES = Table(
    "scales",
    "tile",
    "What is usual around each localization, in the order of the tile.",
    (Column("scale_nm", pa.float32(), "distance to the 8th neighbor"),),
    ranged=True,
)
_REGION = Column("region", INT, "region that localizations of the tile lie in")
SURVEY = Table(
    "survey",
    "tile",
    "What a tile adds to the histograms of regions.",
    (
        _REGION,
        Column("series", INT, "which of the histograms"),
        Column("bin", INT, "bin of it"),
        Column("count", INT, "localizations"),
    ),
)
TOLD = Table(
    "told",
    "tile",
    "Sums over the tile's localizations of what is told of their regions, in thousandths.",
    (
        Column("localizations", INT, "of the tile"),
        Column("blinking", INT, "probability that molecules re-blink"),
        Column("log_precision", INT, "log of the mean precision in nm, if they do"),
        Column("log_detections", INT, "log of the detections of one, if they do"),
    ),
)
EDGES = Table(
    "edges",
    "tile",
    "Inputs of the edges to neighbors.",
    (Column("inputs", SINGLES, "as of a Graph, edge after edge"),),
    passing=True,
)


def _round(name: str, meaning: str, rounds: int, columns: tuple[Column, ...], large: bool = False) -> tuple[Table, ...]:
    """A table for each round of messages."""
    numbered = [(f"{name}_{r}", f"{meaning}, round {r}.") for r in range(rounds)]
    return tuple(Table(title, "tile", said, columns, ranged=large, passing=large) for title, said in numbered)


CONTEXTS = _round(
    "context",
    "Context of the regions that localizations of a tile lie in",
    ROUNDS,
    (
        _REGION,
        Column("n", INT, "localizations of the region"),
        Column("unit_nm", FLOAT, "its unit of length"),
        Column("context", SINGLES, "what is known of it"),
    ),
)
STATES = _round(
    "state",
    "What stands for each localization before it, in the order of the tile",
    ROUNDS + 1,
    (Column("h", SINGLES, "numbers"), Column("vectors", SINGLES, "vectors")),
    large=True,
)
SHARES = _round(
    "shares",
    "What localizations of a tile told their regions after it",
    ROUNDS,
    (_REGION, Column("steps", INTS, "sums of whole steps")),
)
VOTES = Table(
    "votes",
    "tile",
    "Where each localization places the center of its cluster, in the order of the tile.",
    (
        *ID_COLUMN,
        *PLACE_COLUMNS,
        Column("reach_nm", FLOAT, "how far the vote links to others; -1 of a localization in no cluster"),
    ),
)
BALLOT = Table(
    "ballot",
    "tile",
    "Where the votes of localizations in clusters lie; empty where there are none.",
    (
        Column("x0_nm", FLOAT, "lowest x"),
        Column("y0_nm", FLOAT, "lowest y"),
        Column("x1_nm", FLOAT, "highest x"),
        Column("y1_nm", FLOAT, "highest y"),
    ),
)
