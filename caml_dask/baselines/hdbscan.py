"""HDBSCAN, by scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from caml_dask.baselines.checks import IntArray, at_least, checked, numbered


@dataclass(frozen=True)
class HDBSCAN:
    """Settings of HDBSCAN (Campello et al., PAKDD 2013); the defaults are scikit-learn's.

    Parameters
    ----------
    min_cluster_size : int
        Localizations of the smallest cluster.
    min_samples : int or None
        Neighbor whose distance is a localization's core distance; None takes `min_cluster_size`.
    leaf : bool
        Take the leaves of the tree of clusters, which are small and alike, in place of the most stable clusters.

    Raises
    ------
    UsageError
        A value is out of its range.
    """

    min_cluster_size: int = 5
    min_samples: int | None = None
    leaf: bool = False

    def __post_init__(self) -> None:
        at_least(2, min_cluster_size=self.min_cluster_size)
        if self.min_samples is not None:
            at_least(1, min_samples=self.min_samples)


def hdbscan(xy_nm: npt.ArrayLike, settings: HDBSCAN) -> IntArray:
    """Label localizations with HDBSCAN.

    Parameters
    ----------
    xy_nm : (n, 2) array_like of float
        Coordinates in nm.
    settings : HDBSCAN
        Smallest cluster and core neighbor.

    Returns
    -------
    (n,) int64
        Clusters from 0 in the order of their first localizations, -1 for noise.

    Raises
    ------
    InputError
        The input is not (n, 2) finite coordinates, or holds fewer localizations than `min_samples` (`min_cluster_size`
        where that is None), or fewer than 2.
    """
    from sklearn.cluster import HDBSCAN as Fitted

    xy = checked(xy_nm, "HDBSCAN", max(settings.min_samples or settings.min_cluster_size, 2))
    fitted = Fitted(
        min_cluster_size=settings.min_cluster_size,
        min_samples=settings.min_samples,
        cluster_selection_method="leaf" if settings.leaf else "eom",
        copy=True,
    ).fit(xy)
    return numbered(fitted.labels_.astype(np.int64), 1)
