"""How far the area of a cluster's outline would vary had other molecules of the cluster been seen: a bootstrap.

Members are drawn with replacement (Efron 1979). The outline of a resample is that of its distinct members, which are
fewer and farther apart: its b follows their own spacing, scaled to the full number of members. Resamples are smaller
than the cluster all the same, so that their quantiles would not hold the area itself: only their spread is used.
"""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import NDArray

from caml_dask.geometry.outline import closing_areas

FloatArray = NDArray[np.float64]

_SEED = 0xB007
_NORMAL = 1.96  # standard errors on either side that hold 95 %


def area_intervals(
    xy_nm: FloatArray,
    starts: NDArray[np.int64],
    b_nm: FloatArray,
    area_nm2: FloatArray,
    cluster_id: NDArray[np.int64],
    resamples: int,
) -> dict[str, FloatArray]:
    """Normal bootstrap intervals of 95 % for the areas of c clusters.

    Parameters
    ----------
    xy_nm : (m, 2) float64
        Coordinates of the members in nm, cluster by cluster, in any order within one.
    starts : (c + 1,) int64
        Members of cluster i are rows starts[i] to starts[i + 1].
    b_nm : (c,) float64
        b of each cluster in nm.
    area_nm2 : (c,) float64
        Area of each cluster's outline.
    cluster_id : (c,) int64
        Seeds of the resamples, so that they do not depend on which clusters are measured together.
    resamples : int
        Of each cluster, 2 or more.

    Returns
    -------
    dict of str to (c,) float64
        "area_low_nm2", at least 0, and "area_high_nm2"; NaN for a cluster whose members lie in one place.
    """
    spread = np.full(len(b_nm), np.nan)
    for i in np.flatnonzero(b_nm > 0):
        members = xy_nm[starts[i] : starts[i + 1]]
        members = members[np.lexsort(members.T[::-1])]
        spread[i] = _spread(members, b_nm[i], np.random.default_rng([_SEED, int(cluster_id[i])]), resamples)
    return {
        "area_low_nm2": np.maximum(area_nm2 - _NORMAL * spread, 0.0),
        "area_high_nm2": area_nm2 + _NORMAL * spread,
    }


def _spread(members: FloatArray, b_nm: float, rng: np.random.Generator, resamples: int) -> float:
    """Standard deviation of the areas of resamples, NaN where members lie in one place."""
    n, usual = len(members), _spacing(members)
    if not usual > 0:
        return float("nan")
    drawn = [members[np.unique(rows)] for rows in rng.integers(0, n, (resamples, n))]
    size = np.array([len(some) for some in drawn])
    b = b_nm * np.array([_spacing(some) for some in drawn]) / usual * np.sqrt(size / n)
    return float(closing_areas(np.concatenate(drawn), np.append(0, np.cumsum(size)), b).std(ddof=1))


def _spacing(members: FloatArray) -> float:
    """Mean distance to the nearest other member, 0 for one alone."""
    return float(scipy.spatial.cKDTree(members).query(members, k=2)[0][:, 1].mean()) if len(members) > 1 else 0.0
