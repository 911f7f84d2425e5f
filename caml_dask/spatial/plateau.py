"""A radius for DBSCAN from the data: where clusters stay nearly the same over the widest range of radii.

The idea is FINDER's (Verzelli et al., Nature Communications 13, 2022): of the true structure, a range of parameters
finds the same clusters, while those that a parameter makes come and go with it. Radii are tried in steps of 10 %. From
one to the next, clusters of DBSCAN only grow, appear and merge; the agreement of two successive radii is the share of
the localizations in clusters of the larger one that were together already, in the largest part of their cluster. The
radius that is taken has the highest mean agreement within a factor of 1.33 around it. Left out are radii at which the
largest cluster of each field holds more than half of the localizations, and those at which fewer than 2 % are in
clusters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from caml_dask.spatial.blocks import BlockIndex
from caml_dask.spatial.density import dense, linked, nearest_within
from caml_dask.spatial.neighbors import nearest

STEP = 1.1
"""Factor from one radius that is tried to the next."""
_AROUND = 3  # steps to either side over which agreement is averaged
_MOST_STEPS = 80
_MOST_IN_ONE, _LEAST_CLUSTERED = 0.5, 0.02
_FLAT = 0.05  # what the plateau's steps may lack of its mean agreement


@dataclass(frozen=True)
class Plateau:
    """A radius and how flat the choice is.

    Attributes
    ----------
    radius_nm : float
        The radius.
    from_nm, to_nm : float
        Range of radii around it over which successive clusterings agree about as well.
    agreement : float
        Mean agreement of successive radii around it, from 0 to 1.
    """

    radius_nm: float
    from_nm: float
    to_nm: float
    agreement: float


def plateau_of(fields: Sequence[np.ndarray], min_samples: int) -> Plateau | None:
    """The radius on the widest plateau.

    Parameters
    ----------
    fields : sequence of (n, d) float64
        Parts of an image, in nm.
    min_samples : int
        As of DBSCAN.

    Returns
    -------
    Plateau or None
        None where the fields have no range of radii with clusters.
    """
    radii = radii_to_try(fields, min_samples)
    if len(radii) < 2:
        return None
    indexes = [BlockIndex.build(field) for field in fields]
    before, agreed, allowed = None, [], []
    for radius in radii:
        found = [clusters_within(index, float(radius), min_samples) for index in indexes]
        clustered = sum(int((one >= 0).sum()) for one in found)
        largest = sum(int(np.bincount(one[one >= 0], minlength=1).max()) for one in found)
        total = sum(len(one) for one in found)
        allowed.append(clustered >= _LEAST_CLUSTERED * total and largest <= _MOST_IN_ONE * total)
        if before is not None:
            kept = sum(_kept(*pair) for pair in zip(before, found, strict=True))
            agreed.append(kept / clustered if clustered else 0.0)
        before = found
    agreement, usable = np.array(agreed), np.array(allowed)
    agreement[~(usable[1:] & usable[:-1])] = 0.0
    # of radius i: the steps that end and begin around it
    mean = np.array([agreement[max(0, i - _AROUND) : i + _AROUND].sum() / (2 * _AROUND) for i in range(len(radii))])
    best = int(np.argmax(np.where(usable, mean, -1.0)))
    if not usable[best] or mean[best] == 0:
        return None
    least = (1 - _FLAT) * mean[best]
    first, last = best, best
    while first > 0 and agreement[first - 1] >= least:
        first -= 1
    while last < len(agreement) and agreement[last] >= least:
        last += 1
    return Plateau(float(radii[best]), float(radii[first]), float(radii[last]), float(mean[best]))


def radii_to_try(fields: Sequence[np.ndarray], min_samples: int) -> np.ndarray:
    """Radii in steps of STEP, from the first that makes some localizations cores to one that makes nearly all of them.

    Parameters
    ----------
    fields : sequence of (n, d) float64
        Parts of an image, in nm.
    min_samples : int
        As of DBSCAN.

    Returns
    -------
    (m,) float64
        In nm, ascending.
    """
    k = max(min_samples - 1, 1)
    found = [nearest(BlockIndex.build(field), k).window_nm for field in fields if len(field) > k]
    reach = np.concatenate([np.zeros(0), *found])
    reach = reach[reach > 0]
    if not len(reach):
        return np.zeros(0)
    middle = float(np.median(reach))
    low, high = np.log(np.quantile(reach, [0.01, 0.99]) / middle) / np.log(STEP)
    first, last = int(np.floor(low)), int(np.ceil(high))
    return middle * STEP ** np.arange(first, min(last, first + _MOST_STEPS) + 1, dtype=np.float64)


def clusters_within(index: BlockIndex, radius_nm: float, min_samples: int) -> np.ndarray:
    """Clusters of DBSCAN, with the rule for borders of :class:`caml_dask.methods.DBSCAN`.

    Parameters
    ----------
    index : BlockIndex
        The localizations.
    radius_nm : float
        Radius in nm, closed.
    min_samples : int
        Localizations within it that make one a core, itself among them.

    Returns
    -------
    (n,) int64
        A number of the cluster of each row; -1 for none.
    """
    cluster = np.full(index.n, -1, dtype=np.int64)
    core = np.flatnonzero(dense(index, index.n, radius_nm, min_samples))
    if len(core):
        points = np.empty(index.points_nm.T.shape)
        points[index.order] = index.points_nm.T
        of_cores = BlockIndex.build(points[core])
        component = linked(of_cores, radius_nm)
        cluster[core] = component
        others = np.flatnonzero(cluster < 0)
        joined = nearest_within(of_cores, points[others], radius_nm)
        cluster[others[joined >= 0]] = component[joined[joined >= 0]]
    return cluster


def _kept(before: np.ndarray, after: np.ndarray) -> int:
    """Localizations that were together already in the largest part of their cluster."""
    both = (before >= 0) & (after >= 0)
    if not both.any():
        return 0
    width = int(before.max()) + 1
    pair, count = np.unique(after[both] * width + before[both], return_counts=True)
    largest = np.zeros(int(after.max()) + 1, np.int64)
    np.maximum.at(largest, pair // width, count)
    return int(largest.sum())
