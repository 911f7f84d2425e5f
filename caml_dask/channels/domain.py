"""Where a pair is compared: a region of the plane, or a rectangle in it whose opposite sides are joined."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import shapely
from scipy.ndimage import map_coordinates
from scipy.signal import fftconvolve
from scipy.spatial import cKDTree

from caml_dask.channels.cells import Cells, FloatArray, IntArray
from caml_dask.channels.channel import Channel

_RASTER = 256  # boxes along the longer side of a region
_DIRECTIONS = 64
_Z_BINS = 200


@dataclass(frozen=True, eq=False)
class Domain:
    """A region of the plane.

    Attributes
    ----------
    shape : shapely.Geometry
        The region, in nm.
    """

    shape: shapely.Geometry

    @property
    def area_nm2(self) -> float:
        """Its area."""
        return float(self.shape.area)

    def of(self, channel: Channel) -> Channel:
        """What of a channel lies in it: clusters by their centroids."""
        return channel.kept(self.holds(channel.points_nm), self.holds(channel.centroids_nm))

    def holds(self, points_nm: FloatArray) -> npt.NDArray[np.bool_]:
        """(n,) bool: which of (n, d) places lie in it, its border included."""
        shapely.prepare(self.shape)
        return np.asarray(shapely.intersects_xy(self.shape, points_nm[:, 0], points_nm[:, 1]), dtype=bool)

    def cells(self, points_nm: FloatArray, reach_nm: float) -> Cells:
        """Localizations in cells, for distances of up to `reach_nm`."""
        return Cells.build(points_nm, reach_nm)

    def tree(self, points_nm: FloatArray) -> Nearest:
        """Localizations to ask for the nearest."""
        return Nearest(cKDTree(points_nm, balanced_tree=False), np.zeros(points_nm.shape[1]))

    def around(self, outlines: npt.NDArray[np.object_], reach_nm: float) -> tuple[npt.NDArray[np.object_], IntArray]:
        """Outlines as they are seen from places up to `reach_nm` beyond the region, and the row of each."""
        return outlines, np.arange(len(outlines))

    def pairs_within(self, reach_nm: float) -> tuple[FloatArray, FloatArray]:
        """Share of the pairs of independent places, even over the region, that are within a distance in the plane.

        Parameters
        ----------
        reach_nm : float
            Largest distance, in nm.

        Returns
        -------
        (k,), (k,) float64
            Distances from 0 to the largest, and the share.
        """
        at_nm = np.linspace(0, reach_nm, 401)
        share = self._covariance(at_nm) / self.area_nm2**2
        ring = 2 * np.pi * at_nm * share
        return at_nm, np.concatenate([[0.0], np.cumsum((ring[1:] + ring[:-1]) / 2 * np.diff(at_nm))])

    def _covariance(self, at_nm: FloatArray) -> FloatArray:
        """Area that the region shares with itself moved by a distance, mean over the directions."""
        inside, step = self._raster
        padded = inside.astype(np.float64)
        shared = fftconvolve(padded, padded[::-1, ::-1])
        angles = np.arange(_DIRECTIONS) * np.pi / _DIRECTIONS
        middle = np.array(inside.shape) - 1
        ways = at_nm[None, :, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)[:, None, :] / step
        found = map_coordinates(shared, (ways + middle).reshape(-1, 2).T, order=1).reshape(len(angles), -1)
        return np.maximum(found.mean(axis=0) / inside.sum() * self.area_nm2, 0.0)

    @cached_property
    def _raster(self) -> tuple[npt.NDArray[np.bool_], FloatArray]:
        """Boxes whose middle lies in the region, and their sides in nm."""
        x0, y0, x1, y1 = self.shape.bounds
        step = max(x1 - x0, y1 - y0) / _RASTER
        nx, ny = max(1, round((x1 - x0) / step)), max(1, round((y1 - y0) / step))
        sides = np.array([(x1 - x0) / nx, (y1 - y0) / ny])
        x, y = x0 + (np.arange(nx) + 0.5) * sides[0], y0 + (np.arange(ny) + 0.5) * sides[1]
        shapely.prepare(self.shape)
        return shapely.intersects_xy(self.shape, x[:, None], y[None, :]), sides


@dataclass(frozen=True, eq=False)
class Torus(Domain):
    """A rectangle whose opposite sides are joined, so that what leaves on one side comes back on the other.

    Attributes
    ----------
    shape : shapely.Polygon
        The rectangle, in nm.
    """

    @property
    def low_nm(self) -> FloatArray:
        """(2,) float64 lower corner."""
        return np.array(self.shape.bounds[:2])

    @property
    def sides_nm(self) -> FloatArray:
        """(2,) float64 sides along x and y."""
        return np.array(self.shape.bounds[2:]) - self.low_nm

    def wrapped(self, points_nm: FloatArray) -> FloatArray:
        """Places, (n, d), that left the rectangle, back in it."""
        found = points_nm.copy()
        found[:, :2] = self.low_nm + np.mod(points_nm[:, :2] - self.low_nm, self.sides_nm)
        return found

    def cells(self, points_nm: FloatArray, reach_nm: float) -> Cells:
        """Localizations in cells, those near a side beyond the other side as well."""
        low, high = self.low_nm, self.low_nm + self.sides_nm
        points, rows = [points_nm], [np.arange(len(points_nm), dtype=np.int64)]
        for way in _WAYS:
            seen = points_nm[:, :2] + way * self.sides_nm
            near = ((seen >= low - reach_nm) & (seen <= high + reach_nm)).all(axis=1)
            points.append(np.column_stack([seen[near], points_nm[near, 2:]]))
            rows.append(np.flatnonzero(near))
        return Cells.build(np.concatenate(points), reach_nm, np.concatenate(rows))

    def tree(self, points_nm: FloatArray) -> Nearest:
        """Localizations to ask for the nearest, around the sides."""
        origin, box = np.zeros(points_nm.shape[1]), np.zeros(points_nm.shape[1])
        origin[:2], box[:2] = self.low_nm, self.sides_nm
        inside = points_nm - origin
        inside[:, :2] = np.mod(inside[:, :2], self.sides_nm)
        inside[:, :2][inside[:, :2] >= self.sides_nm] = 0.0
        return Nearest(cKDTree(inside, balanced_tree=False, boxsize=box), origin)

    def around(self, outlines: npt.NDArray[np.object_], reach_nm: float) -> tuple[npt.NDArray[np.object_], IntArray]:
        """Outlines, those near a side beyond the other side as well."""
        low, high = self.low_nm - reach_nm, self.low_nm + self.sides_nm + reach_nm
        bounds = shapely.bounds(outlines).reshape(-1, 4)
        found, rows = [outlines], [np.arange(len(outlines))]
        for way in _WAYS:
            by = way * self.sides_nm
            near = ((bounds[:, 2:] + by >= low) & (bounds[:, :2] + by <= high)).all(axis=1)
            found.append(shapely.transform(outlines[near], lambda xy, by=by: xy + by))
            rows.append(np.flatnonzero(near))
        return np.concatenate(found), np.concatenate(rows)

    def _covariance(self, at_nm: FloatArray) -> FloatArray:
        return np.full(len(at_nm), self.area_nm2)


_WAYS = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j], dtype=np.float64)


@dataclass(frozen=True)
class Nearest:
    """Distances to the nearest of some localizations.

    tree : the localizations, without their origin
    origin : (d,) float64, in nm
    """

    tree: cKDTree
    origin: FloatArray

    def distances(self, queries_nm: FloatArray) -> FloatArray:
        """(m,) float64 distance from each of (m, d) places, in nm; infinite where there are none."""
        if self.tree.n == 0:
            return np.full(len(queries_nm), np.inf)
        return np.asarray(self.tree.query(queries_nm - self.origin)[0])


def expected_pairs(domain: Domain, a: FloatArray, b: FloatArray, edges_nm: FloatArray) -> FloatArray:
    """Pairs by distance that two channels have, if they are independent and even over a domain's plane.

    In 3D the heights of either channel's localizations stay what they are.

    Parameters
    ----------
    domain : Domain
        Where they lie.
    a, b : (n, d), (m, d) float64
        The localizations, in nm.
    edges_nm : (k + 1,) float64
        Ends of the intervals of distance, in nm.

    Returns
    -------
    (k,) float64
        Expected pairs in each interval.
    """
    at_nm, share = domain.pairs_within(float(edges_nm[-1]))
    if a.shape[1] == 2:
        return len(a) * len(b) * np.diff(np.interp(edges_nm, at_nm, share))
    low = min(a[:, 2].min(initial=np.inf), b[:, 2].min(initial=np.inf))
    width = float(edges_nm[-1]) / _Z_BINS
    heights = [np.bincount(((p[:, 2] - low) // width).astype(np.int64)) for p in (a, b)]
    pairs = np.rint(fftconvolve(heights[0].astype(np.float64), heights[1][::-1].astype(np.float64)))
    apart = np.abs(np.arange(len(pairs)) - (len(heights[1]) - 1)) * width
    near = (apart <= edges_nm[-1]) & (pairs > 0)
    within = np.sqrt(np.maximum(edges_nm[None, :] ** 2 - apart[near, None] ** 2, 0.0))
    return np.diff(pairs[near] @ np.interp(within, at_nm, share))


def largest_rectangle(shape: shapely.Geometry) -> shapely.Polygon | None:
    """A large upright rectangle inside of a region, of whole boxes of a grid over its bounding box; None without."""
    x0, y0, x1, y1 = shape.bounds
    step = max(x1 - x0, y1 - y0) / (_RASTER // 2)
    nx, ny = max(1, round((x1 - x0) / step)), max(1, round((y1 - y0) / step))
    x, y = np.linspace(x0, x1, nx + 1), np.linspace(y0, y1, ny + 1)
    shapely.prepare(shape)
    inside = shapely.covers(shape, shapely.box(x[:-1, None], y[None, :-1], x[1:, None], y[None, 1:]))
    best, corners = 0.0, None
    tall = np.zeros(nx, dtype=np.int64)
    for j in range(ny):
        tall = np.where(inside[:, j], tall + 1, 0)
        stack: list[tuple[int, int]] = []
        for i, height in enumerate([*tall.tolist(), 0]):
            first = i
            while stack and stack[-1][1] >= height:
                first, above = stack.pop()
                size = (x[i] - x[first]) * (y[j + 1] - y[j + 1 - above])
                if above and size > best:
                    best, corners = size, (x[first], y[j + 1 - above], x[i], y[j + 1])
            stack.append((first, height))
    return None if corners is None else shapely.box(*corners)
