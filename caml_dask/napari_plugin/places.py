"""Localizations of an image sorted by place on the disk, so that those of a view are found without reading the others.

The boxes of a balanced partition lie one after another. Within a box, localizations are in the order of a rank that
follows from their row alone, as if drawn by lot: those of the lowest ranks are an even sample of any view.
"""

from __future__ import annotations

import bisect
import math
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from caml_dask.io.exporters.channels import COLUMNS, channels_of, counted
from caml_dask.io.exporters.columns import finite_rows
from caml_dask.io.exporters.exporter import Exportable
from caml_dask.napari_plugin.scratch import reserve, room_in
from caml_dask.plotting.view import Bounds
from caml_dask.spatial.partition import Partition, partition

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Counting: TypeAlias = Callable[[Floats, Ints], None]
"""Takes in (n, 2) coordinates in nm and (n,) channels."""

BOX = 1 << 16
"""Localizations of a box, about."""
_TRIED = 1 << 20
"""Localizations, evenly from all, at least, by which boxes are cut."""
BYTES = 38
"""Of the disk for each localization while they are sorted: coordinates, row, channel, class, cluster and box."""
_AT_A_TIME = 1 << 20


@dataclass(frozen=True)
class Sample:
    """Localizations of a view.

    Parameters
    ----------
    rows : (n,) int64
        Their rows in the points, ascending.
    xy_nm : (n, 2) float64
        Their coordinates.
    label : (n,) int8
        Their classes.
    cluster_id : (n,) int64
        Their clusters.
    in_view : int
        How many there are; where only a part was taken, an estimate.
    """

    rows: Ints
    xy_nm: Floats
    label: npt.NDArray[np.int8]
    cluster_id: Ints
    in_view: int


