"""What a comparison with random fields says of an image and of each of its clusters."""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

LEAST_P = 1e-6
"""Smaller p values are given as this: so far out, nothing is known of the spread."""


def p_value(seen: ArrayLike, random: ArrayLike) -> float:
    """The chance that random fields give a mean as high as that of the fields seen.

    One field is ranked among the random ones, which is exact: p is (1 + those as high) / (1 + all). The mean of
    several is compared by Student's t with the spread of the random ones, whatever that of the fields seen is: few
    fields with clusters among many without count.

    Parameters
    ----------
    seen : (b,) array_like of float
        A figure of each field seen.
    random : (m,) array_like of float
        The same of random fields, two or more.

    Returns
    -------
    float
        From LEAST_P to 1.
    """
    fields, chance = np.asarray(seen, dtype=np.float64), np.asarray(random, dtype=np.float64)
    if len(fields) == 1:
        return float((1 + np.count_nonzero(chance >= fields[0])) / (1 + len(chance)))
    error = chance.std(ddof=1) * np.sqrt(1 / len(fields) + 1 / len(chance))
    difference = fields.mean() - chance.mean()
    if error == 0:
        return 1.0 if difference <= 0 else 1 / (1 + len(chance))
    return max(float(scipy.special.stdtr(len(chance) - 1, -difference / error)), LEAST_P)


def scan_statistic(members: ArrayLike, radius_of_gyration_nm: ArrayLike, density: float, dimensions: int) -> FloatArray:
    """How little chance makes as many localizations lie so close: the log likelihood ratio of Kulldorff's scan.

    A cluster of n members is taken as the disc, or ball, of its radius of gyration, in which `density` lets expect m:
    the figure is n log(n / m) - n + m where n exceeds m (Kulldorff 1997, for a window that is small beside the field).

    Parameters
    ----------
    members : (c,) array_like of int
        Localizations of each cluster.
    radius_of_gyration_nm : (c,) array_like of float
        Root mean squared distance of its members from their centroid, in nm.
    density : float
        Localizations of the field per nm2, or nm3.
    dimensions : int
        2 or 3.

    Returns
    -------
    (c,) float64
        0 where it is no denser than the field.
    """
    n = np.asarray(members, dtype=np.float64)
    squared = np.maximum(np.asarray(radius_of_gyration_nm, dtype=np.float64) ** 2, np.finfo(np.float32).tiny)
    radius = np.sqrt(squared * (dimensions + 2) / dimensions)
    expected = density * np.pi ** (dimensions / 2) / scipy.special.gamma(dimensions / 2 + 1) * radius**dimensions
    return np.where(n > expected, n * np.log(n / expected) - n + expected, 0.0)


def q_values(seen: FloatArray, random: FloatArray, share: float) -> FloatArray:
    """The smallest false discovery rate at which each cluster is kept.

    At a threshold that keeps k clusters, random fields of the image's size would give (1 + r) * share clusters, r of
    those found in random fields: their ratio to k is the rate, with one more as in target-decoy competition (He et al.
    2015), so that a rate is never 0 for want of random fields.

    Parameters
    ----------
    seen : (c,) float64
        :func:`scan_statistic` of the image's clusters.
    random : (r,) float64
        The same of all clusters of the random fields.
    share : float
        Localizations of the image for each of the random fields.

    Returns
    -------
    (c,) float64
        From 0 to 1, falling with the statistic.
    """
    order = np.argsort(-seen, kind="stable")
    chance = np.sort(random)
    as_high = len(chance) - np.searchsorted(chance, seen[order], side="left")
    kept = np.searchsorted(-seen[order], -seen[order], side="right")  # ties are kept together
    rate = np.minimum((1 + as_high) * share / kept, 1.0)
    found = np.empty(len(seen))
    found[order] = np.minimum.accumulate(rate[::-1])[::-1]
    return found
