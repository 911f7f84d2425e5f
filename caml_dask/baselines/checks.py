"""What all methods ask of settings and localizations."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from caml_dask.errors import InputError, UsageError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def positive(**settings: float) -> None:
    """Refuse settings that are not finite numbers above 0.

    Raises
    ------
    UsageError : the first one that is not.
    """
    for name, value in settings.items():
        if not 0 < value < math.inf:
            raise UsageError(f"{name}={value}: give a finite number above 0")


def at_least(least: float, **settings: float) -> None:
    """Refuse settings below a least value.

    Raises
    ------
    UsageError : the first one that is, or that is not finite.
    """
    for name, value in settings.items():
        if not least <= value < math.inf:
            raise UsageError(f"{name}={value}: give at least {least:g}")


def checked(xy_nm: npt.ArrayLike, method: str, least: int) -> FloatArray:
    """Localizations as (n, 2) float64.

    Raises
    ------
    InputError : another shape, coordinates that are not finite, or fewer than `least` localizations.
    """
    xy = np.ascontiguousarray(xy_nm, dtype=np.float64)
    if xy.ndim != 2 or xy.shape[1] != 2:
        raise InputError(f"{method} takes localizations in the plane, (n, 2) in nm; got {xy.shape}: leave out z")
    bad = ~np.isfinite(xy).all(axis=1)
    if bad.any():
        raise InputError(f"{int(bad.sum())} localizations are not finite: drop them", row=int(np.flatnonzero(bad)[0]))
    if len(xy) < least:
        raise InputError(f"{method} needs {least} localizations; the field has {len(xy)}: lower its settings")
    return xy


def hull_area_nm2(xy: FloatArray) -> float:
    """Area of the convex hull of the localizations, (n, 2), in nm2.

    Raises
    ------
    InputError : localizations on a line, which span no area.
    """
    from scipy.spatial import ConvexHull, QhullError

    try:
        return float(ConvexHull(xy).volume)
    except (QhullError, ValueError):
        raise InputError(f"{len(xy)} localizations span no area: give at least three that are not on a line") from None


def field_area_nm2(xy: FloatArray, area_um2: float | None) -> float:
    """Area of the field in nm2: the one given, or that of the convex hull of the localizations, (n, 2).

    Raises
    ------
    InputError : none given, and localizations on a line.
    """
    return hull_area_nm2(xy) if area_um2 is None else 1e6 * area_um2


def numbered(cluster: IntArray, min_points: int) -> IntArray:
    """Clusters renumbered from 0 by their first localizations; those under `min_points` become noise.

    Parameters
    ----------
    cluster : (n,) any ids >= 0, -1 for noise.
    """
    labels = np.full(len(cluster), -1, dtype=np.int64)
    rows = np.flatnonzero(cluster >= 0)
    _, first, index, size = np.unique(cluster[rows], return_index=True, return_inverse=True, return_counts=True)
    kept = size >= min_points
    rank = np.full(len(size), -1, dtype=np.int64)
    rank[np.flatnonzero(kept)[np.argsort(first[kept])]] = np.arange(int(kept.sum()))
    labels[rows] = rank[index]
    return labels
