"""DBSCAN, by scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from caml_dask.baselines.checks import IntArray, at_least, checked, numbered, positive


@dataclass(frozen=True)
class DBSCAN:
    """Settings of DBSCAN (Ester et al., KDD 1996); the defaults are those of Clus-DoC (Pageon et al., MBoC 2016).

    Parameters
    ----------
    eps_nm : float
        Radius in nm within which neighbors are counted and linked.
    min_points : int
        Localizations within `eps_nm`, itself among them, that make one a core of a cluster.

    Raises
    ------
    UsageError
        A value is out of its range.
    """

    eps_nm: float = 20.0
    min_points: int = 3

    def __post_init__(self) -> None:
        positive(eps_nm=self.eps_nm)
        at_least(1, min_points=self.min_points)


def dbscan(xy_nm: npt.ArrayLike, settings: DBSCAN) -> IntArray:
    """Label localizations with DBSCAN.

    Parameters
    ----------
    xy_nm : (n, 2) array_like of float
        Coordinates in nm.
    settings : DBSCAN
        Radius and smallest neighborhood.

    Returns
    -------
    (n,) int64
        Clusters from 0 in the order of their first localizations, -1 for noise.

    Raises
    ------
    InputError
        The input is not (n, 2) finite coordinates, or empty.
    """
    from sklearn.cluster import DBSCAN as Fitted

    xy = checked(xy_nm, "DBSCAN", 1)
    found = Fitted(eps=settings.eps_nm, min_samples=settings.min_points).fit(xy).labels_
    return numbered(found.astype(np.int64), 1)
