"""Checks of settings and localizations that all methods share."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from caml_dask.errors import InputError, UsageError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def positive(**settings: float) -> None:
    """Reject settings that are not finite numbers above 0.

    Parameters
    ----------
    **settings : float
        Values by the names that the error gives.

    Raises
    ------
    UsageError
        A value is not; the error names the first one.
    """
    for name, value in settings.items():
        if not 0 < value < math.inf:
            raise UsageError(f"{name}={value}: give a finite number above 0")


def at_least(least: float, **settings: float) -> None:
    """Reject settings below a least value.

    Parameters
    ----------
    least : float
        Least value allowed.
    **settings : float
        Values by the names that the error gives.

    Raises
    ------
    UsageError
        A value is below it or not finite; the error names the first one.
    """
    for name, value in settings.items():
        if not least <= value < math.inf:
            raise UsageError(f"{name}={value}: give at least {least:g}")


def checked(xy_nm: npt.ArrayLike, method: str, least: int) -> FloatArray:
    """Localizations as a contiguous array, after a check.

    Parameters
    ----------
    xy_nm : (n, 2) array_like of float
        Coordinates in nm.
    method : str
        Name of the method, for the error.
    least : int
        Number of localizations that the method needs.

    Returns
    -------
    (n, 2) float64
        Coordinates in nm.

    Raises
    ------
    InputError
        The shape is another, coordinates are not finite, or there are fewer than `least` localizations.
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
    """Area of the convex hull of the localizations.

    Parameters
    ----------
    xy : (n, 2) float64
        Coordinates in nm.

    Returns
    -------
    float
        Area in nm2.

    Raises
    ------
    InputError
        The localizations lie on a line, which spans no area.
    """
    from scipy.spatial import ConvexHull, QhullError

    try:
        return float(ConvexHull(xy).volume)
    except (QhullError, ValueError):
        raise InputError(f"{len(xy)} localizations span no area: give at least three that are not on a line") from None


def numbered(cluster: IntArray, min_points: int) -> IntArray:
    """Renumber clusters from 0 by their first localizations; those under `min_points` become noise.

    Parameters
    ----------
    cluster : (n,) int64
        Any ids >= 0, -1 for noise.
    min_points : int
        Localizations of the smallest cluster.

    Returns
    -------
    (n,) int64
        Clusters from 0, -1 for noise.
    """
    labels = np.full(len(cluster), -1, dtype=np.int64)
    rows = np.flatnonzero(cluster >= 0)
    _, first, index, size = np.unique(cluster[rows], return_index=True, return_inverse=True, return_counts=True)
    kept = size >= min_points
    rank = np.full(len(size), -1, dtype=np.int64)
    rank[np.flatnonzero(kept)[np.argsort(first[kept])]] = np.arange(int(kept.sum()))
    labels[rows] = rank[index]
    return labels
