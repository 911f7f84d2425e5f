"""DBSCAN, as scikit-learn has it."""

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
    eps_nm : radius within which neighbors are counted and linked.
    min_points : localizations within eps_nm, itself among them, that make one a core of a cluster.

    Raises
    ------
    UsageError : a value out of its range.
    """

    eps_nm: float = 20.0
    min_points: int = 3

    def __post_init__(self) -> None:
        positive(eps_nm=self.eps_nm)
        at_least(1, min_points=self.min_points)


def dbscan(xy_nm: npt.ArrayLike, settings: DBSCAN) -> IntArray:
    """Label localizations with DBSCAN: (n, 2) in nm to (n,), -1 for noise.

    Raises
    ------
    InputError : not (n, 2) finite coordinates.
    """
    from sklearn.cluster import DBSCAN as Fitted

    xy = checked(xy_nm, "DBSCAN", 1)
    found = Fitted(eps=settings.eps_nm, min_samples=settings.min_points).fit(xy).labels_
    return numbered(found.astype(np.int64), 1)