class Places:
    """The localizations of an image that were analyzed, sorted by place to a folder that is removed with this object.

    Parameters
    ----------
    image : Exportable
        Its points are read twice, batch by batch.
    counting : callable, optional
        Is given all localizations once, batch by batch.

    Raises
    ------
    DiskFullError
        The disk for temporary files has no room for them.
    """

    def __init__(self, image: Exportable, counting: Counting | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="caml_dask_view_", ignore_cleanup_errors=True)
        self.channels = channels_of(image.schema)
        with room_in(Path(self._folder.name), lambda: BYTES * image.localizations):
            self._sort(image, counting)

    def _sort(self, image: Exportable, counting: Counting | None) -> None:
        box_of = self._boxed(image)
        self._remove("xy_as_read")
        n, held = len(box_of), np.bincount(box_of, minlength=self._boxes.n_tiles)
        self._starts = np.concatenate([[0], np.cumsum(held)])
        self._xy_nm = self._column("xy", np.float64, (n, 2))
        self._row = self._column("row", np.int64, (n,))
        self._channel = self._column("channel", np.uint8, (n,))
        self._label = self._column("label", np.int8, (n,))
        self._cluster_id = self._column("cluster_id", np.int64, (n,))
        self._lay(image, box_of, counting)
        del box_of
        self._remove("box")
        self._rank()
        self._xy_nm, self._row, self._channel, self._label, self._cluster_id = map(_mapped_anew, self._columns())

    def __len__(self) -> int:
        return len(self._row)

    def sample(self, bounds: Bounds, most: int) -> Sample:
        """Localizations of a view: all of them, or those `most` whose ranks are lowest.

        Parameters
        ----------
        bounds : tuple of float
            x0, y0, x1, y1 in nm, both ends included.
        most : int
            How many at most.
        """
        boxes = self._meeting(bounds)
        share = min(1.0, most / max(1, int((self._starts[boxes + 1] - self._starts[boxes]).sum())))
        found = self._below(boxes, bounds, share)
        while len(found) < most and share < 1:
            share = min(1.0, 2 * share)
            found = self._below(boxes, bounds, share)
        in_view = len(found) if share == 1 else round(len(found) / share)
        if len(found) > most:
            found = found[np.argpartition(rank_of(self._row[found]), most)[:most]]
        found = found[np.argsort(self._row[found])]
        rows, xy_nm, label, cluster_id = (
            np.array(of[found]) for of in (self._row, self._xy_nm, self._label, self._cluster_id)
        )
        return Sample(rows, xy_nm, label, cluster_id, in_view)

    def each_in(self, bounds: Bounds) -> Iterator[tuple[Floats, Ints]]:
        """All localizations of the boxes that meet a rectangle: (n, 2) coordinates in nm and (n,) channels."""
        for box in self._meeting(bounds):
            for first in range(self._starts[box], self._starts[box + 1], _AT_A_TIME):
                part = slice(first, min(first + _AT_A_TIME, self._starts[box + 1]))
                yield self._xy_nm[part], self._channel[part].astype(np.int64)

    def _meeting(self, bounds: Bounds) -> Ints:
        return self._boxes.overlapping(np.array(bounds[:2]), np.array(bounds[2:]))

    def _below(self, boxes: Ints, bounds: Bounds, share: float) -> Ints:
        """Places in the columns of the localizations in a view whose rank is in the lowest share of all ranks."""
        x0, y0, x1, y1 = bounds
        limit, found = share * 2.0**64, [np.zeros(0, np.int64)]
        for box in boxes:
            all_of = range(self._starts[box], self._starts[box + 1])
            taken = bisect.bisect_left(all_of, limit, key=lambda k: float(rank_of(self._row[k : k + 1])[0]))
            x, y = self._xy_nm[all_of.start : all_of.start + taken].T
            found.append(all_of.start + np.flatnonzero((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)))
        return np.concatenate(found)

    def _boxed(self, image: Exportable) -> Any:
        """(n,) int32 box of each localization, in the order of the rows."""
        as_read = self._as_read(image)
        n = len(as_read)

        def parts() -> Iterator[Floats]:
            return (as_read[first : first + _AT_A_TIME] for first in range(0, n, _AT_A_TIME))

        every = max(1, n // _TRIED)
        self._boxes: Partition = partition(
            lambda: [as_read[::every]], -(-n // every), image.bounds_nm, BOX // every or 1
        )
        box_of = self._column("box", np.int32, (n,))
        with ThreadPoolExecutor() as threads:
            for part, boxes in enumerate(threads.map(self._boxes.tile_of, parts())):
                box_of[part * _AT_A_TIME : (part + 1) * _AT_A_TIME] = boxes
        return box_of

    def _remove(self, name: str) -> None:
        (Path(self._folder.name) / name).unlink(missing_ok=True)

    def _as_read(self, image: Exportable) -> Floats:
        """(n, 2) coordinates in the order of the rows, as a file."""
        path = Path(self._folder.name) / "xy_as_read"
        with path.open("wb") as file:
            for batch in image.points(("x_nm", "y_nm", "cluster_id")):
                rows = finite_rows(batch)
                file.write(np.column_stack([rows.column(name).to_numpy() for name in ("x_nm", "y_nm")]).data)
            n = file.tell() // 16
        return np.memmap(path, np.float64, "r", shape=(n, 2)) if n else np.zeros((0, 2))

    def _column(self, name: str, kind: type, shape: tuple[int, ...]) -> Any:
        if shape[0] == 0:
            return np.zeros(shape, kind)
        path = Path(self._folder.name) / name
        reserve(path, math.prod(shape) * np.dtype(kind).itemsize)
        return np.memmap(path, kind, "r+", shape=shape)

    def _lay(self, image: Exportable, box_of: Any, counting: Counting | None) -> None:
        """Put each localization to its box, in the order of the rows."""
        free, read, laid = self._starts[:-1].copy(), 0, 0
        for batch in image.points(COLUMNS):
            there = finite_rows(batch.append_column("row", pa.array(read + np.arange(len(batch)))))
            read += len(batch)
            rows = there.column("row").to_numpy()
            xy_nm, channel = counted(there, len(self.channels))
            if counting is not None:
                counting(xy_nm, channel)
            box = box_of[laid : laid + len(rows)]
            laid += len(rows)
            order = np.argsort(box.astype(np.min_scalar_type(len(free))), kind="stable")  # short numbers sort at once
            number = np.bincount(box, minlength=len(free))
            first = np.repeat(np.cumsum(number) - number, number)
            place = free[box[order]] + np.arange(len(order)) - first
            label, cluster_id = (there.column(name).to_numpy() for name in ("label", "cluster_id"))
            for column, values in zip(self._columns(), (xy_nm, rows, channel, label, cluster_id)):
                column[place] = values[order]
            free += number

    def _rank(self) -> None:
        """Bring each box to the order of the ranks."""

        def bring(box: int) -> None:
            first, last = self._starts[box : box + 2]
            order = first + np.argsort(rank_of(self._row[first:last]))
            for column in self._columns():
                column[first:last] = column[order]

        with ThreadPoolExecutor() as threads:
            list(threads.map(bring, range(self._boxes.n_tiles)))

    def _columns(self) -> tuple[Any, ...]:
        return self._xy_nm, self._row, self._channel, self._label, self._cluster_id


def rank_of(rows: Ints) -> npt.NDArray[np.uint64]:
    """(n,) rank of rows, each its own, as if drawn by lot: the last step of SplitMix64 (Steele et al. 2014)."""
    mixed = (rows.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))


def _mapped_anew(column: Any) -> Any:
    """The same file, of whose bytes none counts as memory until it is read; an empty array has none."""
    if not len(column):
        return column
    return np.memmap(str(column.filename), column.dtype, "r", shape=column.shape)
