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
    r_nm : radius within which neighbors are counted.
    threshold_nm : L(r) from which on a localization is clustered; r_nm is what complete randomness gives, and twice
        that, the default, a neighborhood four times denser than the field.
    link_nm : clustered localizations within this distance belong together; None takes r_nm.
    min_points : localizations of the smallest cluster.
    area_um2 : area of the field; None takes the convex hull of the localizations.

    Raises
    ------
    UsageError : a value out of its range.
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
    """L(r) of each localization in nm: (n,), sqrt(area x neighbors within r / (pi (n - 1))).

    Raises
    ------
    InputError : not (n, 2) finite coordinates, or fewer than 2.
    """
    from scipy.spatial import cKDTree

    xy = checked(xy_nm, "the local L(r)", 2)
    counts = counts_within(cKDTree(xy), xy, r_nm)
    return np.sqrt(area_nm2 * counts / (math.pi * (len(xy) - 1)))


def getis_franklin(xy_nm: npt.ArrayLike, settings: GetisFranklin) -> IntArray:
    """Label localizations by their local L(r): (n, 2) in nm to (n,), -1 for noise.

    Raises
    ------
    InputError : not (n, 2) finite coordinates, or no area to speak of.
    """
    xy = checked(xy_nm, "Getis and Franklin's analysis", 2)
    area = field_area_nm2(xy, settings.area_um2)
    kept = np.flatnonzero(local_l_nm(xy, settings.r_nm, area) >= settings.threshold_nm)
    cluster = np.full(len(xy), -1, dtype=np.int64)
    cluster[kept] = components_within(xy[kept], settings.r_nm if settings.link_nm is None else settings.link_nm)
    return numbered(cluster, settings.min_points)
