"""Pairs of localizations counted by distance, in integers: counts of parts add up exactly, in any order.

Localizations lie in square cells, a row of cells after the other, so that what is near a localization is a few runs of
successive ones. Of a run, distances are computed first and counted then: the first loop is compiled to vectors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from caml_dask.compiled import njit

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_CELLS_A_REACH = 4  # cells along the longest distance that is counted
_LANES, _RUN = 4, 1024  # histograms that take turns, so that equal distances do not wait for each other; buffered pairs


def rings_of(distance_nm: FloatArray, step_nm: float, rings: int) -> IntArray:
    """The ring that holds each distance.

    Parameters
    ----------
    distance_nm : (n,) float64
        Distances in nm; infinite ones are beyond all rings.
    step_nm : float
        Width of a ring.
    rings : int
        Number of rings.

    Returns
    -------
    (n,) int64
        Ring k holds distances above k and up to k + 1 times the step, the first one 0 as well; `rings` is beyond all.
    """
    return np.clip(np.ceil(np.minimum(distance_nm / step_nm, rings + 1.0)) - 1, 0, rings).astype(np.int64)


@dataclass(frozen=True)
class Pairs:
    """Localizations in cells, to count the pairs that they are in.

    Attributes
    ----------
    x_nm, y_nm : (n,) float64
        Coordinates in nm, cell by cell.
    starts : (nx * ny + 1,) int64
        Where each cell begins.
    x0_nm, y0_nm, side_nm : float
        Lower corner of the first cell, and the side of all.
    nx, ny : int
        Cells along x and y.
    step_nm : float
        Width of a ring of distance.
    rings : int
        Number of rings.
    """

    x_nm: FloatArray
    y_nm: FloatArray
    starts: IntArray
    x0_nm: float
    y0_nm: float
    side_nm: float
    nx: int
    ny: int
    step_nm: float
    rings: int

    @classmethod
    def build(cls, points_nm: FloatArray, step_nm: float, rings: int) -> Pairs:
        """Sort localizations into cells.

        Parameters
        ----------
        points_nm : (n, 2) float64
            Coordinates in nm.
        step_nm : float
            Width of a ring of distance.
        rings : int
            Number of rings.

        Returns
        -------
        Pairs
            The cells, about as many as localizations at most.
        """
        low = points_nm.min(axis=0) if len(points_nm) else np.zeros(2)
        spans = np.ptp(points_nm, axis=0) if len(points_nm) else np.zeros(2)
        side = rings * step_nm / _CELLS_A_REACH
        while (spans[0] // side + 1) * (spans[1] // side + 1) > max(16, len(points_nm)):
            side *= 2
        nx, ny = (int(span // side) + 1 for span in spans)
        cell = np.minimum((points_nm - low) // side, (nx - 1, ny - 1)).astype(np.int64)
        place = cell[:, 0] * ny + cell[:, 1]
        order = np.argsort(place, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(place, minlength=nx * ny))]).astype(np.int64)
        x, y = np.ascontiguousarray(points_nm[order].T)
        return cls(x, y, starts, float(low[0]), float(low[1]), side, nx, ny, step_nm, rings)

    def among(self) -> IntArray:
        """Count the pairs among the localizations.

        Returns
        -------
        (rings,) int64
            Pairs by the ring of their distance, each once.
        """
        return self._count(self.x_nm, self.y_nm, True)

    def with_others(self, points_nm: FloatArray) -> IntArray:
        """Count the pairs of a localization and one of others.

        Parameters
        ----------
        points_nm : (m, 2) float64
            The others, in nm; none of them is among the localizations.

        Returns
        -------
        (rings,) int64
            Pairs by the ring of their distance.
        """
        x, y = np.ascontiguousarray(points_nm.T)
        return self._count(x, y, False)

    def _count(self, x: FloatArray, y: FloatArray, among: bool) -> IntArray:
        counts = np.zeros((_LANES, self.rings + 2), dtype=np.int64)
        if len(x) and len(self.x_nm):
            farthest = max(np.abs(v).max() for v in (x, y, self.x_nm, self.y_nm))
            reach = self.rings * self.step_nm * (1 + 1e-9) + 4 * float(np.spacing(farthest))
            cells = self.x_nm, self.y_nm, self.starts, self.x0_nm, self.y0_nm, self.side_nm, self.nx, self.ny
            _count(*cells, x, y, among, reach, self.step_nm, counts)
        found: IntArray = counts.sum(axis=0)[1:-1]
        return found


@njit()
def _cell(place, low, side, cells):  # type: ignore[no-untyped-def]
    return min(max(int(np.floor((place - low) / side)), 0), cells - 1)


@njit(error_model="numpy")  # a check for a step of 0 would keep the loop from vectors
def _count(px, py, starts, x0, y0, side, nx, ny, x, y, among, reach, step, counts):  # type: ignore[no-untyped-def]
    buffer = np.empty(_RUN, np.int32)
    rings = counts.shape[1] - 2
    for i in range(len(x)):
        own = int((x[i] - x0) // side) if among else -1
        for row in range(_cell(x[i] - reach, x0, side, nx), _cell(x[i] + reach, x0, side, nx) + 1):
            if among and row < min(own, nx - 1):  # these pairs are counted from the other side
                continue
            gap = max(0.0, x0 + row * side - x[i], x[i] - (x0 + (row + 1) * side))
            half = np.sqrt(max(0.0, (reach - gap) * (reach + gap))) + 1e-9 * reach
            start = starts[row * ny + _cell(y[i] - half, y0, side, ny)]
            stop = starts[row * ny + _cell(y[i] + half, y0, side, ny) + 1]
            if among and row == min(own, nx - 1):
                start = i + 1
            while start < stop:
                run = min(stop - start, _RUN)
                for q in range(run):
                    dx, dy = px[start + q] - x[i], py[start + q] - y[i]
                    buffer[q] = np.int32(min(np.ceil(np.sqrt(dx * dx + dy * dy) / step), rings + 1.0))
                for q in range(run):
                    counts[q & 3, max(buffer[q], 1)] += 1
                start += run
