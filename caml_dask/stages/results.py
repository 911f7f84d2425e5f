"""The tables users see: points in input order, clusters by cluster_id, outlines, the picture."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import shapely

from caml_dask.errors import ConservationError
from caml_dask.measure import nearest_centroid_nm
from caml_dask.schema import CLUSTERS, POINTS, arrow_schema
from caml_dask.stages.work import COORDINATES, Work, coordinates, xy

POINTS_SCHEMA = arrow_schema(POINTS)
_RESULTS = ("p_clustered", "label", "cluster_id", "window_saturated")
_OUTLINES = 10_000  # clusters whose outlines are held at a time: some 40 MB
_COMPRESSION = {"compression": "zstd", "compression_level": 1}


def points(work: Work, unit: int) -> dict[str, Any]:
    """Join the results back to one chunk of the input, in its own row order; rows left out keep null results."""
    table = work.store.get("input", unit)
    ids = table["loc_id"].to_numpy()
    first, stop = (int(ids[0]), int(ids[-1]) + 1) if len(ids) else (0, 0)
    n_tiles = work.partition().n_tiles
    pieces = [work.store.get_ids("membership", tile, "loc_id", first, stop) for tile in range(n_tiles)]
    results = pa.concat_tables(pieces)
    found = results["loc_id"].to_numpy().astype(np.int64) - first
    expected = np.flatnonzero(np.isfinite(coordinates(table)).all(axis=1))
    order = np.argsort(found)
    if not np.array_equal(found[order], expected):
        raise ConservationError(
            f"{work.image.image_id}: rows {first} to {stop} of the input have {len(expected)} finite localizations, "
            f"the tiles returned {len(np.unique(found))} of them in {len(found)} rows"
        )
    place = np.full(len(table), -1, dtype=np.int64)
    place[found] = np.arange(len(found))
    taken = results.select(list(_RESULTS)).take(pa.array(place, mask=place < 0))
    kept = [name for name in COORDINATES if name in table.column_names]
    own = [name for name in table.column_names if name not in ("loc_id", *kept)]
    columns = [table["loc_id"], *(table[n] for n in kept), *(taken[n] for n in _RESULTS), *(table[n] for n in own)]
    fields = [POINTS_SCHEMA.field(n) for n in ("loc_id", *kept, *_RESULTS)] + [table.schema.field(n) for n in own]
    joined = pa.Table.from_arrays(columns, schema=pa.schema(fields))
    if work.store.has_outputs:
        name = points_file(work.facts()["chunks"], unit)
        work.store.output(name, lambda path: pq.write_table(joined, path, **_COMPRESSION))
    else:
        work.store.put("points", unit, joined)
    return {"rows": len(table), "finite": len(found)}


def points_file(chunks: int, chunk: int) -> str:
    """Name of the file that holds the points of one chunk of the input."""
    return "points.parquet" if chunks == 1 else f"points/part-{chunk:05d}.parquet"


def clusters_table(work: Work) -> pa.Table:
    """All clusters of the image by cluster_id, with the distance to the nearest other one; outlines left out."""
    n_tiles = work.partition().n_tiles
    names = [c.name for c in CLUSTERS if c.name != "nearest_cluster_nm"]
    table = pa.concat_tables([work.store.get("measured", tile, names) for tile in range(n_tiles)])
    table = table.sort_by("cluster_id").combine_chunks()
    nearest = nearest_centroid_nm(table["centroid_x_nm"].to_numpy(), table["centroid_y_nm"].to_numpy())
    place = [c.name for c in CLUSTERS].index("nearest_cluster_nm")
    table = table.add_column(place, "nearest_cluster_nm", pa.array(nearest, from_pandas=True))
    return table.cast(arrow_schema(CLUSTERS))


def outline_tables(work: Work) -> Iterator[pa.Table]:
    """cluster_id and outline (WKB) of all clusters by cluster_id, a few thousand at a time."""
    n_tiles = work.partition().n_tiles
    ids = np.concatenate(
        [work.store.get("measured", t, ["cluster_id"])["cluster_id"].to_numpy() for t in range(n_tiles)]
    )
    edges = [*(np.sort(ids)[::_OUTLINES].tolist() or [0]), np.iinfo(np.int64).max]
    for first, stop in itertools.pairwise(edges):
        parts = [work.store.get_ids("measured", tile, "cluster_id", first, stop) for tile in range(n_tiles)]
        yield pa.concat_tables(parts).select(["cluster_id", "outline"]).sort_by("cluster_id")


def write_clusters(work: Work, table: pa.Table) -> None:
    """Publish clusters.parquet, clusters.csv and outlines.parquet."""
    work.store.output("clusters.parquet", lambda path: pq.write_table(table, path, **_COMPRESSION))
    work.store.output("clusters.csv", lambda path: pa_csv.write_csv(table, path))
    work.store.output("outlines.parquet", lambda path: _write_outlines(work, path))


def _write_outlines(work: Work, path: Path) -> None:
    """GeoParquet 1.1 with an explicit null crs: a missing one would mean longitude and latitude."""
    column = {"encoding": "WKB", "geometry_types": ["Polygon", "MultiPolygon"], "crs": None}
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
    schema = pa.schema(
        [pa.field("cluster_id", pa.int64()), pa.field("geometry", pa.binary())], metadata={"geo": json.dumps(geo)}
    )
    with pq.ParquetWriter(path, schema, **_COMPRESSION) as writer:
        for table in outline_tables(work):
            writer.write_table(pa.Table.from_arrays(table.columns, schema=schema))


def hull_area_um2(work: Work) -> float:
    """Area of the convex hull of the image's localizations, from the hulls of its tiles."""
    n_tiles = work.partition().n_tiles
    hulls = []
    for tile in range(n_tiles):
        # a line string takes the coordinates as they are, where a multipoint makes an object of each
        line = shapely.linestrings(np.repeat(xy(work.store.get("tile", tile)), 2, axis=0)[1:])
        hulls.append(shapely.get_coordinates(shapely.convex_hull(line)))
    return float(shapely.MultiPoint(np.vstack(hulls)).convex_hull.area) / 1e6
