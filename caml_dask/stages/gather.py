"""Stage `gather`: bring the rows of a tile together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from caml_dask.errors import ConservationError
from caml_dask.spatial.blocks import BlockIndex
from caml_dask.stages.shared.work import Work, coordinates, xy
from caml_dask.stages.stage import DEALT_ROWS, Stage


def gather(work: Work, unit: int) -> dict[str, Any]:
    """Bring the rows of one tile together, in blocks of near localizations."""
    chunks = work.facts()["chunks"]
    table = pa.concat_tables([work.store.get_part("scattered", chunk, unit) for chunk in range(chunks)])
    box = work.partition()
    points = xy(table)
    if not np.all((points >= box.lower_nm[unit]) & (points < box.upper_nm[unit])):
        raise ConservationError(f"tile {unit} of {work.image.image_id} was dealt localizations outside its box")
    order = BlockIndex.build(coordinates(table)).order
    work.store.put("tile", unit, table.take(pa.array(order)).combine_chunks())
    return {"rows": len(table)}


STAGE = Stage("gather", "gathering tiles", "tile", gather, DEALT_ROWS)
