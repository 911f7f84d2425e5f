"""Tiles of an OME-Zarr pyramid: how many localizations of each channel are in each of their pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from caml_dask.errors import StoreError
from caml_dask.io.exporters.ome_zarr import BLOCK_PX

BRIGHTEST = 0.99
"""Quantile of the pixels that are not empty, which is drawn brightest."""
TILE_PX = 512
"""Side of a tile, of which a block of the arrays holds four."""
_BLOCKS_KEPT = 16  # a few MB each
_TOLD = 4095  # up to which counts are told apart for the brightest


class Pyramid:
    """Levels of counts, the finest first.

    Parameters
    ----------
    path : Path
        What `caml-dask export --to ome-zarr` writes.

    Attributes
    ----------
    pixel_nm : float
        Side of the finest pixels; those of each further level are twice as large.
    origin_nm : tuple of float
        x and y of the corner of the first pixel of every level.
    shapes : list of tuple of int
        Rows and columns of each level.
    channels : list of str
        Names of the channels.
    provenance : mapping
        What the results came from.

    Raises
    ------
    StoreError
        A pyramid that is damaged.
    """

    def __init__(self, path: Path) -> None:
        import zarr

        try:
            group = zarr.open_group(path, mode="r")
            about: Any = group.attrs["ome"]
            levels = about["multiscales"][0]["datasets"]
            scale, shift = (step[kind] for kind, step in zip(("scale", "translation"), _steps(levels[0])))
            self.pixel_nm = float(scale[2])
            self.origin_nm = float(shift[2]) - self.pixel_nm / 2, float(shift[1]) - self.pixel_nm / 2
            self._arrays: list[Any] = [group[level["path"]] for level in levels]
            self.channels = [str(channel["label"]) for channel in about["omero"]["channels"]]
            self.provenance: Mapping[str, Any] = dict(group.attrs["caml_dask"])  # type: ignore[arg-type]
        except (KeyError, IndexError, TypeError, ValueError, OSError) as error:
            raise StoreError(f"{path} is damaged ({error}): remove it, and it is made again") from None
        self.shapes = [(int(array.shape[1]), int(array.shape[2])) for array in self._arrays]
        self._block = lru_cache(_BLOCKS_KEPT)(self._read)

    def forget(self) -> None:
        """Give back the memory of the blocks that are kept; they are read again when asked for."""
        self._block.cache_clear()

    def localizations(self) -> int:
        """Localizations in all, as the coarsest level counts them."""
        return int(np.asarray(self._arrays[-1][:]).sum(dtype=np.int64))

    def brightest(self, quantile: float) -> list[list[int]]:
        """Of each level and channel, the count that a share of the pixels that are not empty does not exceed.

        Blocks are looked at only where the coarser level has counts, so that a field can be empty for the most part.
        """
        found: list[list[int]] = []
        blocks = list(np.ndindex(*(math.ceil(side / BLOCK_PX) for side in self.shapes[-1])))
        for level in reversed(range(len(self.shapes))):
            seen, finer = np.zeros((len(self.channels), _TOLD + 1), np.int64), []
            for row, column in blocks:
                block = self._read(level, row, column)
                seen += [_told(counts) for counts in block]
                finer += [(2 * row + below, 2 * column + right) for below, right in _filled_quarters(block)]
            filled, blocks = np.cumsum(seen[:, 1:], axis=1), finer
            found.append([1 + int(np.searchsorted(of, quantile * of[-1])) if of[-1] else 1 for of in filled])
        return found[::-1]

    def tile(self, level: int, row: int, column: int) -> npt.NDArray[np.unsignedinteger] | None:
        """Counts of a tile.

        Parameters
        ----------
        level : int
            The level, 0 the finest.
        row, column : int
            Place of the tile among those of the level.

        Returns
        -------
        (channels, 512, 512) uint8, uint16 or uint32
            The smallest type that holds them; None where there is no localization, or no such tile.
        """
        if not (0 <= level < len(self.shapes) and row >= 0 and column >= 0):
            return None
        if row * TILE_PX >= self.shapes[level][0] or column * TILE_PX >= self.shapes[level][1]:
            return None
        each = BLOCK_PX // TILE_PX
        block = self._block(level, row // each, column // each)
        top, left = (place % each * TILE_PX for place in (row, column))
        found = block[:, top : top + TILE_PX, left : left + TILE_PX]
        return found.astype(np.min_scalar_type(found.max())) if found.any() else None

    def _read(self, level: int, row: int, column: int) -> npt.NDArray[np.unsignedinteger]:
        """A block of a level, filled up with empty pixels where it is cut short."""
        top, left = row * BLOCK_PX, column * BLOCK_PX
        part = np.asarray(self._arrays[level][:, top : top + BLOCK_PX, left : left + BLOCK_PX])
        whole = np.zeros((len(part), BLOCK_PX, BLOCK_PX), np.min_scalar_type(part.max(initial=0)))
        whole[:, : part.shape[1], : part.shape[2]] = part
        return whole


def _told(counts: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.int64]:
    return np.bincount(np.minimum(counts.reshape(-1).astype(np.int64), _TOLD), minlength=_TOLD + 1)


def _filled_quarters(block: npt.NDArray[np.unsignedinteger]) -> list[tuple[int, int]]:
    """Quarters of a block that are not empty: each is a block of the finer level."""
    half = BLOCK_PX // 2
    filled = block.any(axis=0).reshape(2, half, 2, half).any(axis=(1, 3))
    return [(int(row), int(column)) for row, column in np.argwhere(filled)]


def _steps(level: Mapping[str, Any]) -> list[Any]:
    found: list[Any] = level["coordinateTransformations"]
    return found
