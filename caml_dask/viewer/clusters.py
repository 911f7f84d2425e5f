"""The clusters of an image by columns, and the outlines in a box; of a file that is mapped, not read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import shapely
from pyarrow import ipc

from caml_dask.errors import UsageError
from caml_dask.io.exporters.columns import is_numerical, numbers
from caml_dask.io.exporters.outlined import outlines_at, polygons
from caml_dask.viewer.points import Box
from caml_dask.viewer.prepare import BOUNDS, OUTLINE

LEAST_PX = 3.0
"""Outlines smaller than this on the screen are left out."""
_ROUNDED = 0.1  # of a pixel of the screen; corners are given as whole numbers of that
_SIMPLER = 0.4  # of a pixel, by which an outline may be off


@dataclass(frozen=True)
class Range:
    """Clusters are kept whose measure lies in a closed range; null lies in none."""

    measure: str
    low: float
    high: float


class Clusters:
    """Clusters that :func:`caml_dask.viewer.prepare.prepare` wrote.

    Parameters
    ----------
    path : Path
        The Arrow file.
    """

    def __init__(self, path: Path) -> None:
        with pa.memory_map(str(path)) as mapped:
            self._table = ipc.open_file(mapped).read_all()
        hidden = {"image_id", *BOUNDS, OUTLINE}
        self.names = [f.name for f in self._table.schema if is_numerical(f.type) and f.name not in hidden]

    def __len__(self) -> int:
        return len(self._table)

    def column(self, name: str) -> npt.NDArray[np.float64]:
        """(c,) float64 values of a column by cluster_id, NaN where null.

        Raises
        ------
        UsageError
            No such column.
        """
        if name not in (*self.names, *BOUNDS):
            raise UsageError(f"clusters have no column {name!r}: use one of {', '.join(self.names)}")
        return np.concatenate([np.zeros(0), *(numbers(chunk) for chunk in self._table[name].chunks)])

    def row(self, row: int) -> dict[str, float | None]:
        """All measures of one cluster.

        Raises
        ------
        UsageError
            No such row.
        """
        self._refuse_unknown(row)
        values = {name: float(numbers(self._table[name][row : row + 1].combine_chunks())[0]) for name in self.names}
        return {name: None if math.isnan(value) else value for name, value in values.items()}

    def passing(self, ranges: Iterable[Range]) -> npt.NDArray[np.bool_]:
        """(c,) which clusters lie in all ranges."""
        kept = np.ones(len(self), dtype=bool)
        for wanted in ranges:
            values = self.column(wanted.measure)
            kept &= (values >= wanted.low) & (values <= wanted.high)
        return kept

    def outlines_inside(
        self, box: Box, px_nm: float, ranges: Iterable[Range], most: int
    ) -> tuple[int, list[dict[str, Any]]]:
        """Outlines that meet a box and are wide enough to be seen.

        Parameters
        ----------
        box : sequence of float
            x0, y0, x1, y1 in nm.
        px_nm : float
            Size of a pixel of the screen, which decides what is drawn how exactly.
        ranges : iterable of Range
            What clusters have to fulfil.
        most : int
            Of more than so many, none is returned.

        Returns
        -------
        int
            How many there are.
        list of dict
            Of each its `row` in the table of clusters, and the `rings` of its `parts` as whole multiples of `unit` nm
            from `at`.
        """
        x0, y0, x1, y1 = self._bounds.T
        with np.errstate(invalid="ignore"):
            met = (x0 <= box[2]) & (x1 >= box[0]) & (y0 <= box[3]) & (y1 >= box[1])
            seen = met & (np.maximum(x1 - x0, y1 - y0) >= LEAST_PX * px_nm)
        rows = np.flatnonzero(seen & self.passing(ranges))
        return len(rows), (self.outlines(rows, px_nm) if len(rows) <= most else [])

    def outline(self, row: int, px_nm: float) -> dict[str, Any] | None:
        """The outline of one cluster as :meth:`outlines_inside` gives it; None where it spans no area.

        Raises
        ------
        UsageError
            No such row.
        """
        self._refuse_unknown(row)
        return next(iter(self.outlines(np.array([row]), px_nm)), None)

    def outlines(self, rows: npt.NDArray[np.int64], px_nm: float) -> list[dict[str, Any]]:
        """Outlines of rows, ascending, as of :meth:`outlines_inside`; clusters that span no area are left out."""
        shapes = polygons(outlines_at(self._table[OUTLINE].chunks, rows))
        there = ~shapely.is_missing(shapes)
        rows, shapes = rows[there], shapely.force_2d(shapes[there])
        # Topology, which would take ten times as long, makes no difference that can be seen.
        simpler = shapely.simplify(shapes, _SIMPLER * px_nm, preserve_topology=False)
        shapes = np.where(shapely.is_empty(simpler), shapes, simpler)
        corners = shapely.bounds(shapes)[:, :2].tolist()
        return [_drawn(*drawn, px_nm * _ROUNDED) for drawn in zip(rows.tolist(), shapes, corners)]

    def _refuse_unknown(self, row: int) -> None:
        if not 0 <= row < len(self):
            raise UsageError(f"there is no row {row}: clusters have rows 0 to {len(self) - 1}")

    @cached_property
    def _bounds(self) -> npt.NDArray[np.float64]:
        return np.column_stack([self.column(name) for name in BOUNDS])


def _drawn(row: int, shape: Any, at: list[float], unit_nm: float) -> dict[str, Any]:
    of = shape.geoms if shape.geom_type == "MultiPolygon" else (shape,)
    parts = [[_whole(ring, at, unit_nm) for ring in (part.exterior, *part.interiors)] for part in of]
    return {"row": row, "at": at, "unit": unit_nm, "parts": parts}


def _whole(ring: Any, at: Sequence[float], unit_nm: float) -> list[int]:
    """x and y in turn of the corners of a ring."""
    found: list[int] = np.rint((shapely.get_coordinates(ring) - at) / unit_nm).astype(np.int64).reshape(-1).tolist()
    return found
