"""Outlines of simulated cells: the region a simulated field fills."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from caml_dask.errors import UsageError

FIELD_NM = 40_000.0
KNOTS = 50
BASE_RADIUS_NM = 10_000.0
ROUGHNESS_NM = 4_000.0
OUTLINE_VERTICES = 1_000


@dataclass(frozen=True, eq=False)
class Cell:
    """A region bounded by a polygon, all of which is visible from its center.

    Parameters
    ----------
    center_nm : (2,) float64
        Center in nm.
    outline_nm : (m, 2) float64
        Vertices in nm, counter-clockwise at equal angles around the center from the direction of x, the first not
        repeated.
    """

    center_nm: NDArray[np.float64]
    outline_nm: NDArray[np.float64]

    @property
    def area_um2(self) -> float:
        """Area inside the polygon, in um2 (float)."""
        return float(self._triangles_nm2().sum() / 1e6)

    def polygon(self) -> shapely.Polygon:
        """The outline as a polygon.

        Returns
        -------
        shapely.Polygon
            The outline in nm.
        """
        return shapely.Polygon(self.outline_nm)

    def contains(self, xy_nm: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which points lie inside or on the outline.

        Parameters
        ----------
        xy_nm : (n, 2) float64
            Points in nm.

        Returns
        -------
        (n,) bool
            True inside or on the outline.
        """
        spoke = xy_nm - self.center_nm
        m = len(self.outline_nm)
        turn = np.arctan2(spoke[:, 1], spoke[:, 0]) / (2 * np.pi)
        k = np.floor((turn % 1.0) * m).astype(np.int64) % m
        start = self.outline_nm[k]
        edge = self.outline_nm[(k + 1) % m] - start
        gap = xy_nm - start
        inside: NDArray[np.bool_] = edge[:, 0] * gap[:, 1] - edge[:, 1] * gap[:, 0] >= 0
        return inside

    def sample(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw points uniform in the cell.

        Parameters
        ----------
        n : int
            Number of points.
        rng : numpy.random.Generator
            The only source of chance.

        Returns
        -------
        (n, 2) float64
            Points in nm.
        """
        cumulative = np.cumsum(self._triangles_nm2())
        pick = np.searchsorted(cumulative, rng.random(n) * cumulative[-1], side="right")
        pick = np.minimum(pick, len(cumulative) - 1)
        a = self.outline_nm[pick] - self.center_nm
        b = self.outline_nm[(pick + 1) % len(self.outline_nm)] - self.center_nm
        u, v = rng.random((2, n, 1))
        fold = u + v > 1
        u, v = np.where(fold, 1 - u, u), np.where(fold, 1 - v, v)
        return np.asarray(self.center_nm + u * a + v * b)

    def sample_shrunk(self, n: int, margin_nm: float, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw points uniform among those farther than a margin from the outline.

        Parameters
        ----------
        n : int
            Number of points.
        margin_nm : float
            Distance to the outline in nm.
        rng : numpy.random.Generator
            The only source of chance.

        Returns
        -------
        (n, 2) float64
            Points in nm.

        Raises
        ------
        UsageError
            The cell is too small to hold such points.
        """
        shrunk = self.polygon().buffer(-margin_nm)
        if shrunk.is_empty:
            raise UsageError(
                f"a cell of {self.area_um2:.3g} um2 has no point farther than {margin_nm:.3g} nm from its outline:"
                " simulate a larger cell or smaller clusters"
            )
        shapely.prepare(shrunk)
        share = shrunk.area / (self.area_um2 * 1e6)
        kept = [np.empty((0, 2))]
        missing = n
        while missing > 0:
            drawn = self.sample(int(missing / share * 1.05) + 16, rng)
            drawn = drawn[shapely.contains_xy(shrunk, drawn)][:missing]
            kept.append(drawn)
            missing -= len(drawn)
        return np.concatenate(kept)

    def _triangles_nm2(self) -> NDArray[np.float64]:
        """Areas of the triangles between the center and each edge: (m,) float64."""
        a = self.outline_nm - self.center_nm
        b = np.roll(a, -1, axis=0)
        return np.asarray(0.5 * (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]))


def draw_cell(
    rng: np.random.Generator,
    *,
    base_radius_nm: float = BASE_RADIUS_NM,
    roughness_nm: float = ROUGHNESS_NM,
    field_nm: float = FIELD_NM,
) -> Cell:
    """Draw a cell like a T cell's footprint in TIRF, at the center of a square field (Williamson et al. 2020).

    The outline passes 50 knots at equal angles, at radius `base_radius_nm` + U(0, 1) `roughness_nm`; between them the
    radius follows a periodic cubic spline of the angle, so that the outline never crosses itself.

    Parameters
    ----------
    rng : numpy.random.Generator
        The only source of chance.
    base_radius_nm : float
        Smallest radius of a knot in nm.
    roughness_nm : float
        Range of the knots' radii in nm.
    field_nm : float
        Side of the field in nm.

    Returns
    -------
    Cell
        The cell, centered at (field_nm / 2, field_nm / 2).

    Raises
    ------
    UsageError
        The radii are not positive, or reach beyond the field.
    """
    if not (base_radius_nm > 0 <= roughness_nm and 2 * (base_radius_nm + roughness_nm) <= field_nm):
        raise UsageError(
            f"a cell of radius {base_radius_nm} to {base_radius_nm + roughness_nm} nm does not fit a field of"
            f" {field_nm} nm: give a positive radius and a field at least twice as wide as the largest"
        )
    from scipy.interpolate import CubicSpline

    angles = np.linspace(0, 2 * np.pi, KNOTS + 1)
    radii = base_radius_nm + roughness_nm * rng.random(KNOTS)
    spline = CubicSpline(angles, np.append(radii, radii[0]), bc_type="periodic")
    fine = 2 * np.pi * np.arange(OUTLINE_VERTICES) / OUTLINE_VERTICES
    center = np.array([field_nm / 2, field_nm / 2])
    spokes = spline(fine)[:, None] * np.column_stack([np.cos(fine), np.sin(fine)])
    return Cell(center, center + spokes)
