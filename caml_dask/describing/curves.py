"""From counts to Ripley's functions, the pair correlation and the nearest-neighbor distance function.

Pairs near the border of a region are seen less often than pairs in its middle. What is seen of a distance r is
proportional to the area that the region shares with itself moved by r, mean over all directions; counts are divided by
that (the rigid motion correction: Miles 1974; Ohser and Stoyan 1981). It is unbiased for patterns without a preferred
direction, in a region of any shape, and needs of a pair its distance alone, so that counts stay integers.

Nearest neighbors beyond the border are not seen. A localization is looked at up to the distance of the border, as
patients are up to the end of a trial (Kaplan and Meier's estimator: Baddeley and Gill 1997).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from caml_dask.describing.counts import Counts, Rings
from caml_dask.describing.pairs import FloatArray


@dataclass(frozen=True, eq=False)
class Curves:
    """The functions of a region, at the outer radius of each ring.

    Attributes
    ----------
    k_nm2 : (rings,) float64
        Ripley's K.
    l_minus_r_nm : (rings,) float64
        Besag's L less the distance.
    pair_correlation : (rings,) float64
        Pair correlation g, mean over the ring.
    nearest_share : (rings,) float64
        Nearest-neighbor distance function G.
    """

    k_nm2: FloatArray
    l_minus_r_nm: FloatArray
    pair_correlation: FloatArray
    nearest_share: FloatArray


def curves_of(counts: Counts, expected: FloatArray, rings: Rings) -> Curves:
    """The functions of counts.

    Parameters
    ----------
    counts : Counts
        Of a region, with at least two localizations.
    expected : (rings,) float64
        Share of the pairs of independent places in each ring, as :meth:`Window.expected_pairs` finds it.
    rings : Rings
        Rings of distance.

    Returns
    -------
    Curves
        The functions.
    """
    correlation = counts.pairs / (expected * (counts.n * (counts.n - 1) / 2))
    radii = rings.radii_nm
    area = np.pi * rings.step_nm**2 * (2 * np.arange(rings.number) + 1.0)
    k_nm2 = np.cumsum(correlation * area)
    return Curves(k_nm2, np.sqrt(k_nm2 / np.pi) - radii, correlation, nearest_share(counts))


def nearest_share(counts: Counts) -> FloatArray:
    """The nearest-neighbor distance function by Kaplan and Meier's estimator.

    Parameters
    ----------
    counts : Counts
        Of a region.

    Returns
    -------
    (rings,) float64
        Share of the localizations whose nearest neighbor is within each radius.
    """
    looked_at = counts.n - np.concatenate([[0], np.cumsum(counts.seen[:-2])])
    found: FloatArray = 1.0 - np.cumprod(1.0 - counts.nearest[:-1] / np.maximum(looked_at, 1))
    return found


def random_share(n: int, area_nm2: float, radii_nm: FloatArray) -> FloatArray:
    """The nearest-neighbor distance function of complete spatial randomness.

    Parameters
    ----------
    n : int
        Localizations.
    area_nm2 : float
        Area that they are even over, in nm2.
    radii_nm : (k,) float64
        Distances in nm.

    Returns
    -------
    (k,) float64
        1 - exp(-pi r2 density), the density being that of the other localizations.
    """
    found: FloatArray = -np.expm1(-np.pi * radii_nm**2 * ((n - 1) / area_nm2))
    return found
