"""Stages of `--merge auto` that estimate re-blinking: count pairs, find the law, count what lies around each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from caml_dask.blinking import pairs
from caml_dask.blinking.estimate import Counted, estimate
from caml_dask.blinking.links import crowd, crowd_radii_nm
from caml_dask.stages.merging.around import around, scales_of
from caml_dask.stages.merging.law import law_of, median_precisions, put_law
from caml_dask.stages.merging.tables import (
    CROWD,
    DETECTION_BOXES,
    DETECTION_CUTS,
    DETECTION_FACTS,
    DETECTION_TILE,
    FRAMES,
    LAW,
    PAIR_COUNTS,
    PRECISIONS,
)
from caml_dask.stages.shared.work import Work, coordinates
from caml_dask.stages.stage import OWNED_DETECTIONS, UNCOMPARED, Stage


def count(work: Work, unit: int) -> dict[str, Any]:
    """Count the pairs of a tile's detections by distance and frames between them."""
    medians = median_precisions(work)
    at_hand = around(work, unit, medians.longest_nm())
    points, frame = coordinates(at_hand.rows), at_hand.rows["frame"].to_numpy()
    mine = points[: at_hand.own]
    own = pairs.are_centers(mine, frame[: at_hand.own], work.detection_facts()["finite"])
    scale, longest = scales_of(at_hand.rows, medians), medians.longest(points.shape[1])
    counts = pairs.count_pairs(points, frame, scale, np.flatnonzero(own), longest)
    heights = mine[:, 2] if mine.shape[1] == 3 else np.zeros(len(mine))
    columns = {"centers": [int(own.sum())], "counts": [counts.ravel()]}
    columns |= {"lowest_nm": [float(heights.min())], "highest_nm": [float(heights.max())]}
    work.put(PAIR_COUNTS, unit, pa.table(columns))
    return {"rows": at_hand.own}


def find(work: Work, unit: int) -> dict[str, Any]:
    """Estimate re-blinking from the pairs of all tiles."""
    facts, medians = work.detection_facts(), median_precisions(work)
    tables = [work.get(PAIR_COUNTS, tile) for tile in range(work.detection_tiles().n_tiles)]
    counts = np.sum([table["counts"][0].values.to_numpy() for table in tables], axis=0)
    every = pa.concat_tables([work.get(FRAMES, chunk) for chunk in range(facts["chunks"])])
    frames, which = np.unique(every["frame"].to_numpy(), return_inverse=True)
    x0, y0, x1, y1 = facts["bounds_nm"]
    volume = (x1 - x0) * (y1 - y0)
    if len(facts["coordinates"]) == 3:
        lowest, highest = ([table[name][0].as_py() for table in tables] for name in ("lowest_nm", "highest_nm"))
        volume *= max(highest) - min(lowest)
    law = estimate(
        Counted(
            counts.reshape(-1, len(pairs.LAGS)),
            medians.longest(len(facts["coordinates"])),
            sum(table["centers"][0].as_py() for table in tables),
            frames,
            np.bincount(which, weights=every["count"].to_numpy()).astype(np.int64),
            facts["finite"] / max(volume, 1.0),
        )
    )
    put_law(work, law, medians)
    return {"returns": law.returns, "spread": law.spread}


def look(work: Work, unit: int) -> dict[str, Any]:
    """Count the detections around each of a tile's."""
    law, medians = law_of(work)
    radii = crowd_radii_nm(law, medians, len(work.detection_facts()["coordinates"]))
    at_hand = around(work, unit, radii[0])
    counts = crowd(coordinates(at_hand.rows), np.arange(at_hand.own), radii)
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
    reads=(DETECTION_FACTS, DETECTION_BOXES, DETECTION_CUTS, PAIR_COUNTS, FRAMES, PRECISIONS),
    writes=(LAW,),
)
LOOK = Stage(
    name="crowd",
    title="counting detections around each",
    per="detection tile",
    run=look,
    effort=3,
    conserves=OWNED_DETECTIONS,
    reads=(DETECTION_FACTS, DETECTION_BOXES, DETECTION_CUTS, DETECTION_TILE, LAW),
    writes=(CROWD,),
)
