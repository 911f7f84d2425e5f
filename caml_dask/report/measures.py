"""What a report compares: five measures of an image, three of which are medians over its clusters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Measure:
    """One measure.

    name : column of the clusters whose median it is, or key of the image's summary
    label, unit : as readers see them
    of_clusters : whether every cluster has a value of its own
    """

    name: str
    label: str
    unit: str
    of_clusters: bool


_FIELD = (
    Measure("clusters_per_um2", "Clusters per area", "per µm²", False),
    Measure("percent_clustered", "Percent clustered", "%", False),
    Measure("n_localizations", "Points per cluster", "localizations", True),
)
_PLANE = (
    Measure("area_nm2", "Area of a cluster", "nm²", True),
    Measure("density_per_um2", "Density in a cluster", "localizations per µm²", True),
)
_SPACE = (
    Measure("volume_nm3", "Volume of a cluster", "nm³", True),
    Measure("density_per_um3", "Density in a cluster", "localizations per µm³", True),
)
COLUMNS = tuple(m.name for m in (*_FIELD, *_PLANE, *_SPACE) if m.of_clusters)
"""Columns of the clusters that a report reads, of those that are there."""


def measures_of(columns: set[str]) -> tuple[Measure, ...]:
    """The measures that images with these columns of clusters have, in 2D or in 3D."""
    return tuple(m for m in (*_FIELD, *_PLANE, *_SPACE) if not m.of_clusters or m.name in columns)


def values_of(summary: Mapping[str, Any], clusters: Mapping[str, npt.NDArray[np.float64]]) -> dict[str, float]:
    """Each measure's value for one image; NaN if it has none, such as the medians of an image without clusters.

    Parameters
    ----------
    summary : the image's part of summary.json: localizations, area_um2; with regions of interest in_clusters too, for
        a cluster whose centroid lies in a region may have members outside.
    clusters : column to (c,) values, NaN for null.
    """
    sizes = clusters["n_localizations"]
    localizations, area = summary["localizations"], summary["area_um2"]
    in_clusters = summary["in_clusters"] if "regions" in summary else sizes.sum()
    found = {
        "clusters_per_um2": len(sizes) / area if area > 0 else np.nan,
        "percent_clustered": 100.0 * float(in_clusters) / max(1, localizations),
    }
    for name, values in clusters.items():
        known = values[~np.isnan(values)]
        found[name] = float(np.median(known)) if len(known) else np.nan
    return found
