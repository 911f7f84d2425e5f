"""The picture under the localizations: a pyramid of counts, read from an exported one or counted where it is looked at.

napari asks for the pixels that it shows, of one level at a time. A counted pyramid has the pixels of the exported one:
what :mod:`caml_dask.io.exporters.ome_zarr` would write.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from caml_dask.io.exporters.exporter import Exportable, Options
from caml_dask.io.exporters.ome_zarr import Levels
from caml_dask.napari_plugin.places import Floats, Ints, Places

Counts: TypeAlias = npt.NDArray[np.uint32]

TILE_PX = 512
"""Side of the tiles that are counted at once."""
_WHOLE_PX = 2048  # levels no wider than this are held whole
_TILES = 192  # held, of one image; 1 MiB for each channel
_BRIGHTEST = 0.99  # quantile of the pixels that are not empty
_log = logging.getLogger("caml_dask")


class Source(Protocol):
    """Where the pixels of a pyramid come from."""

    def tile(self, level: int, channel: int, row: int, column: int) -> Counts:
        """A square of `TILE_PX` pixels of a level; what lies beyond the image is 0."""


@dataclass(frozen=True)
class Plane:
    """One channel of one level as napari takes it: an array of (rows, columns) whose pixels are found when asked for.

    Rows and columns are filled up to whole pixels of the coarsest level, so that each level is exactly half of the one
    before.
    """

    source: Source
    level: int
    channel: int
    shape: tuple[int, int]

    dtype = np.dtype(np.uint32)
    ndim = 2
    chunks = (TILE_PX, TILE_PX)

    @property
    def size(self) -> int:
        """Pixels."""
        return self.shape[0] * self.shape[1]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Counts:
        rows, columns = _spans(key, self.shape)
        found = np.zeros((len(rows), len(columns)), np.uint32)
        for row in range(rows.start // TILE_PX, -(-rows.stop // TILE_PX)):
            for column in range(columns.start // TILE_PX, -(-columns.stop // TILE_PX)):
                of_rows, of_columns = _shared(rows, row), _shared(columns, column)
                tile = self.source.tile(self.level, self.channel, row, column)
                part = tile[_moved(of_rows, row * TILE_PX), _moved(of_columns, column * TILE_PX)]
                found[_moved(of_rows, rows.start), _moved(of_columns, columns.start)] = part
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self[:, :], dtype)


def _spans(key: Any, shape: tuple[int, int]) -> tuple[range, range]:
    """The rows and columns that an index names: slices of step 1, the only ones that napari asks for.

    Raises
    ------
    IndexError : another index.
    """
    keys = key if isinstance(key, tuple) else (key,)
    keys = (*keys, *[slice(None)] * (2 - len(keys)))
    spans = [range(size)[one] if isinstance(one, slice) else range(0, 0, -1) for one, size in zip(keys, shape)]
    if len(keys) != 2 or any(span.step != 1 for span in spans):
        raise IndexError(f"{key!r} is no rectangle of a level: take two slices of step 1")
    return spans[0], spans[1]


def _shared(span: range, tile: int) -> slice:
    return slice(max(span.start, tile * TILE_PX), min(span.stop, (tile + 1) * TILE_PX))


def _moved(of: slice, start: int) -> slice:
    return slice(of.start - start, of.stop - start)


class Stored:
    """Pixels of an exported pyramid.

    Parameters
    ----------
    arrays : sequence of zarr.Array
        (channels, rows, columns) of each level.
    """

    def __init__(self, arrays: Sequence[Any]) -> None:
        self._arrays = arrays

    def tile(self, level: int, channel: int, row: int, column: int) -> Counts:
        """A square of `TILE_PX` pixels of a level; what lies beyond the image is 0."""
        top, left = row * TILE_PX, column * TILE_PX
        part = np.asarray(self._arrays[level][channel, top : top + TILE_PX, left : left + TILE_PX])
        return np.pad(part, [(0, TILE_PX - side) for side in part.shape])


class Counted:
    """Pixels counted from the localizations; those of a coarse level while the localizations are sorted.

    Parameters
    ----------
    levels : Levels
        Pixels and levels.
    channels : int
        How many channels there are.
    """

    def __init__(self, levels: Levels, channels: int) -> None:
        self._levels, self._channels = levels, channels
        self._first_whole = next(k for k in range(len(levels)) if max(levels.shape(k)) <= _WHOLE_PX)
        rows, columns = (-(-side // TILE_PX) * TILE_PX for side in levels.shape(self._first_whole))
        self._whole = np.zeros((channels, rows, columns), np.uint32)
        self.places: Places | None = None
        self._tiles = lru_cache(_TILES)(self._counted)

    def add(self, xy_nm: Floats, channel: Ints) -> None:
        """Take in (n, 2) localizations of channels (n,), each once."""
        row, column = self._pixels(xy_nm, self._first_whole)
        place = (channel * self._whole.shape[1] + row) * self._whole.shape[2] + column
        np.add.at(self._whole.reshape(-1), place, np.uint32(1))  # of one axis, it is three times as fast

    def tile(self, level: int, channel: int, row: int, column: int) -> Counts:
        """A square of `TILE_PX` pixels of a level; what lies beyond the image is 0."""
        return self._tiles(level, row, column)[channel]

    def _pixels(self, xy_nm: Floats, level: int) -> tuple[Ints, Ints]:
        """Rows and columns of pixels of a level."""
        row, column = self._levels.pixels(xy_nm)
        return row >> level, column >> level

    def _counted(self, level: int, row: int, column: int) -> Counts:
        top, left = row * TILE_PX, column * TILE_PX
        if level >= self._first_whole:
            times = 2 ** (level - self._first_whole)
            part = self._whole[:, top * times : (top + TILE_PX) * times, left * times : (left + TILE_PX) * times]
            short = [(0, TILE_PX * times - side) for side in part.shape[1:]]
            square = np.pad(part, [(0, 0), *short]).reshape(self._channels, TILE_PX, times, TILE_PX, times)
            return np.asarray(square.sum(axis=(2, 4), dtype=np.uint32))
        return self._of_places(level, top, left)

    def _of_places(self, level: int, top: int, left: int) -> Counts:
        if self.places is None:
            raise RuntimeError("the localizations are not sorted yet")
        found = np.zeros((self._channels, TILE_PX, TILE_PX), np.uint32)
        side = self._levels.pixel_nm * 2**level
        x0 = self._levels.column * self._levels.pixel_nm + left * side
        y0 = self._levels.row * self._levels.pixel_nm + top * side
        # a pixel more on each side: the sides are rounded
        around = (x0 - side, y0 - side, x0 + (TILE_PX + 1) * side, y0 + (TILE_PX + 1) * side)
        for xy_nm, channel in self.places.each_in(around):
            row, column = (place - first for place, first in zip(self._pixels(xy_nm, level), (top, left)))
            inside = (row >= 0) & (row < TILE_PX) & (column >= 0) & (column < TILE_PX)
            np.add.at(found, (channel[inside], row[inside], column[inside]), np.uint32(1))
        return found


def stored(path: Path, image: Exportable) -> tuple[Levels, Stored] | None:
    """The pyramid that was exported of an image; None where there is none, or none that can be used.

    Parameters
    ----------
    path : Path
        Its folder.
    image : Exportable
        The image that it should be of.
    """
    if not path.is_dir():
        return None
    import zarr

    try:
        group = zarr.open_group(path, mode="r")
        datasets = group.attrs["ome"]["multiscales"][0]["datasets"]
        if group.attrs["caml_dask"] != dict(image.provenance):
            _log.warning("%s is of another run, and the picture is counted anew: export it with --overwrite", path)
            return None
        pixel = float(datasets[0]["coordinateTransformations"][0]["scale"][1])
        levels = Levels.of(image, Options(pixel))
        arrays = [group[one["path"]] for one in datasets]
        if [a.shape[1:] for a in arrays] != [levels.shape(k) for k in range(len(levels))]:
            raise ValueError("its levels have other sizes")
    except (OSError, KeyError, IndexError, TypeError, ValueError) as error:
        _log.warning("%s is damaged (%s), and the picture is counted anew: export it with --overwrite", path, error)
        return None
    return levels, Stored(arrays)


def planes(source: Source, levels: Levels, channel: int) -> list[Plane]:
    """The levels of a channel, the finest first."""
    coarsest = levels.shape(len(levels) - 1)
    found = []
    for level in range(len(levels)):
        times = 2 ** (len(levels) - 1 - level)
        found.append(Plane(source, level, channel, (coarsest[0] * times, coarsest[1] * times)))
    return found


def brightest(plane: Plane) -> float:
    """The count that 99 % of the pixels that are not empty do not exceed: up to it, colors become brighter."""
    counts = plane[:, :]
    return float(np.quantile(counts[counts > 0], _BRIGHTEST)) if counts.any() else 1.0
