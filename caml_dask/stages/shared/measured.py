"""The measured clusters of an image by cluster_id: a column at a time, or a few thousand clusters at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from caml_dask.geometry.measure import nearest_centroid_nm
from caml_dask.schema import arrow_schema, cluster_columns, descriptors
from caml_dask.stages.shared.precision import OF_PRECISION, has_precision
from caml_dask.stages.shared.work import Work, parquet_options
from caml_dask.stages.tables import MEASURED, OUTLINES, VERDICTS, Table

AT_A_TIME = 10_000  # clusters held at a time with their outlines: some 50 MB
WITHOUT_OUTLINES = 10  # times as many without
_RAW = {"compression": "none", "use_dictionary": False}  # zstd shrinks outlines by 5 %
_NEAREST, _Q = FOUND_LATER = ("nearest_cluster_nm", "q_value")
"""Columns that are found once all clusters are measured."""
INTERVAL = ("area_low_nm2", "area_high_nm2")
"""Columns that a bootstrap finds."""


def absent_columns(work: Work) -> tuple[str, ...]:
    """Optional columns that the clusters of an image lack."""
    without = {
        "region_id": not work.settings.has_regions,
        _Q: not work.settings.test,
        **dict.fromkeys(OF_PRECISION, not has_precision(work)),
        **dict.fromkeys(INTERVAL, work.settings.bootstrap is None),
    }
    return tuple(name for name, absent in without.items() if absent)


class MeasuredClusters:
    """Clusters measured tile by tile, in the order of their cluster_id; an image may have more than memory holds."""

    def __init__(self, work: Work):
        self._work = work
        columns = cluster_columns(work.dimensions())
        self.schema = arrow_schema(columns, leave_out=absent_columns(work))
        self.descriptors = descriptors(columns)
        self._tiles = range(work.partition().n_tiles)
        of_tile = [self._work.get(MEASURED, t, ["cluster_id"])["cluster_id"].to_numpy() for t in self._tiles]
        self._rows_of_tile = [np.arange(len(ids)) for ids in of_tile]
        if work.settings.fdr is not None:
            self._rows_of_tile = [np.flatnonzero(np.isin(ids, self._verdicts[0])) for ids in of_tile]
        self._ids_of_tile = [ids[rows] for ids, rows in zip(of_tile, self._rows_of_tile, strict=True)]
        ids = np.concatenate(self._ids_of_tile)
        self._order = np.argsort(ids)
        self.ids = ids[self._order]

    def __len__(self) -> int:
        return len(self.ids)

    def column(self, name: str) -> np.ndarray:
        """One column of numbers, (c,); null is NaN."""
        if name in (_NEAREST, _Q):
            return self.nearest_nm if name == _NEAREST else self.q_values
        return self._in_tile_order(name)[self._order]

    @cached_property
    def centroids_nm(self) -> np.ndarray:
        """(c, 2) float64, or (c, 3) for clusters in 3D."""
        axes = (f"centroid_{axis}_nm" for axis in "xyz")
        return np.column_stack([self.column(name) for name in axes if name in self.schema.names])

    @cached_property
    def nearest_nm(self) -> np.ndarray:
        """(c,) float64, distance from each centroid to the nearest other one; NaN for a cluster alone."""
        return nearest_centroid_nm(self.centroids_nm)

    @cached_property
    def q_values(self) -> np.ndarray:
        """(c,) float64, as the test against randomness found them."""
        return self._verdicts[1]

    @cached_property
    def _verdicts(self) -> tuple[np.ndarray, np.ndarray]:
        """cluster_id and q_value of the clusters that are kept."""
        found = self._work.get(VERDICTS, 0)
        kept = found["kept"].to_numpy(zero_copy_only=False)
        return found["cluster_id"].to_numpy()[kept], found["q_value"].to_numpy()[kept]

    def tables(self) -> Iterator[pa.Table]:
        """The clusters as users see them, outlines left out; at least one table."""
        stop = 0
        later = [name for name in self.schema.names if name in (_NEAREST, _Q)]
        names = [name for name in self.schema.names if name not in later]
        for table in self._ranges(MEASURED, names, WITHOUT_OUTLINES * AT_A_TIME):
            start, stop = stop, stop + len(table)
            for name in later:
                values = pa.array(self.column(name)[start:stop], from_pandas=True)
                table = table.add_column(self.schema.get_field_index(name), name, values)
            yield table.cast(self.schema)

    def outlines(self) -> Iterator[pa.Table]:
        """cluster_id and outline (WKB); at least one table."""
        return self._ranges(OUTLINES, ["cluster_id", "outline"], AT_A_TIME)

    def _in_tile_order(self, name: str) -> np.ndarray:
        columns = (self._work.get(MEASURED, tile, [name])[name].to_numpy() for tile in self._tiles)
        return np.concatenate([column[rows] for column, rows in zip(columns, self._rows_of_tile, strict=True)])

    def _ranges(self, table: Table, columns: Sequence[str], at_a_time: int) -> Iterator[pa.Table]:
        edges = [*(self.ids[::at_a_time].tolist() or [0]), np.iinfo(np.int64).max]
        rows_of_tile = [np.searchsorted(ids, edges) for ids in self._ids_of_tile]
        for step in range(len(edges) - 1):
            parts = []
            for tile, of_tile in enumerate(rows_of_tile):
                if of_tile[step] < of_tile[step + 1] or not len(self.ids):
                    rows = self._rows_of_tile[tile][of_tile[step] : of_tile[step + 1]]
                    parts.append(self._work.get_rows(table, tile, rows, columns))
            found = pa.concat_tables(parts).combine_chunks()
            yield found.take(pa.array(np.argsort(found["cluster_id"].to_numpy())))


def write_clusters(work: Work, clusters: MeasuredClusters) -> None:
    """Publish clusters.parquet, clusters.csv and outlines.parquet."""
    work.store.output("clusters.parquet", lambda path: _write_parquet(path, clusters.schema, clusters.tables()))
    work.store.output("clusters.csv", lambda path: _write_csv(path, clusters))
    # GeoParquet 1.1 with an explicit null crs: a missing one would mean longitude and latitude
    column = {"encoding": "WKB", "geometry_types": ["Polygon", "MultiPolygon"], "crs": None}
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
    fields = [pa.field("cluster_id", pa.int64()), pa.field("geometry", pa.binary())]
    schema = pa.schema(fields, metadata={"geo": json.dumps(geo)})
    work.store.output("outlines.parquet", lambda path: _write_parquet(path, schema, clusters.outlines(), _RAW))


def _write_parquet(
    path: Path, schema: pa.Schema, tables: Iterator[pa.Table], options: Mapping[str, Any] | None = None
) -> None:
    with pq.ParquetWriter(path, schema, **(options or parquet_options(schema))) as writer:
        for table in tables:
            writer.write_table(pa.Table.from_arrays(table.columns, schema=schema))


def _write_csv(path: Path, clusters: MeasuredClusters) -> None:
    with pa_csv.CSVWriter(path, clusters.schema) as writer:
        for table in clusters.tables():
            writer.write_table(table)
