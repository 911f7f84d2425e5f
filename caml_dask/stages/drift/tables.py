"""The tables of the stages that correct drift; see :mod:`caml_dask.stages.tables`."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from caml_dask.schema import DRIFT, Column
from caml_dask.stages.tables import FACTS, FLOAT, INPUT, INT, Table

_FLOATS = pa.list_(FLOAT)
AS_READ = replace(
    INPUT, name="as_read", meaning="The input as it was read, where its drift is corrected.", passing=True
)
READ_FACTS = replace(FACTS, name="read_facts", meaning="What reading found, where drift is corrected.")
CURVE = Table(
    "drift_curve",
    "image",
    "Knots of the drift over frames, see Curve.",
    (Column("frame", FLOAT, "mean frame of an interval"), Column("drift_nm", _FLOATS, "drift there on each axis")),
)
DRIFT_OF_FRAMES = Table("drift", "image", "The drift in each frame, as users get it.", DRIFT)
DRIFT_FOUND = Table(
    "drift_found",
    "image",
    "What is known of the drift.",
    (
        Column("first", INT, "first frame that has localizations to analyze"),
        Column("last", INT, "the last such frame"),
        Column("intervals", INT, "intervals of frames that drift was estimated of"),
        Column("used", INT, "localizations it was estimated of"),
        Column("error_nm", _FLOATS, "standard error on each axis; null where unknown"),
        Column("ring_correlation_nm", _FLOATS, "resolution before and after; null where unknown"),
        Column("nena_nm", _FLOATS, "precision before and after; null where unknown"),
    ),
)
CORRECTED_BOUNDS = Table(
    "corrected_bounds",
    "chunk",
    "Bounds of the corrected localizations of a chunk.",
    tuple(
        Column(name, FLOAT, "a side; infinite where there are none") for name in ("x0_nm", "y0_nm", "x1_nm", "y1_nm")
    ),
)
