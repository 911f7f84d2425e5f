"""What the page reads of an image, as messages of :mod:`caml_dask.viewer.packing`."""

from __future__ import annotations

import numpy as np

from caml_dask.viewer.clusters import Clusters
from caml_dask.viewer.packing import packed
from caml_dask.viewer.points import Box, Points
from caml_dask.viewer.pyramid import Pyramid


def column_pack(clusters: Clusters, name: str) -> bytes:
    """A column of the clusters: `values`, float64."""
    return packed({}, {"values": clusters.column(name)})


def tile_pack(pyramid: Pyramid, level: int, row: int, column: int) -> bytes:
    """A tile: `counts` (channels, 512, 512); no array where it is empty."""
    found = pyramid.tile(level, row, column)
    return packed({}, {} if found is None else {"counts": found})


def points_pack(points: Points, box: Box, most: int) -> bytes:
    """The localizations in a box: their `total`, and unless there are too many their columns.

    x and y are float32 from the corner `at` of the box, so that they are exact to 0.01 nm in a view of any image.
    """
    found = points.inside(box, most)
    columns = dict(found.columns)
    if columns:
        for axis, first in zip(("x_nm", "y_nm"), box):
            columns[axis] = (columns[axis] - first).astype(np.float32)
        if "z_nm" in columns:
            columns["z_nm"] = columns["z_nm"].astype(np.float32)
        columns["loc_id"] = columns["loc_id"].astype(np.float64)
    return packed({"total": found.total, "at": list(box[:2])}, columns)
