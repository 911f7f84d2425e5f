"""The tables of the stages that merge detections to molecules; see :mod:`caml_dask.stages.tables`."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from caml_dask.schema import MOLECULES, Column
from caml_dask.stages.tables import (
    BOXES,
    CUTS,
    FACTS,
    FLOAT,
    ID,
    ID_COLUMN,
    INPUT,
    INT,
    INTS,
    LINKS,
    MEMBERSHIP,
    PLACE_COLUMNS,
    SCATTERED,
    TILE,
    Table,
)

_ROOT = LINKS.columns[0]
_OF_MOLECULE = tuple(column for column in MOLECULES if column.name in (
    "detections", "first_frame", "last_frame", "photons", "uncertainty_nm", "uncertainty_z_nm",
))  # fmt: skip

DETECTIONS = replace(INPUT, name="detections", meaning="The input as it was read, where its detections are merged.")
DETECTION_FACTS = replace(FACTS, name="detection_facts", meaning="What reading found, where detections are merged.")
DETECTION_BOXES = replace(BOXES, name="detection_boxes", meaning="The box of each tile of detections.")
DETECTION_CUTS = replace(CUTS, name="detection_cuts", meaning="The tree of cuts that made them, see Partition.")
DETECTIONS_DEALT = replace(SCATTERED, name="detections_dealt", meaning="The finite detections of a chunk, by tile.")
DETECTION_TILE = replace(TILE, name="detection_tile", meaning="The detections of a tile, in the order of its blocks.")
FRAMES = Table(
    "frames",
    "chunk",
    "Detections in each frame.",
    (Column("frame", INT, "a frame"), Column("count", INT, "finite detections of the chunk in it")),
)
PRECISIONS = Table(
    "precisions",
    "chunk",
    "Detections by their precision, see precision_counts.",
    (
        Column("count", INT, "finite detections of the chunk in each bin of lateral precision"),
        Column("count_z", INT, "the same of axial precision"),
    ),
)
PAIR_COUNTS = Table(
    "pair_counts",
    "tile",
    "Pairs of detections by distance and frames between them, see count_pairs.",
    (
        Column("centers", INT, "detections whose pairs were counted"),
        Column("counts", INTS, "pairs, cell by cell"),
        Column("lowest_nm", FLOAT, "lowest z of the tile; 0 in 2D"),
        Column("highest_nm", FLOAT, "highest z of the tile; 0 in 2D"),
    ),
)
LAW = Table(
    "law",
    "image",
    "How often, how soon and how far apart a molecule is detected again, see Law.",
    (
        Column("lateral_nm", FLOAT, "median precision; null where precisions are not used"),
        Column("axial_nm", FLOAT, "median axial precision; null where they are not used"),
        Column("spread", FLOAT, "standard deviation of a detection, in multiples of its precision or in nm"),
        Column("spread_z", FLOAT, "the same along z; 0 in 2D"),
        Column("rates", pa.list_(FLOAT), "rates of exponentials, a frame"),
        Column("weights", pa.list_(FLOAT), "their weights"),
        Column("same_frame", FLOAT, "chance of another detection in the frame of one"),
        Column("returns", FLOAT, "chance that a molecule is detected again"),
        Column("frames", INT, "frames from the first to the last"),
        Column("per_volume", FLOAT, "detections per nm2 of the bounds, or per nm3"),
        Column("since", INTS, "first frame of each period"),
        Column("active", pa.list_(FLOAT), "detections a frame in each, in multiples of the mean"),
        Column("signal", FLOAT, "how much better returns explain pairs than chance, in standard errors"),
    ),
)
CROWD = Table(
    "crowd",
    "tile",
    "How many detections lie around each, in the order of the tile.",
    (*ID_COLUMN, Column("crowd", INT, "detections within the radii that the density is taken from")),
)
DETECTION_LINKS = replace(
    LINKS, name="detection_links", meaning="Distinct links from components of a tile of detections to other tiles."
)
DETECTION_ROOTS = Table(
    "detection_roots",
    "tile",
    "Component of each detection inside its tile, in the order of the tile.",
    (*ID_COLUMN, _ROOT),
)
GROUPS = Table(
    "groups",
    "tile",
    "Components of a tile that links join to those of others.",
    (_ROOT, Column("group", ID, "smallest loc_id of the component over all tiles")),
)
GROUP_VISITORS = Table(
    "group_visitors",
    "tile",
    "Other tiles with detections of components at home here.",
    (Column("tile", INT, "the other tile"),),
)
MADE = Table(
    "made",
    "tile",
    "Molecules of the components at home in a tile, by the chunk of their first row in the input.",
    (*ID_COLUMN, *PLACE_COLUMNS, *_OF_MOLECULE),
    parts="chunk",
)
MEMBERS = Table(
    "members",
    "tile",
    "The molecule of each detection of these components, by the chunk it is in.",
    (*ID_COLUMN, Column("molecule", ID, "smallest loc_id of the molecule's detections")),
    parts="chunk",
)
MERGE_TALLY = Table(
    "merge_tally",
    "tile",
    "Counts of merging that the summary adds up.",
    (
        Column("sizes", INTS, "molecules by their number of detections; the last bin holds larger ones too"),
        Column("gaps", INTS, "successive detections of a molecule by frames between them, see LAGS"),
        Column("doubtful", INTS, "joinings whose chance to be right is below 90 %"),
    ),
)
MOLECULE_RESULTS = Table(
    "molecule_results",
    "chunk",
    "What was found of the molecules of a chunk, by loc_id.",
    MEMBERSHIP.columns,
    ranged=True,
)
MOLECULE_RESULT = Table(
    "molecules",
    "chunk",
    "The molecules users get, where there is no directory to write them to.",
    MOLECULES,
)
