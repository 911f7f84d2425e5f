"""Which spots of an image are magnified: where there are most clusters, and around clusters that show something."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from caml_dask.overview.raster import Bounds, FloatArray, kept_square, zoom_bounds

_AROUND = 8.0  # radii of gyration along the side of a spot around a cluster: some three diameters of a disc
_LEAST_NM = 50.0
_STEPS = 1 << 20  # scores are summed as whole numbers of this part, so that no order of them matters


@dataclass(frozen=True, eq=False)
class Found:
    """What is known of c clusters.

    Parameters
    ----------
    centroids_nm : (c, 2) float64
        Their centroids.
    n_localizations : (c,) float64
        Localizations in each.
    area_nm2 : (c,) float64
        Areas of their outlines.
    radius_nm : (c,) float64
        Radii of gyration.
    score : (c,) float64 or None
        The network's mean score for clustered of the members of each; None from a method, which scores nothing.
    """

    centroids_nm: FloatArray
    n_localizations: FloatArray
    area_nm2: FloatArray
    radius_nm: FloatArray
    score: FloatArray | None


class MeanScores:
    """The mean score of the members of each cluster, the same bits however they come.

    Parameters
    ----------
    ids : (c,) int64
        cluster_id of each cluster, ascending.
    """

    def __init__(self, ids: npt.NDArray[np.int64]):
        self._ids = ids
        self._sums, self._members = np.zeros(len(ids), np.int64), np.zeros(len(ids), np.int64)

    def add(self, cluster_id: npt.NDArray[np.int64], scores: npt.NDArray[np.float32]) -> None:
        """Take in (n,) members of clusters with their scores."""
        place = np.searchsorted(self._ids, cluster_id)
        np.add.at(self._sums, place, np.rint(scores.astype(np.float64) * _STEPS).astype(np.int64))
        np.add.at(self._members, place, 1)

    def means(self) -> FloatArray:
        """(c,) float64."""
        return np.asarray(self._sums / np.maximum(self._members, 1) / _STEPS)


def spots_of(found: Found, bounds_nm: Bounds) -> list[tuple[str, Bounds]]:
    """Names and squares of the spots that are magnified.

    They are the square with most clusters, and the surroundings of the typical cluster, whose number of localizations
    and area come closest to the medians; of the largest one, by area; and, if there are scores, of the one with the
    lowest. Of equal clusters the one with the lower coordinates is taken, so that no order of them matters. A cluster
    is shown once.

    Parameters
    ----------
    found : Found
        The clusters.
    bounds_nm : tuple of float
        x0, y0, x1, y1 of the image.

    Returns
    -------
    list of (str, tuple of float)
        At most four; without clusters, the middle of the image.
    """
    c = len(found.area_nm2)
    width_nm = float(2 * np.sqrt(np.median(found.area_nm2) / np.pi)) if c else 0.0
    crowd = zoom_bounds(found.centroids_nm, bounds_nm, width_nm)
    if c == 0:
        return [("middle", crowd)]
    chosen = {
        "typical": _first(_off_median(found.n_localizations) * _off_median(found.area_nm2), found),
        "largest": _first(-found.area_nm2, found),
    }
    if found.score is not None:
        chosen["least certain"] = _first(found.score, found)
    shown = dict[int, str]()
    for name, cluster in chosen.items():
        shown.setdefault(cluster, name)
    return [("most clusters", crowd), *((name, _around(found, k, bounds_nm)) for k, name in shown.items())]


def _off_median(values: FloatArray) -> FloatArray:
    """By which factor each differs from the median, 1 or more; of a median of 0, the first come as good as others."""
    middle = float(np.median(values))
    if middle <= 0:
        return np.ones(len(values))
    with np.errstate(divide="ignore"):
        return np.maximum(values / middle, middle / values)


def _first(measure: FloatArray, found: Found) -> int:
    """The cluster of the smallest measure."""
    x, y = found.centroids_nm.T
    return int(np.lexsort((y, x, measure))[0])


def _around(found: Found, cluster: int, bounds_nm: Bounds) -> Bounds:
    side = max(_AROUND * float(found.radius_nm[cluster]), _LEAST_NM)
    x, y = found.centroids_nm[cluster].tolist()
    return kept_square(x, y, side, bounds_nm)
