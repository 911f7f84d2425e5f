"""Stages that estimate the drift of an image and hand corrected localizations on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from caml_dask.drift.curve import Curve
from caml_dask.drift.estimate import drift_of
from caml_dask.schema import COORDINATES, DRIFT, arrow_schema
from caml_dask.stages.drift.tables import (
    AS_READ,
    CORRECTED_BOUNDS,
    CURVE,
    DRIFT_FOUND,
    DRIFT_OF_FRAMES,
    READ_FACTS,
)
from caml_dask.stages.merging.tables import DETECTION_FACTS, DETECTIONS
from caml_dask.stages.read import input_of
from caml_dask.stages.shared.selection import selected
from caml_dask.stages.shared.work import Work, coordinates, parquet_options
from caml_dask.stages.stage import EVERY_ROW_READ, UNCOMPARED, Stage
from caml_dask.stages.tables import FACTS, INPUT


def estimate(work: Work, unit: int) -> dict[str, Any]:
    """Estimate the drift from the localizations of all chunks, read as a stream."""
    facts = work.read_facts()
    found = drift_of(lambda: _analyzed(work, facts), work.settings.drift or "")
    curve = found.estimate.curve
    work.put(
        CURVE,
        0,
        pa.table({"frame": curve.knots, "drift_nm": pa.array(curve.drift_nm.tolist(), pa.list_(pa.float64()))}),
    )
    names = [f"d{name}" for name in facts["coordinates"]]
    schema = arrow_schema(tuple(column for column in DRIFT if column.name in ("frame", *names)))
    of_frames = pa.table([found.frames, *found.drift_nm.T], schema=schema)
    work.put(DRIFT_OF_FRAMES, 0, of_frames)
    if work.store.has_outputs:
        work.store.output(
            "drift.parquet", lambda path: pq.write_table(of_frames, path, **parquet_options(of_frames.schema))
        )
    error = [None if np.isnan(value) else float(value) for value in found.estimate.error_nm]
    row: dict[str, Any] = {
        "first": curve.first,
        "last": curve.last,
        "intervals": found.estimate.intervals,
        "used": found.used,
    }
    row |= {"error_nm": error, "ring_correlation_nm": found.ring_correlation_nm, "nena_nm": found.nena_nm}
    work.put(DRIFT_FOUND, 0, pa.Table.from_pylist([row], arrow_schema(DRIFT_FOUND.columns)))
    return {"rows": found.used}


def _analyzed(work: Work, facts: dict[str, Any]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Coordinates and frames of the rows of each chunk that are analyzed."""
    names = [*facts["coordinates"], _frame_of(facts), *(column["column"] for column in facts["where"])]
    for chunk in range(facts["chunks"]):
        table = work.get(AS_READ, chunk, list(dict.fromkeys(names)))
        taken = selected(work, table, facts)
        yield coordinates(table)[taken], _frames(table, facts)[taken].astype(np.int64)


def _frame_of(facts: dict[str, Any]) -> str:
    return next(column["column"] for column in facts["carried"] if column["name"] == "frame")


def _frames(table: pa.Table, facts: dict[str, Any]) -> np.ndarray:
    """Frames as float64, which holds those that are whole numbers as they are; NaN where there is none."""
    return pc.cast(table[_frame_of(facts)], pa.float64(), safe=False).to_numpy()


def correct(work: Work, unit: int) -> dict[str, Any]:
    """Take the drift of its frame from each row of a chunk; rows without a frame stay where they are."""
    facts, table = work.read_facts(), work.get(AS_READ, unit)
    knots, found = work.get(CURVE, 0), work.get(DRIFT_FOUND, 0).to_pylist()[0]
    drift_nm = np.array(knots["drift_nm"].to_pylist(), np.float64).reshape(len(knots), len(facts["coordinates"]))
    curve = Curve(knots["frame"].to_numpy(), drift_nm, found["first"], found["last"])
    frame, taken, points = _frames(table, facts), selected(work, table, facts), coordinates(table)
    known = np.isfinite(frame)
    points[known] -= curve.at(frame[known])
    for name, as_read in _compared(facts, table.column_names).items():
        table = table.append_column(as_read, table[name])
    for axis, name in enumerate(facts["coordinates"]):
        table = table.set_column(table.column_names.index(name), table.schema.field(name), pa.array(points[:, axis]))
    work.put(input_of(work.settings)[0], unit, table)
    flat = points[taken, :2]
    bounds = [*flat.min(axis=0, initial=np.inf), *flat.max(axis=0, initial=-np.inf)]
    work.put(CORRECTED_BOUNDS, unit, pa.table({c.name: [v] for c, v in zip(CORRECTED_BOUNDS.columns, bounds)}))
    return {"rows": len(table)}


def _compared(facts: dict[str, Any], names: list[str]) -> dict[str, str]:
    """Coordinates that the filter, which comes before drift, compares, with the columns that keep them as read."""
    found = {}
    for column in facts["where"]:
        if column["column"] in COORDINATES:
            kept = f"uncorrected_{column['column']}"
            while kept in names:
                kept = f"uncorrected_{kept}"
            found[column["column"]] = kept
    return found


def count(work: Work, unit: int) -> dict[str, Any]:
    """State the bounds of the corrected localizations, as reading does."""
    facts = work.read_facts()
    tables = pa.concat_tables([work.get(CORRECTED_BOUNDS, chunk) for chunk in range(facts["chunks"])])
    names = [column.name for column in CORRECTED_BOUNDS.columns]
    facts["bounds_nm"] = [
        *(float(tables[name].to_numpy().min()) for name in names[:2]),
        *(float(tables[name].to_numpy().max()) for name in names[2:]),
    ]
    kept = _compared(facts, work.get(AS_READ, 0).column_names)
    for column in facts["where"]:
        column["column"] = kept.get(column["column"], column["column"])
    work.put(input_of(work.settings)[1], 0, pa.Table.from_pylist([facts], arrow_schema(FACTS.columns)))
    return {"rows": facts["finite"]}


ESTIMATE = Stage(
    name="estimate_drift",
    title="estimating drift",
    per="image",
    run=estimate,
    effort=4,
    conserves=UNCOMPARED,
    reads=(READ_FACTS, AS_READ),
    writes=(CURVE, DRIFT_FOUND, DRIFT_OF_FRAMES),
)
CORRECT = Stage(
    name="correct_drift",
    title="correcting drift",
    per="read chunk",
    run=correct,
    effort=2,
    conserves=EVERY_ROW_READ,
    reads=(READ_FACTS, AS_READ, CURVE, DRIFT_FOUND),
    writes=(INPUT, CORRECTED_BOUNDS),
    carries=("frame",),
)
COUNT = Stage(
    name="count_corrected",
    title="correcting drift",
    per="image",
    run=count,
    effort=1,
    conserves=UNCOMPARED,
    reads=(READ_FACTS, AS_READ, CORRECTED_BOUNDS),
    writes=(FACTS,),
)
STAGES = (ESTIMATE, CORRECT, COUNT)
MERGING_STAGES = (
    ESTIMATE,
    replace(CORRECT, writes=(DETECTIONS, CORRECTED_BOUNDS)),
    replace(COUNT, writes=(DETECTION_FACTS,)),
)
"""The same where detections are merged behind them."""
