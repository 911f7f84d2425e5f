"""The convex hull of an image, from the hulls of its tiles."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import shapely

from caml_dask.stages.shared.work import Work, xy
from caml_dask.stages.tables import HULL


def put_hull(work: Work, unit: int, points_nm: np.ndarray) -> None:
    """Keep the corners of the convex hull of a tile's localizations, (n, 2) in nm."""
    x, y = _corners(points_nm).T
    work.put(HULL, unit, pa.table({"x_nm": x, "y_nm": y}))


def hull_of(stream: Iterable[np.ndarray]) -> shapely.Geometry:
    """The convex hull of localizations that come as (m, 2) float64 in nm; it does not depend on their order."""
    corners = [_corners(xy_nm) for xy_nm in stream if len(xy_nm)]
    return shapely.normalize(shapely.MultiPoint(np.vstack(corners)).convex_hull)


def _corners(points_nm: np.ndarray) -> np.ndarray:
    # a closed line takes the coordinates as they are, where a multipoint makes an object of each
    line = shapely.linestrings(np.vstack([points_nm, points_nm[:1]]))
    found: np.ndarray = shapely.get_coordinates(shapely.convex_hull(line))
    return found


def hull_area_um2(work: Work) -> float:
    """Area of the convex hull of the image's localizations, from the hulls of its tiles."""
    hulls = [xy(work.get(HULL, tile)) for tile in range(work.partition().n_tiles)]
    return float(shapely.MultiPoint(np.vstack(hulls)).convex_hull.area) / 1e6
