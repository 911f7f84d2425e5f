"""Stage `gather`: bring the rows of a tile together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from caml_dask.errors import ConservationError
from caml_dask.spatial.blocks import BlockIndex
from caml_dask.stages.shared.work import Work, coordinates, xy
from caml_dask.stages.stage import DEALT_ROWS, Stage
from caml_dask.stages.tables import BOXES, CUTS, FACTS, SCATTERED, TILE


def gather(work: Work, unit: int) -> dict[str, Any]:
    """Bring the rows of one tile together, in blocks of near localizations."""
    chunks = work.facts()["chunks"]
    table = pa.concat_tables([work.get_part(SCATTERED, chunk, unit) for chunk in range(chunks)])
    box = work.partition()
    points = xy(table)
    if not np.all((points >= box.lower_nm[unit]) & (points < box.upper_nm[unit])):
        raise ConservationError(f"tile {unit} of {work.image.image_id} was dealt localizations outside its box")
    order = BlockIndex.build(coordinates(table)).order
    work.put(TILE, unit, table.take(pa.array(order)).combine_chunks())
    return {"rows": len(table)}


STAGE = Stage(
    name="gather",
    title="gathering tiles",
    per="tile",
    run=gather,
    effort=5,
    conserves=DEALT_ROWS,
    reads=(FACTS, BOXES, CUTS, SCATTERED),
    writes=(TILE,),
)
