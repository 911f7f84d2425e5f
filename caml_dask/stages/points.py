"""The points as users see them, in input order, and the area they span."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from caml_dask.errors import ConservationError
from caml_dask.schema import COORDINATES, POINTS, arrow_schema
from caml_dask.stages.shared.selection import selected
from caml_dask.stages.shared.work import Work, parquet_options
from caml_dask.stages.stage import EVERY_ROW, Stage
from caml_dask.stages.tables import FACTS, INPUT, MEMBERSHIP, RESULT, SCATTERED

POINTS_SCHEMA = arrow_schema(POINTS)
_MEMBERSHIP = ("label", "cluster_id", "window_saturated")


def points(work: Work, unit: int) -> dict[str, Any]:
    """Join the results back to one chunk of the input, in its own row order; rows left out keep null results."""
    table = work.get(INPUT, unit)
    ids = table["loc_id"].to_numpy()
    tiles = work.filled(SCATTERED, unit) or [0]
    results = pa.concat_tables([work.get_part(MEMBERSHIP, tile, unit) for tile in tiles])
    found = np.searchsorted(ids, results["loc_id"].to_numpy())
    facts = work.facts()
    expected = np.flatnonzero(selected(work, table, facts))
    order = np.argsort(results["loc_id"].to_numpy())
    if not np.array_equal(results["loc_id"].to_numpy()[order], ids[expected]):
        raise ConservationError(
            f"{work.image.image_id}: chunk {unit} of the input has {len(expected)} localizations to analyze, "
            f"the tiles returned {len(np.unique(found))} of them in {len(found)} rows"
        )
    place = np.full(len(table), -1, dtype=np.int64)
    place[found] = np.arange(len(found))
    regions = () if work.settings.roi is None else ("region_id",)
    names = (*work.network.score_columns, *_MEMBERSHIP, *regions)
    taken = results.select(list(names)).take(pa.array(place, mask=place < 0))
    kept = [name for name in COORDINATES if name in table.column_names]
    own = [name for name in table.column_names if name not in ("loc_id", *kept)]
    columns = [table["loc_id"], *(table[n] for n in kept), *(taken[n] for n in names), *(table[n] for n in own)]
    fields = [POINTS_SCHEMA.field(n) for n in ("loc_id", *kept, *names)] + [table.schema.field(n) for n in own]
    joined = pa.Table.from_arrays(columns, schema=pa.schema(fields))
    if work.store.has_outputs:
        name = points_file(facts["chunks"], unit)
        work.store.output(name, lambda path: pq.write_table(joined, path, **parquet_options(joined.schema)))
    else:
        work.put(RESULT, unit, joined)
    return {"rows": len(table), "finite": len(found)}


def points_file(chunks: int, chunk: int) -> str:
    """Name of the file that holds the points of one chunk of the input."""
    return "points.parquet" if chunks == 1 else f"points/part-{chunk:05d}.parquet"


STAGE = Stage(
    name="points",
    title="writing points",
    per="chunk",
    run=points,
    effort=5,
    conserves=EVERY_ROW,
    reads=(FACTS, INPUT, SCATTERED, MEMBERSHIP),
    writes=(RESULT,),
)
