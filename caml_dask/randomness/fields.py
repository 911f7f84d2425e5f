"""Random fields like a given one: its outline, its density trend, its number of localizations, its re-blinks.

Molecules are placed anew, independently of each other; the detections of a molecule move with it. What such a field
lacks of the given one is any relation between molecules.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_BOXES = 8  # along each side of the grid on which the trend is fitted
_IN_BOX = 10  # localizations in a box of it, or the boxes are fewer
_SHRINK, _STEPS = 1e-3, 30  # L2 penalty of the trend's coefficients; steps of their fit, each at most 1
_LOOKED_AT, _HIGHEST = 1_000, 0.99  # places at which the highest density is looked for, and the share of them below it


@dataclass(frozen=True, eq=False)
class Localizations:
    """Localizations of a field.

    Attributes
    ----------
    points_nm : (n, d) float64
        Coordinates in nm.
    uncertainty_nm : (n,) float64 or None
        Lateral precisions, where they are known.
    molecule : (n,) int64
        Number of the molecule, from 0; localizations that share it are its detections.
    """

    points_nm: FloatArray
    uncertainty_nm: FloatArray | None
    molecule: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.points_nm)


@dataclass(frozen=True, eq=False)
class Area:
    """An area, in which places are drawn.

    Attributes
    ----------
    outline : shapely geometry
        A polygon or several, in nm.
    corners_nm : (t, 3, 2) float64
        Triangles that make it up.
    up_to : (t,) float64
        Share of the area in the triangles up to each.
    """

    outline: shapely.Geometry
    corners_nm: FloatArray
    up_to: FloatArray

    @classmethod
    def of(cls, outline: shapely.Geometry) -> Area:
        """The area within an outline.

        Parameters
        ----------
        outline : shapely geometry
            Of an area above 0, in nm.
        """
        triangles = shapely.get_parts(shapely.constrained_delaunay_triangles(outline))
        corners = shapely.get_coordinates(triangles).reshape(-1, 4, 2)[:, :3]
        area = shapely.area(triangles)
        return cls(outline, corners, np.cumsum(area) / area.sum())

    def draw(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Places in the area, evenly at random.

        Parameters
        ----------
        n : int
            How many.
        rng : numpy.random.Generator
            Source of chance.

        Returns
        -------
        (n, 2) float64
            In nm.
        """
        triangle = np.minimum(np.searchsorted(self.up_to, rng.random(n), side="right"), len(self.up_to) - 1)
        a, b, c = np.moveaxis(self.corners_nm[triangle], 1, 0)
        u, v = rng.random((2, n, 1))
        u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
        found: FloatArray = a + u * (b - a) + v * (c - a)
        return found


class Trend:
    """Density of a field as a log-linear function of second degree, which is too smooth to follow clusters.

    Parameters
    ----------
    xy_nm : (n, 2) float64
        Places of its molecules in nm.
    area : Area
        Where they may lie.
    """

    def __init__(self, xy_nm: FloatArray, area: Area):
        outline = area.outline
        x0, y0, x1, y1 = shapely.bounds(outline)
        self._low, self._size = np.array([x0, y0]), np.maximum([x1 - x0, y1 - y0], np.finfo(float).tiny)
        side = int(np.clip(np.sqrt(len(xy_nm) / _IN_BOX), 1, _BOXES))
        edges = np.linspace(0.0, 1.0, side + 1)
        counts, _ = np.histogramdd(self._within(xy_nm), bins=[edges, edges])
        low, high = np.meshgrid(edges[:-1], edges[:-1], indexing="ij"), np.meshgrid(edges[1:], edges[1:], indexing="ij")
        corners = [(self._low[a % 2] + b.ravel() * self._size[a % 2]) for a, b in enumerate((*low, *high))]
        inside = shapely.area(shapely.intersection(shapely.box(*corners), outline))
        seen = inside > 0
        middles = np.column_stack([(a + b).ravel() / 2 for a, b in zip(low, high, strict=True)])
        density = counts.ravel()[seen] / inside[seen]
        self._coefficients = np.zeros(6)
        if seen.sum() > 1 and density.mean() > 0:
            self._coefficients = _poisson_fit(_terms(middles[seen]), density / density.mean(), inside[seen])
        places = area.draw(_LOOKED_AT, np.random.default_rng(0))
        self._highest = float(np.quantile(self._at(self._within(places)), _HIGHEST))

    def share_of_highest(self, xy_nm: FloatArray) -> FloatArray:
        """Density as a share of the highest.

        Parameters
        ----------
        xy_nm : (n, 2) float64
            Places in nm.

        Returns
        -------
        (n,) float64
            From 0 to 1.
        """
        return np.minimum(self._at(self._within(xy_nm)) / self._highest, 1.0)

    def _within(self, xy_nm: FloatArray) -> FloatArray:
        return (xy_nm - self._low) / self._size

    def _at(self, places: FloatArray) -> FloatArray:
        found: FloatArray = np.exp(_terms(places) @ self._coefficients)
        return found


