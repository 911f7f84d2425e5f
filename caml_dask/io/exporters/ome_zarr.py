"""A pyramid of pictures as OME-Zarr 0.5: how many localizations are in each pixel, at several sizes of pixels.

Localizations come in no order of place, so they are sorted to blocks on the disk first; then one block at a time is
counted, and the blocks of a coarser level are added up from those of the finer one. Counts are integers: no order of
the localizations changes them.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from caml_dask.io.exporters.channels import COLUMNS, channels_of, counted
from caml_dask.io.exporters.exporter import Exportable, Exporter, Options, Writes
from caml_dask.io.exporters.grid import FINEST_NM

Counts: TypeAlias = npt.NDArray[np.uint32]
Block: TypeAlias = tuple[int, int]
"""Row and column of a block of a level."""

BLOCK_PX = 1024
"""Side of a chunk of the arrays, which is also what is held at a time."""

_ENDING = ".ome.zarr"
_COARSEST_PX = 512  # along the longer side of the last level, at most
_COLORS = ("809CCE", "FF9628", "BE50FF")  # as in overview.png
_HELD = 1 << 22  # localizations between two visits of the disk
_BRIGHTEST = 0.99  # quantile of the pixels that are not empty
_MOST = 255  # up to which counts are told apart for it


@dataclass(frozen=True)
class Levels:
    """Pixels of the finest level, and how many levels there are; each has pixels twice as large as the one before.

    Parameters
    ----------
    pixel_nm : float
        Side of the finest pixels.
    row, column : int
        The first pixel: it begins at this many times its side from 0.
    rows, columns : int
        Pixels of the finest level.
    """

    pixel_nm: float
    row: int
    column: int
    rows: int
    columns: int

    @classmethod
    def of(cls, image: Exportable, options: Options) -> Levels:
        """Those of an image, with pixels of 10 nm or of the size in the options."""
        pixel = options.pixel_nm or FINEST_NM
        column, row, right, bottom = (math.floor(side / pixel) for side in image.bounds_nm)
        return cls(pixel, row, column, bottom - row + 1, right - column + 1)

    def __len__(self) -> int:
        return 1 + max(0, math.ceil(math.log2(max(self.rows, self.columns) / _COARSEST_PX)))

    def shape(self, level: int) -> tuple[int, int]:
        """Rows and columns of a level."""
        return -(-self.rows // 2**level), -(-self.columns // 2**level)

    def pixels(self, xy_nm: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """(n,) row and (n,) column of the finest pixels that (n, 2) localizations lie in.

        Merged detections that lie beyond the bounds, which are those of the molecules, count at the rim.
        """
        column, row = np.floor(xy_nm / self.pixel_nm).astype(np.int64).T
        return np.clip(row - self.row, 0, self.rows - 1), np.clip(column - self.column, 0, self.columns - 1)


def _plan(image: Exportable, options: Options) -> Mapping[str, Writes]:
    levels = Levels.of(image, options)
    return {_ENDING: lambda path: _write(image, levels, path)}


def _write(image: Exportable, levels: Levels, path: Path) -> None:
    import zarr

    channels = channels_of(image.schema)
    group = zarr.create_group(path, zarr_format=3)
    arrays = [
        group.create_array(
            str(level),
            shape=(len(channels), *levels.shape(level)),
            chunks=(1, BLOCK_PX, BLOCK_PX),
            dtype="uint32",
            fill_value=0,
            dimension_names=["c", "y", "x"],
        )
        for level in range(len(levels))
    ]
    sorted_to = path / ".sorted"
    sorted_to.mkdir()
    blocks = _sort(image, levels, len(channels), sorted_to)
    seen = np.zeros((len(channels), _MOST + 1), np.int64)
    for block in blocks:
        counts = _count(sorted_to / _name(block), len(channels))
        seen += [np.bincount(np.minimum(one, _MOST).reshape(-1), minlength=_MOST + 1) for one in counts]
        _put(arrays[0], block, counts)
    shutil.rmtree(sorted_to)
    for finer, coarser in pairwise(arrays):
        blocks = sorted({(row // 2, column // 2) for row, column in blocks})
        for block in blocks:
            _put(coarser, block, _added_up(finer, block))
    group.attrs.update({"ome": _about(image, levels, channels, seen), "caml_dask": dict(image.provenance)})


def _sort(image: Exportable, levels: Levels, channels: int, folder: Path) -> list[Block]:
    """Append each localization to the file of its block, as its place there; returns the blocks that have some."""
    held: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32]]] = []
    blocks = set[Block]()
    across = -(-levels.columns // BLOCK_PX)
    for batch in image.points(COLUMNS):
        xy_nm, channel = counted(batch, channels)
        row, column = levels.pixels(xy_nm)
        place = (channel * BLOCK_PX + row % BLOCK_PX) * BLOCK_PX + column % BLOCK_PX
        held.append((row // BLOCK_PX * across + column // BLOCK_PX, place.astype(np.uint32)))
        if sum(len(of) for of, _ in held) >= _HELD:
            blocks |= _append(held, across, folder)
            held.clear()
    return sorted(blocks | _append(held, across, folder))


def _append(
    held: Sequence[tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32]]], across: int, folder: Path
) -> set[Block]:
    blocks = np.concatenate([np.zeros(0, np.int64), *(of for of, _ in held)])
    places = np.concatenate([np.zeros(0, np.uint32), *(place for _, place in held)])
    order = np.argsort(blocks, kind="stable")
    found, starts = np.unique(blocks[order], return_index=True)
    for block, part in zip(found.tolist(), np.split(places[order], starts[1:])):
        with (folder / _name(divmod(block, across))).open("ab") as file:
            file.write(part.tobytes())
    return {divmod(block, across) for block in found.tolist()}


def _name(block: Block) -> str:
    return f"{block[0]}_{block[1]}"


def _count(path: Path, channels: int) -> Counts:
    """(channels, rows, columns) of one block, the file read piece by piece."""
    counts = np.zeros((channels, BLOCK_PX, BLOCK_PX), np.uint32)
    with path.open("rb") as file:
        while piece := file.read(4 * _HELD):
            np.add.at(counts.reshape(-1), np.frombuffer(piece, np.uint32), np.uint32(1))
    return counts


def _put(array: Any, block: Block, counts: Counts) -> None:
    """Write a block; what of it lies beyond the array is empty."""
    top, left = (side * BLOCK_PX for side in block)
    rows, columns = (min(BLOCK_PX, size - first) for size, first in zip(array.shape[1:], (top, left)))
    array[:, top : top + rows, left : left + columns] = counts[:, :rows, :columns]


def _added_up(finer: Any, block: Block) -> Counts:
    """A block of a level from the four of the finer one: each pixel is the sum of four."""
    top, left = (2 * side * BLOCK_PX for side in block)
    part = finer[:, top : top + 2 * BLOCK_PX, left : left + 2 * BLOCK_PX]
    whole = np.zeros((len(part), 2 * BLOCK_PX, 2 * BLOCK_PX), np.uint32)
    whole[:, : part.shape[1], : part.shape[2]] = part
    in_pairs = whole[:, ::2] + whole[:, 1::2]
    return np.asarray(in_pairs[:, :, ::2] + in_pairs[:, :, 1::2])


def _about(image: Exportable, levels: Levels, channels: list[str], seen: npt.NDArray[np.int64]) -> dict[str, Any]:
    """The metadata of OME-Zarr 0.5; coordinates are those of the middles of pixels."""
    axes = [
        {"name": "c", "type": "channel"},
        *({"name": name, "type": "space", "unit": "nanometer"} for name in ("y", "x")),
    ]
    datasets = []
    for level in range(len(levels)):
        side = levels.pixel_nm * 2**level
        first = [first * levels.pixel_nm + side / 2 for first in (levels.row, levels.column)]
        steps = [{"type": "scale", "scale": [1.0, side, side]}, {"type": "translation", "translation": [0.0, *first]}]
        datasets.append({"path": str(level), "coordinateTransformations": steps})
    shown = [
        {
            "label": name,
            "color": color,
            "active": True,
            "window": {"min": 0, "max": _brightest(of, 1.0), "start": 0, "end": _brightest(of, _BRIGHTEST)},
        }
        for name, color, of in zip(channels, _COLORS, seen)
    ]
    return {
        "version": "0.5",
        "multiscales": [{"name": image.image_id, "axes": axes, "datasets": datasets, "type": "sum of 2 x 2 pixels"}],
        "omero": {"name": image.image_id, "channels": shown, "rdefs": {"model": "color"}},
    }


def _brightest(seen: npt.NDArray[np.int64], quantile: float) -> int:
    """The count that a share of the pixels that are not empty does not exceed, of (counts,) how many have each."""
    filled = np.cumsum(seen[1:])
    return 1 + int(np.searchsorted(filled, quantile * filled[-1])) if filled[-1] else 1


EXPORTER = Exporter(
    name="ome-zarr",
    title="OME-Zarr pyramid",
    endings=(_ENDING,),
    writes="localizations in each pixel at several sizes of pixels, each twice the one before, for images of any size; "
    "in 3D as seen along z; a channel for those in no cluster and one for each class of clusters",
    units="`scale` and `translation` in nm; counts of localizations",
    opens="napari (plugin napari-ome-zarr) and other readers of OME-Zarr 0.5",
    plan=_plan,
    pixels="side of the finest pixels; 10 nm",
)
