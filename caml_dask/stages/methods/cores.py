"""Stage `cores`: which localizations of a tile are cores of clusters, as DBSCAN and Getis & Franklin have them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from caml_dask.schema import COORDINATES
from caml_dask.spatial.blocks import BlockIndex
from caml_dask.spatial.density import dense
from caml_dask.stages.methods.settle import settled
from caml_dask.stages.methods.tables import CORES, SETTLED
from caml_dask.stages.shared.surroundings import rows_around
from caml_dask.stages.shared.work import Work, coordinates
from caml_dask.stages.stage import OWNED_ROWS, Stage
from caml_dask.stages.tables import BOXES, CUTS, TILE


def cores(work: Work, unit: int) -> dict[str, Any]:
    """Keep the localizations of a tile that have enough others within the radius, wherever these lie."""
    figures, tile = settled(work), work.get(TILE, unit)
    around = [coordinates(rows) for _, rows in rows_around(work, TILE, unit, figures["radius_nm"])]
    index = BlockIndex.build(np.vstack([coordinates(tile), *around]))
    rows = np.flatnonzero(dense(index, len(tile), figures["radius_nm"], int(figures["least_samples"])))
    names = ["loc_id", *(name for name in COORDINATES if name in tile.column_names)]
    found = tile.select(names).take(pa.array(rows)).append_column("row", pa.array(rows))
    work.put(CORES, unit, found)
    return {"rows": len(tile), "cores": len(rows)}


STAGE = Stage(
    name="cores",
    title="finding cores",
    per="tile",
    run=cores,
    effort=10,
    conserves=OWNED_ROWS,
    reads=(SETTLED, BOXES, CUTS, TILE),
    writes=(CORES,),
)
