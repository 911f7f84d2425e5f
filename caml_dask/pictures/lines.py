"""Outlines drawn as thin lines with soft edges."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import shapely
from numba import njit

_SHADES = 8  # of a soft edge: with few, files are smaller and are written faster


class Outlines:
    """Lines one pixel wide over a picture; what is drawn twice is drawn once, in any order.

    shape : rows and columns of the picture
    """

    def __init__(self, shape: tuple[int, int]):
        self._cover = np.zeros(shape, np.float32)

    def add(self, outlines: npt.NDArray[np.object_], x0_nm: float, y0_nm: float, pixel_nm: float) -> None:
        """Draw the rings of polygons, holes included.

        Parameters
        ----------
        outlines : (c,) shapely polygons or multipolygons.
        x0_nm, y0_nm, pixel_nm : lower corner of the picture, and the side of its pixels.
        """
        rings = shapely.get_rings(shapely.get_parts(outlines))
        points, ring = shapely.get_coordinates(rings, return_index=True)
        _draw((points - (x0_nm, y0_nm)) / pixel_nm, ring, self._cover)

    def paint(self, picture: npt.NDArray[np.uint8], color: tuple[int, int, int]) -> None:
        """Blend the lines into a (rows, columns, 3) part of a picture."""
        _blend(self._cover, np.array(color, np.float64), picture)


@njit(cache=True, nogil=True)
def _draw(points, ring, cover):  # type: ignore[no-untyped-def]
    """Cover of each pixel by lines between successive points of a ring: 1 less its center's distance, or 0.

    points : (m, 2) float64 in pixels; the center of the first one is at 0.5, 0.5
    ring : (m,) which ring a point is of
    cover : (rows, columns) float32, raised where it is lower
    """
    rows, columns = cover.shape
    for k in range(len(points) - 1):
        if ring[k] != ring[k + 1]:
            continue
        x, y = points[k, 0] - 0.5, points[k, 1] - 0.5
        dx, dy = points[k + 1, 0] - 0.5 - x, points[k + 1, 1] - 0.5 - y
        length2 = dx * dx + dy * dy
        low, high = min(y, y + dy) - 1, max(y, y + dy) + 1
        for i in range(max(0, int(np.ceil(low))), min(rows - 1, int(np.floor(high))) + 1):
            # the stretch of the line that is within a pixel of this row
            start, stop = 0.0, 1.0
            if dy != 0:
                a, b = (i - 1 - y) / dy, (i + 1 - y) / dy
                start, stop = max(0.0, min(a, b)), min(1.0, max(a, b))
            left, right = x + start * dx, x + stop * dx
            if left > right:
                left, right = right, left
            for j in range(max(0, int(np.ceil(left - 1))), min(columns - 1, int(np.floor(right + 1))) + 1):
                along = 0.0
                if length2 > 0:
                    along = min(max(((j - x) * dx + (i - y) * dy) / length2, 0.0), 1.0)
                apart = np.hypot(x + along * dx - j, y + along * dy - i)
                cover[i, j] = max(cover[i, j], np.float32(1 - apart))


@njit(cache=True, nogil=True)
def _blend(cover, color, picture):  # type: ignore[no-untyped-def]
    rows, columns = cover.shape
    for i in range(rows):
        for j in range(columns):
            share = np.rint(_SHADES * cover[i, j]) / _SHADES
            if share > 0:
                for a in range(3):
                    below = float(picture[i, j, a])
                    picture[i, j, a] = np.rint(below + share * (color[a] - below))
