"""Localizations in square cells, and compiled counts of what lies around others, by distance or by displacement."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from caml_dask.compiled import njit

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
_MOST_CELLS = 1 << 22
NOBODY = -1


@dataclass(frozen=True)
class Cells:
    """Localizations sorted into square cells of x and y.

    Attributes
    ----------
    points_nm : (n, d) float64
        Coordinates in nm, cell by cell.
    rows : (n,) int64
        The caller's row of each; a localization and its images beyond a periodic side share one.
    starts : (nx * ny + 1,) int64
        Where each cell begins.
    x0_nm, y0_nm, side_nm : float
        Lower corner of the first cell, and the side of all, in nm.
    nx, ny : int
        Cells along x and y.
    """

    points_nm: FloatArray
    rows: IntArray
    starts: IntArray
    x0_nm: float
    y0_nm: float
    side_nm: float
    nx: int
    ny: int

    @classmethod
    def build(cls, points_nm: FloatArray, reach_nm: float, rows: IntArray | None = None) -> Cells:
        """Sort localizations into cells at least as wide as the longest distance of interest.

        Parameters
        ----------
        points_nm : (n, d) float64
            Coordinates in nm.
        reach_nm : float
            Longest distance that will be asked for, in nm.
        rows : (n,) int64, optional
            Names of the localizations; their rows by default.

        Returns
        -------
        Cells
            The cells; a single empty one without localizations.
        """
        rows = np.arange(len(points_nm), dtype=np.int64) if rows is None else rows
        low = points_nm[:, :2].min(axis=0) if len(points_nm) else np.zeros(2)
        spans = np.ptp(points_nm[:, :2], axis=0) if len(points_nm) else np.zeros(2)
        side = float(reach_nm)
        while (spans[0] // side + 1) * (spans[1] // side + 1) > _MOST_CELLS:
            side *= 2
        nx, ny = (int(span // side) + 1 for span in spans)
        cell = (points_nm[:, :2] - low) // side
        place = np.minimum(cell[:, 0], nx - 1).astype(np.int64) * ny + np.minimum(cell[:, 1], ny - 1).astype(np.int64)
        order = np.argsort(place, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(place, minlength=nx * ny))]).astype(np.int64)
        sorted_nm = np.ascontiguousarray(points_nm[order])
        return cls(sorted_nm, rows[order], starts, float(low[0]), float(low[1]), side, nx, ny)

    def rings(self, queries_nm: FloatArray, step_nm: float, n_rings: int, own: IntArray | None = None) -> IntArray:
        """Count localizations around others, ring by ring.

        Parameters
        ----------
        queries_nm : (m, d) float64
            The others, in nm.
        step_nm : float
            Width of a ring; the last one ends at `n_rings * step_nm`, at most what the cells were built for.
        n_rings : int
            Number of rings. Ring k holds distances above k and up to k + 1 times the step; the first holds 0 as well.
        own : (m,) int64, optional
            The name of each query among the localizations, which is not counted.

        Returns
        -------
        (m, n_rings) int64
            Localizations in each ring.
        """
        own = np.full(len(queries_nm), NOBODY, dtype=np.int64) if own is None else own
        counts = np.zeros((len(queries_nm), n_rings), dtype=np.int64)
        _rings(*self._arrays, np.ascontiguousarray(queries_nm), own, float(step_nm), counts)
        return counts

    def displacements(self, queries_nm: FloatArray, groups: IntArray, bin_nm: float, half: int) -> IntArray:
        """Count pairs by the way from a query to a localization, in square bins.

        Parameters
        ----------
        queries_nm : (m, d) float64
            Where the ways begin, in nm.
        groups : (m,) int64
            Group of each query, from 0; groups are counted apart.
        bin_nm : float
            Side of a bin.
        half : int
            Bins on either side of 0 along x and y; `half * bin_nm` is at most what the cells were built for.

        Returns
        -------
        (groups, 2 * half, 2 * half) int64
            Pairs by group, way along x, and way along y.
        """
        counts = np.zeros((int(groups.max(initial=0)) + 1, 2 * half, 2 * half), dtype=np.int64)
        _displacements(*self._arrays, np.ascontiguousarray(queries_nm), groups, float(bin_nm), half, counts)
        return counts

    @property
    def _arrays(self) -> tuple[FloatArray, IntArray, IntArray, float, float, float, int, int]:
        corner = self.x0_nm, self.y0_nm, self.side_nm
        return self.points_nm, self.rows, self.starts, *corner, self.nx, self.ny


@njit()
def _rings(points, rows, starts, x0, y0, side, nx, ny, queries, own, step, counts):  # type: ignore[no-untyped-def]
    n_rings = counts.shape[1]
    reach2 = (n_rings * step) ** 2 * (1 + 1e-12)
    for q in range(len(queries)):
        i, j = int(np.floor((queries[q, 0] - x0) / side)), int(np.floor((queries[q, 1] - y0) / side))
        for ci in range(max(0, i - 1), min(nx, i + 2)):
            low, high = max(0, j - 1), min(ny, j + 2)
            if low >= high:
                continue
            for p in range(starts[ci * ny + low], starts[ci * ny + high]):
                if rows[p] == own[q]:
                    continue
                d2 = 0.0
                for a in range(points.shape[1]):
                    d2 += (points[p, a] - queries[q, a]) ** 2
                if d2 > reach2:
                    continue
                d = np.sqrt(d2)
                k = int(d / step)
                if k > 0 and d <= k * step:
                    k -= 1
                if k < n_rings:
                    counts[q, k] += 1


@njit()
def _displacements(points, rows, starts, x0, y0, side, nx, ny, queries, groups, width, half, counts):  # type: ignore[no-untyped-def]
    for q in range(len(queries)):
        i, j = int(np.floor((queries[q, 0] - x0) / side)), int(np.floor((queries[q, 1] - y0) / side))
        for ci in range(max(0, i - 1), min(nx, i + 2)):
            low, high = max(0, j - 1), min(ny, j + 2)
            if low >= high:
                continue
            for p in range(starts[ci * ny + low], starts[ci * ny + high]):
                bx = int(np.floor((points[p, 0] - queries[q, 0]) / width)) + half
                by = int(np.floor((points[p, 1] - queries[q, 1]) / width)) + half
                if 0 <= bx < 2 * half and 0 <= by < 2 * half:
                    counts[groups[q], bx, by] += 1
