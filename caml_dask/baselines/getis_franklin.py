"""Getis and Franklin's local point pattern analysis: localizations with many neighbors, connected.

References
----------
Getis and Franklin, Ecology 68 (1987), 473: L(r) of each point. Owen et al., Journal of Biophotonics 3 (2010), 446: L(r)
of localizations, thresholded into clusters. No correction is made at the edges: L(r) is low there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from caml_dask.baselines.checks import FloatArray, IntArray, at_least, checked, field_area_nm2, numbered, positive
from caml_dask.baselines.graph import components_within, counts_within


@dataclass(frozen=True)
class GetisFranklin:
    """Settings of the local point pattern analysis.

    Parameters
    ----------
    r_nm : float
        Radius in nm within which neighbors are counted.
    threshold_nm : float
        L(r) in nm from which on a localization is clustered. Complete randomness gives `r_nm`; twice that, the
        default, is a neighborhood four times denser than the field.
    link_nm : float or None
        Clustered localizations within this distance in nm belong together; None takes `r_nm`.
    min_points : int
        Localizations of the smallest cluster.
    area_um2 : float or None
        Area of the field in um2; None takes the convex hull of the localizations.

    Raises
    ------
    UsageError
        A value is out of its range.
    """

    r_nm: float = 50.0
    threshold_nm: float = 100.0
    link_nm: float | None = None
    min_points: int = 3
    area_um2: float | None = None

    def __post_init__(self) -> None:
        positive(r_nm=self.r_nm, threshold_nm=self.threshold_nm)
        at_least(1, min_points=self.min_points)
        if self.link_nm is not None:
            positive(link_nm=self.link_nm)
        if self.area_um2 is not None:
            positive(area_um2=self.area_um2)


def local_l_nm(xy_nm: npt.ArrayLike, r_nm: float, area_nm2: float) -> FloatArray:
    """L(r) of each localization, sqrt(area x neighbors within r / (pi (n - 1))).

    Parameters
    ----------
    xy_nm : (n, 2) array_like of float
        Coordinates in nm.
    r_nm : float
        Radius in nm.
    area_nm2 : float
        Area of the field in nm2.

    Returns
    -------
    (n,) float64
        L(r) in nm.

    Raises
    ------
    InputError
        The input is not (n, 2) finite coordinates of at least 2 localizations.
    """
    from scipy.spatial import cKDTree

    xy = checked(xy_nm, "the local L(r)", 2)
    counts = counts_within(cKDTree(xy), xy, r_nm)
    return np.sqrt(area_nm2 * counts / (math.pi * (len(xy) - 1)))


def getis_franklin(xy_nm: npt.ArrayLike, settings: GetisFranklin) -> IntArray:
    """Label localizations by their local L(r).

    Parameters
    ----------
    xy_nm : (n, 2) array_like of float
        Coordinates in nm.
    settings : GetisFranklin
        Radius, threshold and links.

    Returns
    -------
    (n,) int64
        Clusters from 0 in the order of their first localizations, -1 for noise.

    Raises
    ------
    InputError
        The input is not (n, 2) finite coordinates of at least 2 localizations; or no area is given, and they lie on a
        line.
    """
    xy = checked(xy_nm, "Getis and Franklin's analysis", 2)
    area = field_area_nm2(xy, settings.area_um2)
    kept = np.flatnonzero(local_l_nm(xy, settings.r_nm, area) >= settings.threshold_nm)
    cluster = np.full(len(xy), -1, dtype=np.int64)
    cluster[kept] = components_within(xy[kept], settings.r_nm if settings.link_nm is None else settings.link_nm)
    return numbered(cluster, settings.min_points)
