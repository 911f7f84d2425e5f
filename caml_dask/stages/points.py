"""The points as users see them, in input order, and the area they span."""

from __future__ import annotations

from collections.abc import Mapping
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


def points(work: Work, unit: int) -> dict[str, Any]:
    """Join the results back to one chunk of the input, in its own row order; rows left out keep null results."""
    table = work.get(INPUT, unit)
    found = in_input_order(work, unit, table)
    put_points(work, unit, with_results(table, found), work.facts())
    return {"rows": len(table), "finite": len(table) - found["label"].null_count}


def in_input_order(work: Work, unit: int, table: pa.Table) -> pa.Table:
    """Scores, label, cluster_id and window_saturated of the rows of one chunk; null for rows left out.

    Raises
    ------
    ConservationError : the tiles returned other rows than the finite ones.
    """
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
    return results.select(result_names(work)).take(pa.array(place, mask=place < 0))


def result_names(work: Work) -> list[str]:
    """The columns of what was found of a localization."""
    regions = ("region_id",) if work.settings.has_regions else ()
    return [*work.network.score_columns, "label", "cluster_id", "window_saturated", *regions]


def with_results(table: pa.Table, results: pa.Table) -> pa.Table:
    """Rows of the input with what was found of them, as users see them."""
    names = results.column_names
    kept = [name for name in COORDINATES if name in table.column_names]
    own = [name for name in table.column_names if name not in ("loc_id", *kept)]
    columns = [table["loc_id"], *(table[n] for n in kept), *(results[n] for n in names), *(table[n] for n in own)]
    fields = [POINTS_SCHEMA.field(n) for n in ("loc_id", *kept, *names)] + [table.schema.field(n) for n in own]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def put_points(work: Work, unit: int, joined: pa.Table, facts: Mapping[str, Any]) -> None:
    """Write the points of one chunk, or keep them where there is no directory."""
    if work.store.has_outputs:
        name = points_file(facts["chunks"], unit)
        work.store.output(name, lambda path: pq.write_table(joined, path, **parquet_options(joined.schema)))
    else:
        work.put(RESULT, unit, joined)


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
