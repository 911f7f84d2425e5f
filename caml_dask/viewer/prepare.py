"""What an image needs to be looked at, made once from its results: localizations and outlines ordered by place, and the
pyramid.

The tables of a run keep the order of the input, in which neighbors lie far apart. So localizations are copied to a
Parquet file whose row groups are the boxes of a partition of the plane, and whose statistics bound them: a view reads
the few groups that it meets.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from pyarrow import ipc

from caml_dask.errors import StoreError
from caml_dask.io.exporters.channels import channels_of, counted
from caml_dask.io.exporters.columns import finite_rows
from caml_dask.io.exporters.exporter import Exportable, Options
from caml_dask.io.exporters.ome_zarr import EXPORTER as PYRAMID
from caml_dask.io.exporters.outlined import outlined_clusters
from caml_dask.schema import NO_CLUSTER
from caml_dask.spatial.partition import Partition, partition

Progress: TypeAlias = Callable[[float], None]
"""Is told the share that is done, 0 to 1."""

POINTS, CLUSTERS, PYRAMID_NAME = "points.parquet", "clusters.arrow", "pyramid.ome.zarr"
GROUP_ROWS = 40_000
"""Localizations of a row group at most, unless more lie at one and the same place."""
BOUNDS = ("x0_nm", "y0_nm", "x1_nm", "y1_nm")
OUTLINE = "outline"
SCORES = ("p_clustered", "p_non")
_BUCKET_GROUPS = 50  # row groups that are sorted in memory at a time
_PASSES = 4  # over the localizations, usually: one or two to partition, one to sort, one for the pyramid


def prepare(image: Exportable, pyramid: Path | None, folder: Path, progress: Progress) -> None:
    """Make what a view of an image reads.

    Parameters
    ----------
    image : Exportable
        The results.
    pyramid : Path or None
        An OME-Zarr pyramid of these results, where there is one; None makes one.
    folder : Path
        Where the files go; it is made.
    progress : callable
        Is told the share that is done.

    Raises
    ------
    StoreError
        Results that are damaged, or that do not fit each other.
    """
    folder.mkdir()
    seen = _watched(image, progress)
    lay_out(seen, folder)
    if pyramid is None:
        (write,) = PYRAMID.plan(seen, Options()).values()
        write(folder / PYRAMID_NAME)


def lay_out(image: Exportable, folder: Path) -> None:
    """Write localizations and clusters, without the pyramid, to a folder that is there; raises as :func:`prepare`."""
    ids = _write_clusters(image, folder / CLUSTERS)
    boxes = partition(lambda: _places(image), image.localizations, image.bounds_nm, GROUP_ROWS)
    _write_points(image, ids, boxes, folder / POINTS)


def _watched(image: Exportable, progress: Progress) -> Exportable:
    """The image, whose points tell of each batch that is read."""
    rows = 0

    def points(columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        nonlocal rows
        for batch in image.points(columns):
            yield batch
            rows += len(batch)
            progress(min(0.99, rows / (_PASSES * max(1, image.localizations))))

    return replace(image, points=points)


def _places(image: Exportable) -> Iterator[npt.NDArray[np.float64]]:
    for batch in image.points(["x_nm", "y_nm", "cluster_id"]):
        rows = finite_rows(batch)
        yield np.column_stack([rows.column(name).to_numpy() for name in ("x_nm", "y_nm")])


def _write_clusters(image: Exportable, path: Path) -> npt.NDArray[np.int64]:
    """Write the clusters with their outlines and what bounds these, not compressed, so that it can be mapped; returns
    their ids."""
    schema = pa.schema(
        [*image.clusters().schema, *(pa.field(name, pa.float64()) for name in BOUNDS), pa.field(OUTLINE, pa.binary())]
    ).remove_metadata()
    ids = [np.zeros(0, np.int64)]
    with ipc.new_file(path, schema) as writer:
        for clusters, outlines in outlined_clusters(image):
            bounds = shapely.bounds(shapely.from_wkb(outlines.to_numpy(zero_copy_only=False)))
            columns = [*clusters.columns, *(pa.array(side) for side in bounds.T), outlines]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema).combine_chunks())
            ids.append(clusters["cluster_id"].to_numpy())
    return np.concatenate(ids)


@dataclass(frozen=True)
class _Buckets:
    """Files on the disk, each of some successive boxes, to which rows are appended."""

    folder: Path
    schema: pa.Schema
    writers: dict[int, Any]

    def append(self, rows: pa.Table, bucket: npt.NDArray[np.int64]) -> None:
        order = np.argsort(bucket, kind="stable")
        rows, bucket = rows.take(pa.array(order)), bucket[order]
        found, starts = np.unique(bucket, return_index=True)
        for number, start, stop in zip(found.tolist(), starts, [*starts[1:], len(bucket)]):
            if number not in self.writers:
                self.writers[number] = ipc.new_stream(self.folder / str(number), self.schema)
            self.writers[number].write_table(rows[start:stop])

    def read(self) -> Iterator[pa.Table]:
        """The rows of each bucket in turn; its file is removed."""
        for number in sorted(self.writers):
            self.writers[number].close()
            with pa.OSFile(str(self.folder / str(number))) as file:
                yield ipc.open_stream(file).read_all().combine_chunks()
            (self.folder / str(number)).unlink()


def _write_points(image: Exportable, ids: npt.NDArray[np.int64], boxes: Partition, path: Path) -> None:
    """Write the localizations that were analyzed, those of a box as a row group, in input order."""
    scores = [name for name in SCORES if name in image.schema.names]
    names = ["loc_id", *(n for n in ("x_nm", "y_nm", "z_nm") if n in image.schema.names), "label", "cluster_id"]
    fields = [image.schema.field(name).remove_metadata() for name in names[:-2]]
    fields += [pa.field("channel", pa.int8()), pa.field("cluster", pa.int32())]
    schema = pa.schema([*fields, *([pa.field("score", pa.float32())] if scores else []), pa.field("box", pa.int32())])
    scratch = path.with_suffix(".unsorted")
    scratch.mkdir()
    buckets = _Buckets(scratch, schema, {})
    for batch in image.points([*names, *scores]):
        rows = finite_rows(batch)
        xy_nm, channel = counted(rows, len(channels_of(image.schema)))
        box = boxes.tile_of(xy_nm)
        columns = [rows.column(name) for name in names[:-2]]
        columns += [pa.array(channel, pa.int8()), pa.array(_row_of(ids, rows, image.image_id), pa.int32())]
        columns += [pa.array(_score(rows, scores[0]), pa.float32())] if scores else []
        table = pa.Table.from_arrays([*columns, pa.array(box, pa.int32())], schema=schema)
        buckets.append(table, box // _BUCKET_GROUPS)
    schema = schema.remove(schema.get_field_index("box"))
    with pq.ParquetWriter(
        path, schema, compression="zstd", compression_level=1, use_dictionary=False, write_statistics=["x_nm", "y_nm"]
    ) as writer:
        for rows in buckets.read():
            _write_groups(rows, writer)
    shutil.rmtree(scratch)


def _write_groups(rows: pa.Table, writer: pq.ParquetWriter) -> None:
    """Write a row group for each box."""
    box = rows["box"].to_numpy()
    order = np.argsort(box, kind="stable")
    rows, edges = rows.take(pa.array(order)).drop_columns("box"), np.flatnonzero(np.diff(box[order])) + 1
    for start, stop in zip([0, *edges], [*edges, len(box)]):
        if stop > start:
            writer.write_table(rows[start:stop], row_group_size=stop - start)


def _score(rows: pa.RecordBatch, name: str) -> npt.NDArray[np.float32]:
    """The score for clustered, of whatever class."""
    found = rows.column(name).to_numpy()
    return np.asarray(1 - found if name == "p_non" else found, np.float32)


def _row_of(ids: npt.NDArray[np.int64], rows: pa.RecordBatch, image_id: str) -> npt.NDArray[np.int64]:
    """Row of the table of clusters that each localization belongs to; -1 for none.

    Raises
    ------
    StoreError : one of a cluster that there is not.
    """
    wanted = rows.column("cluster_id").to_numpy()
    place = np.searchsorted(ids, wanted)
    inside = wanted != NO_CLUSTER
    if (place[inside] >= len(ids)).any() or (ids[place[inside]] != wanted[inside]).any():
        raise StoreError(f"points of {image_id} belong to clusters that there are not: make them again with --resume")
    return np.where(inside, place, -1)
