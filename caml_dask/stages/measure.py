"""Membership of a tile's localizations, and the measured clusters whose smallest loc_id it owns (DESIGN section 6)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from caml_dask.geometry.measure import measure_clusters, measure_clusters_3d, touches_border
from caml_dask.io.rois.roi import region_of
from caml_dask.schema import NO_CLUSTER, NON_CLUSTERED, arrow_schema, cluster_columns
from caml_dask.stages.shared.hull import put_hull
from caml_dask.stages.shared.picture import put_pixels
from caml_dask.stages.shared.tally import put_tally
from caml_dask.stages.shared.work import Work, coordinates, lookup, xy
from caml_dask.stages.stage import OWNED_ROWS, Stage
from caml_dask.stages.tables import (
    CELL_MASK,
    CHUNKS,
    FACTS,
    HULL,
    LABELS,
    MEASURED,
    MEMBERSHIP,
    NUMBERS,
    OUTLINES,
    PIECES,
    PIXELS,
    ROIS,
    TALLY,
    TILE,
    VISITORS,
)


def measure(work: Work, unit: int) -> dict[str, Any]:
    """Write down which cluster each localization of a tile belongs to, and measure the clusters at home in it."""
    cluster, b_nm = clusters_of(work, unit)
    rois = work.rois()
    region = region_of(rois, xy(work.get(TILE, unit)))
    _put_membership(work, unit, cluster, region if rois else None)
    _put_parts_of_summary(work, unit, cluster, region)
    numbers = work.get(NUMBERS, unit)
    at_home = numbers["root"].to_numpy().astype(np.int64) == numbers["cluster_id"].to_numpy()
    home = np.sort(numbers["cluster_id"].to_numpy()[at_home])
    visitors = work.get(VISITORS, unit)["tile"].to_pylist()
    members = [_members(work, unit, cluster, b_nm, home)]
    members += [_members(work, visitor, *clusters_of(work, visitor), home) for visitor in visitors]
    ids, points, nearest_nm, labels, b = (np.concatenate(column) for column in zip(*members, strict=True))
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
    if rois:  # a cluster belongs to the region that holds its centroid
        columns["region_id"] = region_of(rois, np.column_stack([columns[f"centroid_{axis}_nm"] for axis in "xy"]))
    # the nearest other cluster is found once all are measured
    schema = arrow_schema(
        cluster_columns(work.dimensions()), leave_out=("nearest_cluster_nm", *(() if rois else ("region_id",)))
    )
    table = pa.Table.from_arrays([_column(columns[f.name], f.type) for f in schema], schema=schema)
    work.put(MEASURED, unit, table)
    outlines = {"cluster_id": table["cluster_id"], "outline": _column(shapes.outline_wkb(), pa.binary())}
    work.put(OUTLINES, unit, pa.table(outlines))
    return {"rows": len(cluster), "clusters": len(table)}


def _column(values: Any, kind: pa.DataType) -> pa.Array:
    """An Arrow column; NaN is null."""
    return pa.array(values, type=kind, from_pandas=True)


def clusters_of(work: Work, unit: int) -> tuple[np.ndarray, np.ndarray]:
    """cluster_id (n,) int64 and b (n,) float64 of each localization of a tile; -1 and 0 for none."""
    roots = work.get(PIECES, unit)["root"].to_numpy()
    clustered = work.get(LABELS, unit)["label"].to_numpy() != NON_CLUSTERED
    numbers = work.get(NUMBERS, unit)
    cluster = np.full(len(roots), NO_CLUSTER, dtype=np.int64)
    b_nm = np.zeros(len(roots))
    columns = [numbers["cluster_id"].to_numpy(), numbers["b_nm"].to_numpy()]
    cluster[clustered], b_nm[clustered] = lookup(
        numbers["root"].to_numpy(), columns, roots[clustered], f"pieces of tile {unit} of {work.image.image_id}"
    )
    return cluster, b_nm


def _members(
    work: Work, unit: int, cluster: np.ndarray, b_nm: np.ndarray, home: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """cluster_id, coordinates, nearest distance, label and b of a tile's localizations in the `home` clusters."""
    mine = np.isin(cluster, home) & (cluster != NO_CLUSTER)
    labels = work.get(LABELS, unit)
    nearest_nm, label = (labels[name].to_numpy()[mine] for name in ("nearest_nm", "label"))
    return cluster[mine], coordinates(work.get(TILE, unit))[mine], nearest_nm, label, b_nm[mine]


def _put_parts_of_summary(work: Work, unit: int, cluster: np.ndarray, region: np.ndarray) -> None:
    """What the last stage, which is one unit, need not look at the tile's localizations for."""
    points_nm = xy(work.get(TILE, unit))
    put_tally(work, unit, cluster, work.get(PIECES, unit)["window_saturated"].to_numpy(zero_copy_only=False), region)
    put_hull(work, unit, points_nm)
    if work.store.has_outputs:
        put_pixels(work, unit, points_nm, work.get(LABELS, unit)["label"].to_numpy(), cluster)


def _put_membership(work: Work, unit: int, cluster: np.ndarray, region: np.ndarray | None) -> None:
    labels = work.get(LABELS, unit)
    table = labels.select(["loc_id", *work.network.score_columns, "label"])
    table = table.append_column("cluster_id", pa.array(cluster))
    table = table.append_column("window_saturated", work.get(PIECES, unit)["window_saturated"])
    if region is not None:
        table = table.append_column("region_id", pa.array(region))
    ids = labels["loc_id"].to_numpy()
    order = np.argsort(ids)
    # in parts by chunk of the input, each of which brings its own together
    starts = np.searchsorted(ids[order], work.get(CHUNKS, 0)["first_id"].to_numpy())
    work.put(MEMBERSHIP, unit, table.take(pa.array(order)), [*starts.tolist(), len(ids)])


STAGE = Stage(
    name="measure",
    title="outlining and measuring",
    per="tile",
    run=measure,
    effort=37,
    conserves=OWNED_ROWS,
    reads=(FACTS, ROIS, CELL_MASK, CHUNKS, TILE, LABELS, PIECES, NUMBERS, VISITORS),
    writes=(MEMBERSHIP, MEASURED, OUTLINES, TALLY, HULL, PIXELS),
)
