"""What the page has to know of an image before it draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from caml_dask.results.words import finder_of
from caml_dask.schema import CLUSTERS, CLUSTERS_3D
from caml_dask.viewer.clusters import LEAST_PX, Clusters
from caml_dask.viewer.pyramid import TILE_PX

MOST_POINTS = 100_000
"""Localizations of a view that are drawn one by one; of more, their counts in pixels are."""
MOST_OUTLINES = 2_000
"""Outlines of a view that are drawn."""
_FIGURES = ("image_id", "path", "localizations", "percent_clustered", "clusters", "clusters_per_um2", "bounds_nm")
_MEANINGS = {column.name: column.meaning for column in (*CLUSTERS_3D, *CLUSTERS)}
_TYPES = {column.name: column.type for column in (*CLUSTERS_3D, *CLUSTERS)}


@dataclass(frozen=True)
class Grid:
    """The levels of pixels in which localizations are counted, the finest first.

    Parameters
    ----------
    channels : sequence of str
        Names of the channels.
    pixel_nm : float
        Side of the finest pixels; those of each further level are twice as large.
    origin_nm : tuple of float
        x and y of the corner of the first pixel of every level.
    shapes : sequence of tuple of int
        Rows and columns of each level.
    brightest : sequence of sequence of int
        The count that is drawn brightest, of each channel of each level.
    """

    channels: Sequence[str]
    pixel_nm: float
    origin_nm: tuple[float, float]
    shapes: Sequence[tuple[int, int]]
    brightest: Sequence[Sequence[int]]


def about(clusters: Clusters, has_score: bool, grid: Grid, summary: Mapping[str, Any]) -> dict[str, Any]:
    """An image in words and numbers.

    Parameters
    ----------
    clusters : Clusters
        Its clusters.
    has_score : bool
        Whether its localizations have scores.
    grid : Grid
        Where localizations are counted.
    summary : mapping
        Its part of summary.json.

    Returns
    -------
    dict
        As JSON can hold it.
    """
    return {
        **{name: summary[name] for name in _FIGURES},
        "by": " ".join(finder_of(summary["network"], summary.get("method"))),
        "warnings": summary["warnings"],
        "rows": len(clusters),
        "measures": [
            {"name": name, "meaning": _MEANINGS[name], "truth": pa.types.is_boolean(_TYPES[name])}
            for name in clusters.names
        ],
        "has_score": has_score,
        "tile_px": TILE_PX,
        **asdict(grid),
        "most_points": MOST_POINTS,
        "most_outlines": MOST_OUTLINES,
        "least_px": LEAST_PX,
    }
