"""Stage `plan`: cut the plane into tiles (DESIGN section 5)."""

from __future__ import annotations

from typing import Any

from caml_dask.spatial.partition import partition
from caml_dask.stages.shared.selection import selected_xy
from caml_dask.stages.shared.work import Work, tile_size
from caml_dask.stages.stage import UNCOMPARED, Stage
from caml_dask.stages.tables import BOXES, CUTS, FACTS, INPUT


def plan(work: Work, unit: int) -> dict[str, Any]:
    """Cut the plane into tiles from the coordinates of all chunks, read as a stream."""
    facts = work.facts()
    most = tile_size(work.settings, facts["finite"])
    tiles = partition(lambda: selected_xy(work), facts["finite"], facts["bounds_nm"], most)
    work.put_partition(BOXES, CUTS, tiles)
    return {"rows": facts["finite"], "tiles": tiles.n_tiles}


STAGE = Stage(
    name="plan",
    title="planning tiles",
    per="image",
    run=plan,
    effort=1,
    conserves=UNCOMPARED,
    reads=(FACTS, INPUT),
    writes=(BOXES, CUTS),
)
