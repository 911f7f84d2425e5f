"""Stage `scatter`: deal the finite rows of a chunk out to the tiles that own them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from caml_dask.schema import COORDINATES
from caml_dask.stages.shared.work import Work, coordinates, finite, xy
from caml_dask.stages.stage import FINITE_ROWS, Stage


def scatter(work: Work, unit: int) -> dict[str, Any]:
    """Deal the finite rows of one chunk out to the tiles that own them."""
    tiles = work.partition()
    table = _finite(work.store.get("input", unit))
    owner = tiles.tile_of(xy(table))
    parts = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=tiles.n_tiles))])
    work.store.put("scattered", unit, table.take(pa.array(np.argsort(owner, kind="stable"))), parts.tolist())
    return {"rows": len(table)}


def _finite(table: pa.Table) -> pa.Table:
    """loc_id and coordinates of the rows whose coordinates are finite."""
    names = ["loc_id", *(name for name in COORDINATES if name in table.column_names)]
    return table.select(names).filter(pa.array(finite(coordinates(table))))


STAGE = Stage("scatter", "dealing rows to tiles", "chunk", scatter, FINITE_ROWS)
