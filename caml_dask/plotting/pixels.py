"""Localizations counted on the pixels of a picture, however many there are, and the counts turned into colors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import scipy

from caml_dask.plotting.view import Bounds

FloatArray: TypeAlias = npt.NDArray[np.float64]
Picture: TypeAlias = npt.NDArray[np.float32]

_CLIP = 0.995  # counts above this quantile of the occupied pixels are drawn alike
_FAINTEST = 0.45
_SPARSE = 0.02  # share of occupied pixels below which each is drawn as a cross of five
_BLUR = 0.5  # times the root of pixels per localization, in pixels
_BLURS_PX = 0.7, 8.0


@dataclass(frozen=True)
class Grid:
    """Square pixels over a rectangle.

    Parameters
    ----------
    bounds_nm : tuple of float
        x0, y0, x1, y1.
    longest_px : int
        Pixels along the longer side.
    """

    bounds_nm: Bounds
    longest_px: int

    @property
    def pixel_nm(self) -> float:
        """Side of a pixel."""
        x0, y0, x1, y1 = self.bounds_nm
        return max(x1 - x0, y1 - y0) / self.longest_px

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns; those at the far sides may reach over the rectangle."""
        x0, y0, x1, y1 = self.bounds_nm
        rows, columns = (max(1, int(np.ceil(side / self.pixel_nm - 1e-9))) for side in (y1 - y0, x1 - x0))
        return rows, columns

    @property
    def extent_nm(self) -> Bounds:
        """x0, x1, y1, y0 of the pixels, as matplotlib takes them where y points down."""
        x0, y0, _, _ = self.bounds_nm
        rows, columns = self.shape
        return x0, x0 + columns * self.pixel_nm, y0 + rows * self.pixel_nm, y0

    def places(self, xy_nm: FloatArray) -> npt.NDArray[np.int64]:
        """(n,) place of the pixel of each localization, row by row."""
        x0, y0, _, _ = self.bounds_nm
        rows, columns = self.shape
        column, row = np.floor((xy_nm - (x0, y0)) / self.pixel_nm).astype(np.int64).T
        return np.clip(row, 0, rows - 1) * columns + np.clip(column, 0, columns - 1)


class Counted:
    """How many localizations of each class are in each pixel.

    Parameters
    ----------
    grid : Grid
        The pixels.
    classes : int
        How many there are.
    """

    def __init__(self, grid: Grid, classes: int):
        self.grid = grid
        self.counts = np.zeros((classes, *grid.shape), np.uint32)

    def add(self, xy_nm: FloatArray, of: npt.NDArray[np.int64]) -> None:
        """Count (n, 2) localizations of classes (n,)."""
        rows, columns = self.grid.shape
        np.add.at(self.counts.reshape(-1), of * (rows * columns) + self.grid.places(xy_nm), np.uint32(1))

    def painted(self, colors: FloatArray) -> Picture:
        """(rows, columns, 4) red, green, blue and opacity: the commonest class but the first, or else the first."""
        if not self.counts.any():
            return np.zeros((*self.counts.shape[1:], 4), np.float32)
        counts = _spread(self.counts)
        others = counts[1:].max(axis=0)
        shown = np.where(others > 0, 1 + counts[1:].argmax(axis=0), 0)
        number = np.where(others > 0, others, counts[0])
        top = np.log1p(max(3.0, float(np.quantile(number[number > 0], _CLIP))))
        bright = np.clip((np.log1p(number) - np.log(2)) / (top - np.log(2)), 0, 1)
        opacity = np.where(number > 0, _FAINTEST + (1 - _FAINTEST) * bright, 0)
        return np.dstack([colors[shown], opacity]).astype(np.float32)

    def density_per_um2(self) -> FloatArray:
        """(rows, columns) localizations of all classes per um2, blurred the more the fewer there are."""
        counts = self.counts.sum(axis=0, dtype=np.float64)
        sigma_px = float(np.clip(_BLUR * np.sqrt(counts.size / max(1.0, counts.sum())), *_BLURS_PX))
        blurred = scipy.ndimage.gaussian_filter(counts, sigma_px, mode="constant")
        return np.asarray(blurred / (self.grid.pixel_nm / 1000) ** 2)


class Averaged:
    """The mean of a number over the localizations in each pixel.

    Parameters
    ----------
    grid : Grid
        The pixels.
    """

    def __init__(self, grid: Grid):
        self.grid = grid
        self._sums = np.zeros(grid.shape)
        self._known = np.zeros(grid.shape, np.uint32)
        self._all = np.zeros(grid.shape, np.uint32)

    def add(self, xy_nm: FloatArray, values: FloatArray) -> None:
        """Take in (n, 2) localizations with values (n,), NaN for none."""
        place, known = self.grid.places(xy_nm), ~np.isnan(values)
        np.add.at(self._all.reshape(-1), place, np.uint32(1))
        np.add.at(self._known.reshape(-1), place[known], np.uint32(1))
        np.add.at(self._sums.reshape(-1), place[known], values[known])

    def means(self) -> FloatArray:
        """(rows, columns) float64, NaN where no localization has a value."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self._sums / self._known)

    def painted(self, color_of: Callable[[FloatArray], FloatArray], gray: FloatArray) -> Picture:
        """(rows, columns, 4) red, green, blue and opacity; gray where no localization has a value."""
        means = self.means()
        colors = np.where(np.isnan(means)[:, :, None], [*gray, 1.0], color_of(np.nan_to_num(means)))
        colors[:, :, 3] = self._all > 0
        return colors.astype(np.float32)


def _spread(counts: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Counts drawn as crosses where few pixels are occupied: a single pixel would hardly be seen."""
    if np.count_nonzero(counts.any(axis=0)) > _SPARSE * counts[0].size:
        return counts
    cross = np.array([[[0, 1, 0], [1, 1, 1], [0, 1, 0]]], bool)
    return np.asarray(scipy.ndimage.maximum_filter(counts, footprint=cross))
