"""Outlines drawn as thin lines with soft edges."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import shapely

from caml_dask.compiled import njit

_SHORTEST_PX = 0.75  # points of an outline that lie closer are drawn as one
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

    def add_line(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Draw a straight line between points, x and y in pixels."""
        _draw(np.array([start, end]), np.zeros(2, np.int64), self._cover)

    def paint(self, picture: npt.NDArray[np.uint8], color: tuple[int, int, int]) -> None:
        """Blend the lines into a (rows, columns, 3) part of a picture."""
        _blend(self._cover, np.array(color, np.float64), picture)


@njit()
def _draw(points, ring, cover):  # type: ignore[no-untyped-def]
    """Cover of each pixel by lines between successive points of a ring: 1 less its center's distance, or 0.

    points : (m, 2) float64 in pixels; the center of the first one is at 0.5, 0.5
    ring : (m,) which ring a point is of
    cover : (rows, columns) float32, raised where it is lower
    """
    for k in range(len(points)):
        x1, y1 = points[k, 0] - 0.5, points[k, 1] - 0.5
        if k == 0 or ring[k] != ring[k - 1]:
            x0, y0 = x1, y1
        last = k + 1 == len(points) or ring[k] != ring[k + 1]
        if last or (x1 - x0) ** 2 + (y1 - y0) ** 2 >= _SHORTEST_PX**2:
            _draw_line(x0, y0, x1, y1, cover)
            x0, y0 = x1, y1


@njit()
def _draw_line(x0, y0, x1, y1, cover):  # type: ignore[no-untyped-def]
    rows, columns = cover.shape
    dx, dy = x1 - x0, y1 - y0
    length2 = dx * dx + dy * dy
    for i in range(max(0, int(np.ceil(min(y0, y1) - 1))), min(rows - 1, int(np.floor(max(y0, y1) + 1))) + 1):
        # the stretch of the line that is within a pixel of this row
        start, stop = 0.0, 1.0
        if dy != 0:
            a, b = (i - 1 - y0) / dy, (i + 1 - y0) / dy
            start, stop = max(0.0, min(a, b)), min(1.0, max(a, b))
        left, right = x0 + start * dx, x0 + stop * dx
        if left > right:
            left, right = right, left
        for j in range(max(0, int(np.ceil(left - 1))), min(columns - 1, int(np.floor(right + 1))) + 1):
            along = 0.0
            if length2 > 0:
                along = min(max(((j - x0) * dx + (i - y0) * dy) / length2, 0.0), 1.0)
            share = 1 - np.sqrt((x0 + along * dx - j) ** 2 + (y0 + along * dy - i) ** 2)
            if share > cover[i, j]:
                cover[i, j] = share


@njit()
def _blend(cover, color, picture):  # type: ignore[no-untyped-def]
    rows, columns = cover.shape
    for i in range(rows):
        for j in range(columns):
            share = np.rint(_SHADES * cover[i, j]) / _SHADES
            if share > 0:
                for a in range(3):
                    below = float(picture[i, j, a])
                    picture[i, j, a] = np.rint(below + share * (color[a] - below))
