"""Stages before detections are merged: cut the plane, deal detections out, bring those of a tile together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from caml_dask.blinking.pairs import precision_counts
from caml_dask.spatial.partition import partition
from caml_dask.stages.gather import bring_together
from caml_dask.stages.merging.around import uncertainty_of
from caml_dask.stages.merging.tables import (
    DETECTION_BOXES,
    DETECTION_CUTS,
    DETECTION_FACTS,
    DETECTION_TILE,
    DETECTIONS,
    DETECTIONS_DEALT,
    FRAMES,
    PRECISIONS,
)
from caml_dask.stages.scatter import deal, flowing
from caml_dask.stages.shared.selection import selected, selected_xy
from caml_dask.stages.shared.work import Work, tile_size
from caml_dask.stages.stage import DEALT_DETECTIONS, FINITE_DETECTIONS, UNCOMPARED, Stage


def plan(work: Work, unit: int) -> dict[str, Any]:
    """Cut the plane into tiles of detections."""
    facts = work.detection_facts()
    most = tile_size(work.settings, facts["finite"])
    tiles = partition(lambda: selected_xy(work, DETECTIONS, facts), facts["finite"], facts["bounds_nm"], most)
    work.put_partition(DETECTION_BOXES, DETECTION_CUTS, tiles)
    return {"rows": facts["finite"], "tiles": tiles.n_tiles}


def scatter(work: Work, unit: int) -> dict[str, Any]:
    """Deal the detections of one chunk that are analyzed out to tiles; count their frames and precisions."""
    facts, chunk = work.detection_facts(), work.get(DETECTIONS, unit)
    rows = flowing(chunk, facts["carried"]).filter(pa.array(selected(work, chunk, facts)))
    deal(work, DETECTIONS_DEALT, unit, rows, work.detection_tiles())
    frames, counts = np.unique(rows["frame"].to_numpy(), return_counts=True)
    work.put(FRAMES, unit, pa.table({"frame": frames, "count": counts}))
    counts = {}
    for name, column in (("count", "uncertainty_nm"), ("count_z", "uncertainty_z_nm")):
        known = uncertainty_of(rows, column)
        counts[name] = precision_counts(np.zeros(0) if known is None else known)
    work.put(PRECISIONS, unit, pa.table(counts))
    return {"rows": len(rows)}


def gather(work: Work, unit: int) -> dict[str, Any]:
    """Bring the detections of one tile together."""
    chunks, tiles = work.detection_facts()["chunks"], work.detection_tiles()
    return {"rows": bring_together(work, DETECTIONS_DEALT, DETECTION_TILE, unit, chunks, tiles)}


PLAN = Stage(
    name="plan_detections",
    title="planning tiles of detections",
    per="image",
    run=plan,
    effort=1,
    conserves=UNCOMPARED,
    reads=(DETECTION_FACTS, DETECTIONS),
    writes=(DETECTION_BOXES, DETECTION_CUTS),
)
SCATTER = Stage(
    name="scatter_detections",
    title="assigning detections to tiles",
    per="detection chunk",
    run=scatter,
    effort=2,
    conserves=FINITE_DETECTIONS,
    reads=(DETECTION_FACTS, DETECTION_BOXES, DETECTION_CUTS, DETECTIONS),
    writes=(DETECTIONS_DEALT, FRAMES, PRECISIONS),
    carries=("frame", "photons", "uncertainty_nm", "uncertainty_z_nm"),
)
GATHER = Stage(
    name="gather_detections",
    title="gathering detections",
    per="detection tile",
    run=gather,
    effort=4,
    conserves=DEALT_DETECTIONS,
    reads=(DETECTION_FACTS, DETECTION_BOXES, DETECTION_CUTS, DETECTIONS_DEALT),
    writes=(DETECTION_TILE,),
)
