"""Last stages where detections are merged: the molecules as users see them, and the detections with their molecules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from caml_dask.errors import ConservationError
from caml_dask.schema import MOLECULES, arrow_schema
from caml_dask.stages.merging.tables import (
    DETECTION_BOXES,
    DETECTION_CUTS,
    DETECTION_FACTS,
    DETECTIONS,
    MEMBERS,
    MOLECULE_RESULT,
    MOLECULE_RESULTS,
)
from caml_dask.stages.points import in_input_order, put_points, result_names, with_results
from caml_dask.stages.shared.selection import selected
from caml_dask.stages.shared.work import Work, parquet_options
from caml_dask.stages.stage import EVERY_DETECTION, EVERY_ROW, Stage
from caml_dask.stages.tables import CHUNKS, FACTS, INPUT, MEMBERSHIP, RESULT, SCATTERED


def molecules(work: Work, unit: int) -> dict[str, Any]:
    """Join the results back to the molecules of one chunk."""
    table = work.get(INPUT, unit)
    found = in_input_order(work, unit, table)
    work.put(
        MOLECULE_RESULTS, unit, pa.table({"loc_id": table["loc_id"], **dict(zip(found.column_names, found.columns))})
    )
    own = {name: table[name] for name in table.column_names if name != "loc_id"}
    columns = {"molecule_id": table["loc_id"].cast(pa.int64()), **own}
    columns |= {name: found[name] for name in found.column_names}
    schema = arrow_schema(tuple(column for column in MOLECULES if column.name in columns))
    joined = pa.table([columns[name] for name in schema.names], schema=schema)
    if work.store.has_outputs:
        chunks = work.facts()["chunks"]
        name = "molecules.parquet" if chunks == 1 else f"molecules/part-{unit:05d}.parquet"
        work.store.output(name, lambda path: pq.write_table(joined, path, **parquet_options(joined.schema)))
    else:
        work.put(MOLECULE_RESULT, unit, joined)
    return {"rows": len(table)}


def detections(work: Work, unit: int) -> dict[str, Any]:
    """Join the results of molecules back to their detections in one chunk of the input, in its own row order."""
    table = work.get(DETECTIONS, unit)
    ids = table["loc_id"].to_numpy()
    tiles = range(work.detection_tiles().n_tiles)
    members = pa.concat_tables([work.get_part(MEMBERS, tile, unit) for tile in tiles]).sort_by("loc_id")
    facts = work.detection_facts()
    place = np.flatnonzero(selected(work, table, facts))
    if not np.array_equal(members["loc_id"].to_numpy(), ids[place]):
        raise ConservationError(
            f"{work.image.image_id}: chunk {unit} of the input has {len(place)} detections to analyze, "
            f"merging returned {len(members)} rows"
        )
    molecule = members["molecule"].to_numpy()
    results = _of_molecules(work, molecule)
    results = results.append_column("molecule_id", pa.array(molecule.astype(np.int64)))
    where = np.full(len(table), -1, dtype=np.int64)
    where[place] = np.arange(len(place))
    put_points(work, unit, with_results(table, results.take(pa.array(where, mask=where < 0))), facts)
    return {"rows": len(table), "finite": len(place)}


def _of_molecules(work: Work, molecule: np.ndarray) -> pa.Table:
    """The results of molecules, which may be of any chunk, in the order they are asked for."""
    names = result_names(work)
    chunk = np.searchsorted(work.get(CHUNKS, 0)["first_id"].to_numpy(), molecule, side="right") - 1
    tables, order = [], []
    for number in np.unique(chunk) if len(chunk) else [0]:
        asked = np.flatnonzero(chunk == number)
        ids = work.get(MOLECULE_RESULTS, int(number), ["loc_id"])["loc_id"].to_numpy()
        at = np.searchsorted(ids, molecule[asked])
        if len(asked) and (at.max() >= len(ids) or not np.array_equal(ids[at], molecule[asked])):
            raise ConservationError(f"{work.image.image_id}: detections are of molecules that chunk {number} has not")
        tables.append(work.get_rows(MOLECULE_RESULTS, int(number), at, names))
        order.append(asked)
    back = np.argsort(np.concatenate(order), kind="stable")
    return pa.concat_tables(tables).take(pa.array(back))


MOLECULES_STAGE = Stage(
    name="molecules",
    title="writing molecules",
    per="chunk",
    run=molecules,
    effort=3,
    conserves=EVERY_ROW,
    reads=(FACTS, INPUT, SCATTERED, MEMBERSHIP),
    writes=(MOLECULE_RESULTS, MOLECULE_RESULT),
)
DETECTIONS_STAGE = Stage(
    name="detections",
    title="writing points",
    per="detection chunk",
    run=detections,
    effort=5,
    conserves=EVERY_DETECTION,
    reads=(DETECTION_FACTS, DETECTION_BOXES, DETECTION_CUTS, DETECTIONS, CHUNKS, MEMBERS, MOLECULE_RESULTS),
    writes=(RESULT,),
)
