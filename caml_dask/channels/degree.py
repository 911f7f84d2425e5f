"""How a localization's own channel and another one are arranged around it: coordinate-based colocalization.

By Malkusch et al., Histochem. Cell Biol. 137, 1 (2012): the localizations of both channels within growing radii around
a localization, over the area of each, are ranked and correlated; the correlation, times exp(-d / r) for the distance d
to the nearest of the other channel and the largest radius r, is its value. Clus-DoC (Pageon et al., Mol. Biol. Cell 27,
3627, 2016) does so among those localizations alone that have more of either channel close by than randomness gives.
"""

from __future__ import annotations

import numpy as np

from caml_dask.channels.cells import FloatArray, IntArray
from caml_dask.compiled import njit


def degrees(own: IntArray, other: IntArray, nearest_nm: FloatArray, reach_nm: float, axes: int) -> FloatArray:
    """Coordinate-based colocalization of localizations from the counts around them.

    Parameters
    ----------
    own, other : (n, k) int64
        Localizations of their own channel (themselves left out) and of the other one in rings of equal width around
        them.
    nearest_nm : (n,) float64
        Distance to the nearest of the other channel, in nm.
    reach_nm : float
        Radius of the last ring, in nm.
    axes : int
        Coordinates of a localization, 2 or 3: a density is per area or per volume.

    Returns
    -------
    (n,) float64
        -1 (apart) to 1 (together); 0 where a channel has none within the last ring, or one profile is even.
    """
    found = np.zeros(len(own))
    _correlate(np.cumsum(own, axis=1), np.cumsum(other, axis=1), float(axes), found)
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(nearest_nm), found * np.exp(-nearest_nm / reach_nm), 0.0)


@njit()
def _ranks(values, ranks):  # type: ignore[no-untyped-def]
    """Ranks from 1; equal values share the mean of theirs."""
    order = np.argsort(values)
    n = len(values)
    first = 0
    while first < n:
        last = first
        while last + 1 < n and values[order[last + 1]] == values[order[first]]:
            last += 1
        for k in range(first, last + 1):
            ranks[order[k]] = 0.5 * (first + last) + 1.0
        first = last + 1


@njit()
def _correlate(own, other, power, found):  # type: ignore[no-untyped-def]
    """Spearman's correlation of two profiles of density, by the radius in steps."""
    n, k = own.shape
    a, b, ranks_a, ranks_b = np.empty(k), np.empty(k), np.empty(k), np.empty(k)
    mean = (k + 1) / 2.0
    for i in range(n):
        if own[i, k - 1] == 0 or other[i, k - 1] == 0:
            continue
        for j in range(k):
            share = (j + 1.0) ** power
            a[j] = own[i, j] / share
            b[j] = other[i, j] / share
        _ranks(a, ranks_a)
        _ranks(b, ranks_b)
        ab, aa, bb = 0.0, 0.0, 0.0
        for j in range(k):
            ab += (ranks_a[j] - mean) * (ranks_b[j] - mean)
            aa += (ranks_a[j] - mean) ** 2
            bb += (ranks_b[j] - mean) ** 2
        if aa > 0.0 and bb > 0.0:
            found[i] = ab / np.sqrt(aa * bb)
