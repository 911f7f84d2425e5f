"""Regions of interest: what they are, and which localizations lie in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from caml_dask.schema import NO_REGION

LARGEST_FILE_BYTES = 256 << 20


@dataclass(frozen=True)
class Roi:
    """A region of interest.

    Parameters
    ----------
    name : str
        What users call it.
    shape : shapely.Geometry
        A valid polygon or several, in nm.
    """

    name: str
    shape: shapely.Geometry

    @property
    def area_um2(self) -> float:
        """Its area, holes excluded."""
        return float(self.shape.area) / 1e6


def apart(rois: Sequence[Roi]) -> list[Roi]:
    """Regions as valid polygons, none of which overlaps an earlier one: what two share belongs to the first.

    Parameters
    ----------
    rois : sequence of Roi
        Regions in the order of their file. A line that crosses itself encloses what it goes around an odd number of
        times.

    Returns
    -------
    list of Roi
        As many regions; one that earlier ones cover is empty.
    """
    found: list[Roi] = []
    for roi in rois:
        shape = _polygons(shapely.make_valid(roi.shape))
        for earlier in found:
            if shapely.intersects(shape, earlier.shape):
                shape = _polygons(shapely.difference(shape, earlier.shape))
        found.append(Roi(roi.name, shape))
    return found


def _polygons(shape: shapely.Geometry) -> shapely.Geometry:
    """The polygons of a geometry, without the lines and points that making it valid may leave."""
    parts = [part for part in shapely.get_parts(shape) if part.geom_type == "Polygon"]
    nested = [part for part in shapely.get_parts(shape) if part.geom_type == "MultiPolygon"]
    parts += [part for each in nested for part in shapely.get_parts(each)]
    return shapely.MultiPolygon(parts) if len(parts) != 1 else parts[0]


def region_of(rois: Sequence[Roi], xy_nm: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
    """The region that each place lies in.

    Parameters
    ----------
    rois : sequence of Roi
        Regions that do not overlap.
    xy_nm : (n, 2) float64
        Places, in nm.

    Returns
    -------
    (n,) int32
        Number of the region, from 0, its border included; of several, the first. -1 for none.
    """
    found = np.full(len(xy_nm), NO_REGION, dtype=np.int32)
    x, y = xy_nm[:, 0], xy_nm[:, 1]
    for number, roi in enumerate(rois):
        x0, y0, x1, y1 = roi.shape.bounds
        near = np.flatnonzero((found == NO_REGION) & (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1))
        shapely.prepare(roi.shape)
        found[near[shapely.intersects_xy(roi.shape, x[near], y[near])]] = number
    return found