def _terms(places: FloatArray) -> FloatArray:
    """One, both coordinates from the middle, and their squares and product, (n, 6)."""
    x, y = places.T - 0.5
    return np.column_stack([np.ones(len(places)), x, y, x * x, x * y, y * y])


def _poisson_fit(terms: FloatArray, rate: FloatArray, weight: FloatArray) -> FloatArray:
    """Coefficients of a log-linear Poisson rate, with a small penalty, by Newton's method.

    Own code in place of scikit-learn's: that waits for ever in a process that was forked after OpenMP had started.
    """
    share, found = weight / weight.sum(), np.zeros(terms.shape[1])
    penalty = _SHRINK * np.append(0.0, np.ones(terms.shape[1] - 1))
    for _ in range(_STEPS):
        fitted = np.exp(terms @ found)
        slope = terms.T @ (share * (fitted - rate)) + penalty * found
        curvature = (terms.T * (share * fitted)) @ terms + np.diag(penalty)
        step = np.linalg.solve(curvature, slope)
        found -= step / max(1.0, float(np.abs(step).max()))
    return found


@dataclass(frozen=True, eq=False)
class Randomness:
    """Random fields like a given one.

    Attributes
    ----------
    seen : Localizations
        The given field.
    area : Area
        Where molecules may lie.
    trend : Trend
        How dense they lie there.
    """

    seen: Localizations
    area: Area
    trend: Trend

    @classmethod
    def of(cls, seen: Localizations, outline: shapely.Geometry) -> Randomness:
        """Random fields like the given one.

        Parameters
        ----------
        seen : Localizations
            The given field.
        outline : shapely geometry
            Its outline, an area in nm.
        """
        area = Area.of(outline)
        return cls(seen, area, Trend(_centers(seen)[:, :2], area))

    def draw(self, rng: np.random.Generator) -> Localizations:
        """A field of as many localizations, of molecules placed at random.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of chance.

        Returns
        -------
        Localizations
            In the order of the given ones. In 3D, molecules take the heights of the given ones in random order.
        """
        centers = _centers(self.seen)
        placed = centers[rng.permutation(len(centers))]
        placed[:, :2] = self._places(len(centers), rng)
        moved = self.seen.points_nm + (placed - centers)[self.seen.molecule]
        return Localizations(moved, self.seen.uncertainty_nm, self.seen.molecule)

    def _places(self, n: int, rng: np.random.Generator) -> FloatArray:
        found, there = [np.empty((0, 2))], 0
        while there < n:
            tried = self.area.draw(2 * n, rng)
            found.append(tried[rng.uniform(size=len(tried)) < self.trend.share_of_highest(tried)])
            there += len(found[-1])
        return np.concatenate(found)[:n]


def _centers(seen: Localizations) -> FloatArray:
    """Mean place of the detections of each molecule, (m, d)."""
    number = np.bincount(seen.molecule)
    return np.column_stack([np.bincount(seen.molecule, weights=axis) / number for axis in seen.points_nm.T])
