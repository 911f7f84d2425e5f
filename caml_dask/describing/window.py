"""The region that is described: which localizations lie in it, and how far from its border."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import shapely

from caml_dask.compiled import njit
from caml_dask.geometry.covariance import FloatArray, edges_of, mean_covariance
from caml_dask.io.rois.roi import Roi, region_of
from caml_dask.stages.shared.hull import hull_of
from caml_dask.stages.shared.selection import selected_xy
from caml_dask.stages.shared.warnings import MOSTLY_EMPTY
from caml_dask.stages.shared.work import Work

HULL, OCCUPIED = "convex hull", "occupied"
_MOST_CELLS = 256  # along an axis, in which edges are looked up


@dataclass(frozen=True, eq=False)
class Window:
    """A region.

    Attributes
    ----------
    name : str
        What users call it, or how it was found.
    shape : shapely.Geometry
        A polygon or several, in nm.
    """

    name: str
    shape: shapely.Geometry

    def __post_init__(self) -> None:
        shapely.prepare(self.shape)
        x, y = shapely.get_coordinates(self.shape)[0]
        shapely.intersects_xy(self.shape, x, y)  # makes its index, which threads then share

    @property
    def area_nm2(self) -> float:
        """Its area in nm2, holes excluded."""
        return float(self.shape.area)

    @property
    def shorter_side_nm(self) -> float:
        """The shorter side of its bounding box, in nm."""
        x0, y0, x1, y1 = self.shape.bounds
        return min(x1 - x0, y1 - y0)

    def expected_pairs(self, step_nm: float, rings: int) -> FloatArray:
        """Share of the pairs of independent places, even over the region, in each ring of distance.

        Parameters
        ----------
        step_nm : float
            Width of a ring, in nm.
        rings : int
            Number of rings.

        Returns
        -------
        (rings,) float64
            Integral of 2 pi r times the mean set covariance over the ring, by Simpson's rule, over the squared area.
        """
        at_nm = np.arange(2 * rings + 1) * (step_nm / 2)
        density = 2 * np.pi * at_nm * mean_covariance(self.shape, rings * step_nm, 2 * rings)
        found: FloatArray = (density[:-2:2] + 4 * density[1::2] + density[2::2]) * (step_nm / 6 / self.area_nm2**2)
        return found


@dataclass(frozen=True, eq=False)
class Border:
    """The border of a region, to ask how near it is.

    Attributes
    ----------
    shape : shapely.Geometry
        The region, in nm.
    reach_nm : float
        How far the border is looked for, in nm.
    """

    shape: shapely.Geometry
    reach_nm: float

    def distances(self, points_nm: FloatArray) -> FloatArray:
        """Distance from places in the region to its border.

        Parameters
        ----------
        points_nm : (n, 2) float64
            Places in nm.

        Returns
        -------
        (n,) float64
            Distances in nm; infinite where it is farther than the reach.
        """
        found = np.full(len(points_nm), np.inf)
        _to_border(np.ascontiguousarray(points_nm), *self._cells, float(self.reach_nm), found)
        return found

    @cached_property
    def _cells(
        self,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], FloatArray, FloatArray, FloatArray, float, int]:
        """Edges by the cells that they come within the reach of."""
        begin, end = edges_of(self.shape)
        low = np.minimum(begin, end).min(axis=0)
        spans = np.ptp(np.concatenate([begin, end]), axis=0)
        side = max(self.reach_nm, float(spans.max()) / _MOST_CELLS)
        nx, ny = (int(span // side) + 1 for span in spans)
        first = np.clip((np.minimum(begin, end) - low - self.reach_nm) // side, 0, (nx - 1, ny - 1)).astype(np.int64)
        last = np.clip((np.maximum(begin, end) - low + self.reach_nm) // side, 0, (nx - 1, ny - 1)).astype(np.int64)
        cells, edges = _near_cells(first, last, ny)
        order = np.argsort(cells, kind="stable")
        starts = np.searchsorted(cells[order], np.arange(nx * ny + 1))
        return starts, edges[order], begin, end, low, side, ny


def windows_of(work: Work) -> list[Window]:
    """The regions of an image.

    Parameters
    ----------
    work : Work
        The image, after the stage `occupied`.

    Returns
    -------
    list of Window
        Each region of interest; or the cell mask; or without either the convex hull of the localizations, and where
        that is mostly empty the part that they occupy.
    """
    rois = work.rois()
    if rois:
        return [Window(roi.name, shapely.normalize(roi.shape)) for roi in rois]
    hull, mask = hull_of(selected_xy(work)), work.cell_mask()
    if mask is not None and mask.shape.area < MOSTLY_EMPTY * hull.area:
        return [Window(OCCUPIED, mask.shape)]
    return [Window(HULL, hull)]


def in_windows(windows: list[Window], points_nm: FloatArray) -> Iterator[FloatArray]:
    """The places that lie in each region, borders included; of several regions in the first.

    Parameters
    ----------
    windows : list of Window
        Regions that do not overlap.
    points_nm : (n, 2) float64
        Places in nm.

    Yields
    ------
    (m, 2) float64
        Those of a region.
    """
    region = region_of([Roi(window.name, window.shape) for window in windows], points_nm)
    for number in range(len(windows)):
        yield points_nm[region == number]


@njit()
def _near_cells(first, last, ny):  # type: ignore[no-untyped-def]
    """Each cell that an edge comes near to, and the edge."""
    total = 0
    for e in range(len(first)):
        total += (last[e, 0] - first[e, 0] + 1) * (last[e, 1] - first[e, 1] + 1)
    cells, edges = np.empty(total, np.int64), np.empty(total, np.int64)
    at = 0
    for e in range(len(first)):
        for i in range(first[e, 0], last[e, 0] + 1):
            for j in range(first[e, 1], last[e, 1] + 1):
                cells[at], edges[at] = i * ny + j, e
                at += 1
    return cells, edges


@njit()
def _to_border(points, starts, edges, begin, end, low, side, ny, reach, found):  # type: ignore[no-untyped-def]
    nx = (len(starts) - 1) // ny
    for i in range(len(points)):
        x, y = points[i, 0], points[i, 1]
        column = min(max(int((x - low[0]) // side), 0), nx - 1)
        cell = column * ny + min(max(int((y - low[1]) // side), 0), ny - 1)
        nearest = np.inf
        for at in range(starts[cell], starts[cell + 1]):
            e = edges[at]
            ex, ey = end[e, 0] - begin[e, 0], end[e, 1] - begin[e, 1]
            px, py = x - begin[e, 0], y - begin[e, 1]
            length2 = ex * ex + ey * ey
            share = min(max((px * ex + py * ey) / length2, 0.0), 1.0) if length2 > 0 else 0.0
            nearest = min(nearest, (px - share * ex) ** 2 + (py - share * ey) ** 2)
        if nearest <= reach * reach:
            found[i] = np.sqrt(nearest)
