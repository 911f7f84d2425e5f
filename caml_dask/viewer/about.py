"""What the page has to know of an image before it draws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from caml_dask.results.words import finder_of
from caml_dask.schema import CLUSTERS, CLUSTERS_3D
from caml_dask.viewer.clusters import LEAST_PX
from caml_dask.viewer.pyramid import TILE_PX
from caml_dask.viewer.shelf import Prepared

MOST_POINTS = 100_000
"""Localizations of a view that are drawn one by one; of more, their counts in pixels are."""
MOST_OUTLINES = 2_000
"""Outlines of a view that are drawn."""
_FIGURES = ("image_id", "path", "localizations", "percent_clustered", "clusters", "clusters_per_um2", "bounds_nm")
_MEANINGS = {column.name: column.meaning for column in (*CLUSTERS_3D, *CLUSTERS)}
_TYPES = {column.name: column.type for column in (*CLUSTERS_3D, *CLUSTERS)}


def about(image: Prepared, summary: Mapping[str, Any]) -> dict[str, Any]:
    """An image in words and numbers.

    Parameters
    ----------
    image : Prepared
        What is drawn.
    summary : mapping
        Its part of summary.json.

    Returns
    -------
    dict
        As JSON can hold it.
    """
    pyramid = image.pyramid
    return {
        **{name: summary[name] for name in _FIGURES},
        "by": " ".join(finder_of(summary["network"], summary.get("method"))),
        "warnings": summary["warnings"],
        "rows": len(image.clusters),
        "measures": [
            {"name": name, "meaning": _MEANINGS[name], "truth": pa.types.is_boolean(_TYPES[name])}
            for name in image.clusters.names
        ],
        "has_score": "score" in image.points.names,
        "channels": pyramid.channels,
        "tile_px": TILE_PX,
        "pixel_nm": pyramid.pixel_nm,
        "origin_nm": pyramid.origin_nm,
        "shapes": pyramid.shapes,
        "brightest": image.brightest,
        "most_points": MOST_POINTS,
        "most_outlines": MOST_OUTLINES,
        "least_px": LEAST_PX,
    }
