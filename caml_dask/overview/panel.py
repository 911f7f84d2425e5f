"""A panel of the overview: localizations counted on pixels, with the outlines that fall on them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import shapely

from caml_dask.overview.lines import Outlines
from caml_dask.overview.raster import Raster
from caml_dask.overview.text import Color

Outline: TypeAlias = shapely.Geometry | npt.NDArray[np.float64] | None

OUTLINE_COLOR: Color = (120, 235, 225)
REGION_COLOR: Color = (250, 215, 90)
MOST_OUTLINES = 50_000
NARROWEST_PX = 14.0

_AT_A_TIME = 1024  # outlines held as arrays of coordinates


class Panel:
    """A raster with the outlines that fall on it."""

    def __init__(self, raster: Raster, crowded: bool = False):
        self.raster = raster
        self.height, self.width = raster.shape
        self._crowded = crowded
        self._widths_px = [np.zeros(0)]
        self._lines = Outlines(raster.shape)
        self._borders = Outlines(raster.shape)

    def add(self, outlines: npt.NDArray[np.object_]) -> None:
        """Draw those of the outlines, (c,) polygons, that fall on the panel."""
        x0, y0, x1, y1 = self.raster.bounds_nm
        low, high = np.split(shapely.bounds(outlines).reshape(-1, 4), 2, axis=1)
        seen = np.all((low <= (x1, y1)) & (high >= (x0, y0)), axis=1)
        self._widths_px.append((high - low)[seen].max(axis=1) / self.raster.pixel_nm)
        if not self._crowded:
            self._lines.add(outlines[seen], x0, y0, self.raster.pixel_nm)

    def add_regions(self, regions: Sequence[shapely.Geometry]) -> None:
        """Draw the borders of regions, three pixels wide: the report shows the picture smaller."""
        x0, y0, _, _ = self.raster.bounds_nm
        step, shapes = self.raster.pixel_nm, np.array(regions, dtype=object)
        for dx, dy in ((0, 0), (-step, 0), (step, 0), (0, -step), (0, step)):
            self._borders.add(shapes, x0 + dx, y0 + dy, step)

    def drawn(self) -> bool:
        """Whether there are outlines on the panel."""
        return any(len(widths) for widths in self._widths_px)

    def hidden(self) -> str | None:
        """Why no outlines are shown, if none are."""
        if self._crowded:
            return f"more than {MOST_OUTLINES:,}"
        if self.drawn() and np.median(np.concatenate(self._widths_px)) < NARROWEST_PX:
            return "too small"
        return None

    def paint(self, pixels: npt.NDArray[np.uint8]) -> None:
        """Fill a part of the sheet of the panel's size."""
        self.raster.paint(pixels)
        if self.hidden() is None:
            self._lines.paint(pixels, OUTLINE_COLOR)
        self._borders.paint(pixels, REGION_COLOR)


def batches(outlines: Iterable[Outline]) -> Iterator[npt.NDArray[np.object_]]:
    """Outlines that there are, as arrays of polygons."""
    there = (o for o in outlines if o is not None)
    while some := list(itertools.islice(there, _AT_A_TIME)):
        yield np.array([shapely.polygons(o) if isinstance(o, np.ndarray) else o for o in some], dtype=object)
