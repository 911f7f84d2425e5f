"""Stage `scatter`: deal the rows of a chunk that are analyzed out to the tiles that own them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from caml_dask.schema import CARRIED, COORDINATES
from caml_dask.spatial.partition import Partition
from caml_dask.stages.shared.selection import selected
from caml_dask.stages.shared.work import Work, xy
from caml_dask.stages.stage import FINITE_ROWS, Stage
from caml_dask.stages.tables import BOXES, CUTS, FACTS, INPUT, SCATTERED, Table


def scatter(work: Work, unit: int) -> dict[str, Any]:
    """Deal the rows of one chunk that are analyzed out to the tiles that own them."""
    facts, chunk = work.facts(), work.get(INPUT, unit)
    table = flowing(chunk, facts["carried"]).filter(pa.array(selected(work, chunk, facts)))
    deal(work, SCATTERED, unit, table, work.partition())
    return {"rows": len(table)}


def deal(work: Work, into: Table, unit: int, table: pa.Table, tiles: Partition) -> None:
    """Keep the rows of a chunk by the tile that owns them."""
    owner = tiles.tile_of(xy(table))
    parts = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=tiles.n_tiles))])
    work.put(into, unit, table.take(pa.array(np.argsort(owner, kind="stable"))), parts.tolist())


def flowing(table: pa.Table, carried: Sequence[Mapping[str, Any]]) -> pa.Table:
    """loc_id, coordinates and carried columns."""
    names = ["loc_id", *(name for name in COORDINATES if name in table.column_names)]
    rows = table.select(names)
    for column in carried:
        rows = rows.append_column(column["name"], _in_unit(table[column["column"]], column["name"], column["factor"]))
    return rows


def _in_unit(values: pa.ChunkedArray, name: str, factor: float) -> pa.ChunkedArray:
    """A carried column as :data:`caml_dask.schema.CARRIED` has it; of another name as the file has it."""
    kind = next((column.type for column in CARRIED if column.name == name), values.type)
    scaled = values if factor == 1.0 else pc.multiply(values, factor)
    return scaled if scaled.type == kind else pc.cast(scaled, kind)


STAGE = Stage(
    name="scatter",
    title="assigning rows to tiles",
    per="chunk",
    run=scatter,
    effort=2,
    conserves=FINITE_ROWS,
    reads=(FACTS, BOXES, CUTS, INPUT),
    writes=(SCATTERED,),
)
