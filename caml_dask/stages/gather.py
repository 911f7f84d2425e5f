"""Stage `gather`: bring the rows of a tile together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from caml_dask.errors import ConservationError
from caml_dask.spatial.blocks import BlockIndex
from caml_dask.spatial.partition import Partition
from caml_dask.stages.shared.work import Work, coordinates, xy
from caml_dask.stages.stage import DEALT_ROWS, Stage
from caml_dask.stages.tables import BOXES, CUTS, FACTS, SCATTERED, TILE, Table


def gather(work: Work, unit: int) -> dict[str, Any]:
    """Bring the rows of one tile together, in blocks of near localizations."""
    return {"rows": bring_together(work, SCATTERED, TILE, unit, work.facts()["chunks"], work.partition())}


def bring_together(work: Work, dealt: Table, into: Table, unit: int, chunks: int, box: Partition) -> int:
    """Keep the rows that all chunks dealt out to a tile, in blocks of near ones; returns how many.

    Raises
    ------
    ConservationError : rows outside the tile's box.
    """
    table = pa.concat_tables([work.get_part(dealt, chunk, unit) for chunk in range(chunks)])
    points = xy(table)
    if not np.all((points >= box.lower_nm[unit]) & (points < box.upper_nm[unit])):
        raise ConservationError(f"tile {unit} of {work.image.image_id} was dealt localizations outside its box")
    order = BlockIndex.build(coordinates(table)).order
    work.put(into, unit, table.take(pa.array(order)).combine_chunks())
    return len(table)


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
