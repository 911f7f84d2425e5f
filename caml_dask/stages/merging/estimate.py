"""Stages of `--merge auto` that estimate re-blinking: count pairs, find the law, count what lies around each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from caml_dask.blinking import pairs
from caml_dask.blinking.choose import choose, compared, windows
from caml_dask.blinking.estimate import estimates
from caml_dask.blinking.links import crowd, crowd_radius_nm
from caml_dask.blinking.pairs import scales
from caml_dask.stages.merging.around import around, rows_of, uncertainty_of
from caml_dask.stages.merging.law import law_of, median_precision, put_law
from caml_dask.stages.merging.tables import (
    CROWD,
    DETECTION_BOXES,
    DETECTION_CUTS,
    DETECTION_FACTS,
    DETECTION_TILE,
    DETECTIONS,
    FRAMES,
    LAW,
    PAIR_COUNTS,
    PRECISIONS,
)
from caml_dask.stages.shared.selection import selected_xy
from caml_dask.stages.shared.work import Work, coordinates, xy
from caml_dask.stages.stage import OWNED_DETECTIONS, UNCOMPARED, Stage


def count(work: Work, unit: int) -> dict[str, Any]:
    """Count the pairs of a tile's detections by distance and frames between them."""
    median = median_precision(work)
    at_hand = around(work, unit, pairs.longest_nm(median))
    points, frame = coordinates(at_hand.rows), at_hand.rows["frame"].to_numpy()
    scale = scales(uncertainty_of(at_hand.rows), median, len(points))
    own = pairs.are_centers(points[: at_hand.own], frame[: at_hand.own], work.detection_facts()["finite"])
    counts = pairs.count_pairs(points, frame, scale, np.flatnonzero(own), pairs.longest_scaled(median))
    work.put(PAIR_COUNTS, unit, pa.table({"centers": [int(own.sum())], "counts": [counts.ravel()]}))
    return {"rows": at_hand.own}


def find(work: Work, unit: int) -> dict[str, Any]:
    """Estimate re-blinking from the pairs of all tiles."""
    facts, median = work.detection_facts(), median_precision(work)
    tables = [work.get(PAIR_COUNTS, tile) for tile in range(work.detection_tiles().n_tiles)]
    counts = np.sum([table["counts"][0].values.to_numpy() for table in tables], axis=0)
    every = pa.concat_tables([work.get(FRAMES, chunk) for chunk in range(facts["chunks"])])
    frames, which = np.unique(every["frame"].to_numpy(), return_inverse=True)
    x0, y0, x1, y1 = facts["bounds_nm"]
    laws = estimates(
        counts.reshape(len(pairs.RINGS) - 1, len(pairs.LAGS)),
        pairs.independent_pairs(frames, np.bincount(which, weights=every["count"].to_numpy()).astype(np.int64)),
        longest=pairs.longest_scaled(median),
        centers=sum(table["centers"][0].as_py() for table in tables),
        frames=int(frames[-1] - frames[0]) + 1,
        per_nm2=facts["finite"] / max((x1 - x0) * (y1 - y0), 1.0),
    )
    law = choose(laws, _windows(work, median), median)
    put_law(work, law, median)
    return {"returns": law.returns, "spread": law.spread}


def _windows(work: Work, median_nm: float | None) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """The detections of the windows in which laws are compared."""
    facts, tiles = work.detection_facts(), work.detection_tiles()
    boxes = windows(lambda: selected_xy(work, DETECTIONS, facts), facts["finite"], facts["bounds_nm"])
    for box in compared(boxes):
        pieces = []
        for tile in tiles.overlapping(boxes.lower_nm[box], boxes.upper_nm[box]):
            rows = rows_of(work, int(tile))
            pieces.append(rows.filter(pa.array(boxes.tile_of(xy(rows)) == box)))
        found = pa.concat_tables(pieces).combine_chunks()
        scale = scales(uncertainty_of(found), median_nm, len(found))
        yield coordinates(found), found["frame"].to_numpy(), scale, found["loc_id"].to_numpy()


def look(work: Work, unit: int) -> dict[str, Any]:
    """Count the detections around each of a tile's."""
    law, median = law_of(work)
    radius = crowd_radius_nm(law, median)
    at_hand = around(work, unit, radius)
    counts = crowd(coordinates(at_hand.rows)[:, :2], np.arange(at_hand.own), radius)
    work.put(CROWD, unit, pa.table({"loc_id": at_hand.rows["loc_id"][: at_hand.own], "crowd": counts}))
    return {"rows": at_hand.own}


COUNT = Stage(
    name="count_pairs",
    title="counting pairs of detections",
    per="detection tile",
    run=count,
    effort=6,
    conserves=OWNED_DETECTIONS,
    reads=(DETECTION_FACTS, DETECTION_BOXES, DETECTION_CUTS, DETECTION_TILE, PRECISIONS),
    writes=(PAIR_COUNTS,),
)
FIND = Stage(
    name="estimate",
    title="estimating re-blinking",
    per="image",
    run=find,
    effort=1,
    conserves=UNCOMPARED,
    reads=(
        DETECTION_FACTS,
        DETECTION_BOXES,
        DETECTION_CUTS,
        PAIR_COUNTS,
        FRAMES,
        PRECISIONS,
        DETECTION_TILE,
        DETECTIONS,
    ),
    writes=(LAW,),
)
LOOK = Stage(
    name="crowd",
    title="counting detections around each",
    per="detection tile",
    run=look,
    effort=3,
    conserves=OWNED_DETECTIONS,
    reads=(DETECTION_BOXES, DETECTION_CUTS, DETECTION_TILE, LAW),
    writes=(CROWD,),
)
