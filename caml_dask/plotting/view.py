"""What of an image is drawn: a rectangle, its localizations as they are read, and the outlines in it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import shapely

from caml_dask.errors import UsageError
from caml_dask.io.exporters.columns import finite_rows
from caml_dask.io.exporters.exporter import Exportable

Bounds: TypeAlias = tuple[float, float, float, float]
Region: TypeAlias = Sequence[float] | int
"""x0, y0, x1, y1 in nm; or the cluster_id of a cluster, whose surroundings are shown."""

_AROUND = 0.5  # of a cluster, as a share of its longer side, on each side of it
_LEAST_NM = 50.0
_MARGIN = 0.02


def bounds_of(image: Exportable, region: Region | None) -> Bounds:
    """The rectangle that is drawn.

    Parameters
    ----------
    image : Exportable
        What it is of.
    region : sequence of float, int or None
        Four numbers in nm, a cluster_id, or None for the whole image with a margin.

    Returns
    -------
    tuple of float
        x0, y0, x1, y1 in nm.

    Raises
    ------
    UsageError
        A region that spans no area, or a cluster that there is not or that has no outline.
    """
    if region is None:
        x0, y0, x1, y1 = image.bounds_nm
        margin = max(_MARGIN * max(x1 - x0, y1 - y0), 1.0)
        return x0 - margin, y0 - margin, x1 + margin, y1 + margin
    if isinstance(region, int | np.integer):
        return _around(image, int(region))
    try:
        x0, y0, x1, y1 = (float(value) for value in region)
    except (TypeError, ValueError):
        raise UsageError(
            f"region={region!r} is no rectangle: give x0, y0, x1, y1 in nm, or the cluster_id of a cluster"
        ) from None
    if not (x0 < x1 and y0 < y1 and all(map(math.isfinite, (x0, y0, x1, y1)))):
        raise UsageError(f"region={region!r} spans no area: give x0, y0, x1, y1 in nm, with x0 < x1 and y0 < y1")
    return x0, y0, x1, y1


def _around(image: Exportable, cluster_id: int) -> Bounds:
    for table in image.outlines():
        row = np.flatnonzero(table["cluster_id"].to_numpy() == cluster_id)
        if len(row) and (outline := shapely.from_wkb(table.column(1)[int(row[0])].as_py())) is not None:
            x0, y0, x1, y1 = outline.bounds
            half = (0.5 + _AROUND) * max(x1 - x0, y1 - y0, _LEAST_NM)
            x, y = (x0 + x1) / 2, (y0 + y1) / 2
            return x - half, y - half, x + half, y + half
    raise UsageError(
        f"region={cluster_id}: {image.image_id} has no cluster of this cluster_id with an outline: take one of "
        ".clusters, or give x0, y0, x1, y1 in nm"
    )


def points_in(
    image: Exportable, bounds: Bounds, columns: Sequence[str]
) -> Iterator[tuple[npt.NDArray[np.float64], pa.RecordBatch]]:
    """Localizations in a rectangle, as they are read.

    Parameters
    ----------
    image : Exportable
        What they are of.
    bounds : tuple of float
        x0, y0, x1, y1 in nm, both ends included.
    columns : sequence of str
        Columns to read beside the coordinates.

    Yields
    ------
    tuple
        (n, 2) coordinates in nm, and the rows of the points; those that were not analyzed are left out.
    """
    x0, y0, x1, y1 = bounds
    for batch in image.points(list(dict.fromkeys(("x_nm", "y_nm", "cluster_id", *columns)))):
        rows = finite_rows(batch)
        x, y = rows.column("x_nm").to_numpy(), rows.column("y_nm").to_numpy()
        inside = (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
        if not inside.all():
            rows, x, y = rows.filter(pa.array(inside)), x[inside], y[inside]
        if len(x):
            yield np.column_stack([x, y]), rows


def outlines_in(image: Exportable, bounds: Bounds) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.object_]]:
    """Outlines of clusters that come into a rectangle.

    Parameters
    ----------
    image : Exportable
        What they are of.
    bounds : tuple of float
        x0, y0, x1, y1 in nm.

    Returns
    -------
    tuple
        (c,) cluster_id, and (c,) shapely geometries in nm.
    """
    x0, y0, x1, y1 = bounds
    ids, found = [np.zeros(0, np.int64)], [np.zeros(0, object)]
    for table in image.outlines():
        shapes = np.asarray(shapely.from_wkb(table.column(1).to_numpy()), dtype=object)
        low_x, low_y, high_x, high_y = shapely.bounds(shapes).reshape(-1, 4).T
        seen = (low_x <= x1) & (high_x >= x0) & (low_y <= y1) & (high_y >= y0)
        ids.append(table["cluster_id"].to_numpy()[seen])
        found.append(shapes[seen])
    return np.concatenate(ids), np.concatenate(found)


def rings_of(shapes: npt.NDArray[np.object_]) -> tuple[list[npt.NDArray[np.float64]], npt.NDArray[np.int64]]:
    """The rings of outlines: the outer one of each part, and those of its holes.

    Parameters
    ----------
    shapes : (c,) shapely geometries
        Outlines in nm; None has no ring.

    Returns
    -------
    tuple
        (k, 2) coordinates of each ring, whose last point is the first again, and (rings,) which of the shapes each is
        of.
    """
    parts, of_part = shapely.get_parts(shapes, return_index=True)
    rings, of_ring = shapely.get_rings(parts, return_index=True)
    return [shapely.get_coordinates(ring) for ring in rings], np.asarray(of_part[of_ring])
