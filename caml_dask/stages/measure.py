"""Stage `measure`: the clusters whose smallest loc_id a tile owns, outlined and measured (DESIGN section 6)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from caml_dask.geometry.bootstrap import area_intervals
from caml_dask.geometry.measure import Shapes, measure_clusters, measure_clusters_3d, touches_border
from caml_dask.io.rois.roi import region_of
from caml_dask.schema import NO_CLUSTER, arrow_schema, cluster_columns
from caml_dask.stages.shared.clusters import clusters_of
from caml_dask.stages.shared.measured import FOUND_LATER, absent_columns
from caml_dask.stages.shared.precision import PRECISION, has_precision, of_precision
from caml_dask.stages.shared.work import Work, coordinates
from caml_dask.stages.stage import OWNED_ROWS, Stage
from caml_dask.stages.tables import (
    CELL_MASK,
    FACTS,
    LABELS,
    MEASURED,
    NUMBERS,
    OUTLINES,
    PIECES,
    ROIS,
    TILE,
    VISITORS,
)


def measure(work: Work, unit: int) -> dict[str, Any]:
    """Measure the clusters at home in a tile."""
    cluster, b_nm = clusters_of(work, unit)
    rois = work.rois()
    numbers = work.get(NUMBERS, unit)
    at_home = numbers["root"].to_numpy().astype(np.int64) == numbers["cluster_id"].to_numpy()
    home = np.sort(numbers["cluster_id"].to_numpy()[at_home])
    visitors = work.get(VISITORS, unit)["tile"].to_pylist()
    members = [_members(work, unit, cluster, b_nm, home)]
    members += [_members(work, visitor, *clusters_of(work, visitor), home) for visitor in visitors]
    ids, points, nearest_nm, labels, b, uncertainty_nm = (
        np.concatenate(column) for column in zip(*members, strict=True)
    )
    order = np.argsort(ids, kind="stable")
    starts = np.append(np.flatnonzero(np.diff(ids[order], prepend=-1)), len(ids))
    first = order[starts[:-1]]
    kind = measure_clusters_3d if work.dimensions() == 3 else measure_clusters
    shapes = kind(points[order], nearest_nm[order], starts, b[first])
    columns: dict[str, Any] = shapes.columns() | {
        "cluster_id": ids[first],
        "image_id": [work.image.image_id] * len(first),
        "label": labels[first],
        "b_nm": b[first],
        "touches_border": touches_border(shapes.bounds_nm, work.facts()["bounds_nm"], b[first]),
    }
    if isinstance(shapes, Shapes):
        if has_precision(work):
            columns |= of_precision(ids[order], uncertainty_nm[order], shapes)
        if (resamples := work.settings.bootstrap) is not None:
            columns |= area_intervals(points[order], starts, b[first], shapes.area_nm2, ids[first], resamples)
    if rois:  # a cluster belongs to the region that holds its centroid
        columns["region_id"] = region_of(rois, np.column_stack([columns[f"centroid_{axis}_nm"] for axis in "xy"]))
    schema = arrow_schema(cluster_columns(work.dimensions()), leave_out=(*FOUND_LATER, *absent_columns(work)))
    table = pa.Table.from_arrays([_column(columns[f.name], f.type) for f in schema], schema=schema)
    work.put(MEASURED, unit, table)
    outlines = {"cluster_id": table["cluster_id"], "outline": _column(shapes.outline_wkb(), pa.binary())}
    work.put(OUTLINES, unit, pa.table(outlines))
    return {"rows": len(cluster), "clusters": len(table)}


def _column(values: Any, kind: pa.DataType) -> pa.Array:
    """An Arrow column; NaN is null."""
    return pa.array(values, type=kind, from_pandas=True)


def _members(work: Work, unit: int, cluster: np.ndarray, b_nm: np.ndarray, home: np.ndarray) -> tuple[np.ndarray, ...]:
    """cluster_id, coordinates, nearest distance, label, b, precision of a tile's localizations in `home` clusters."""
    mine = np.isin(cluster, home) & (cluster != NO_CLUSTER)
    labels = work.get(LABELS, unit)
    nearest_nm, label = (labels[name].to_numpy()[mine] for name in ("nearest_nm", "label"))
    tile = work.get(TILE, unit)
    known = tile[PRECISION].to_numpy() if has_precision(work) else np.full(len(tile), np.nan)
    return cluster[mine], coordinates(tile)[mine], nearest_nm, label, b_nm[mine], known[mine]


STAGE = Stage(
    name="measure",
    title="outlining and measuring",
    per="tile",
    run=measure,
    effort=35,
    conserves=OWNED_ROWS,
    reads=(FACTS, ROIS, CELL_MASK, TILE, LABELS, PIECES, NUMBERS, VISITORS),
    writes=(MEASURED, OUTLINES),
    carries=(PRECISION,),
)
