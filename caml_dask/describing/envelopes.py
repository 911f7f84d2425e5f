"""Random fields of a region, and what the functions of its localizations are beside theirs.

A field of complete spatial randomness has as many localizations as the region, even over it. Of many localizations,
fields of fewer are simulated, and deviations are scaled by the root of the ratio. Of K that is on the safe side: the
variance of a U-statistic of pairs has a part that falls with the number of localizations, and another that falls with
its square. Nearest neighbors are looked for at distances that are scaled to the same number of neighbors.

The global envelope is that of the largest absolute deviation from randomness (Ripley 1977; Baddeley et al. 2014): a
random field leaves it somewhere in 5 % of cases. L has about the same spread at all distances, so that it is tested
and not K.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from caml_dask.describing.counts import Rings, counts_within
from caml_dask.describing.curves import Curves, curves_of, random_share
from caml_dask.describing.pairs import FloatArray
from caml_dask.describing.window import Border, Window
from caml_dask.randomness.fields import Area

LEVEL = 0.05
"""Share of random fields that leave an envelope."""
FEWEST_SIMULATIONS = round(1 / LEVEL) - 1
"""Simulations of which one in 20 can be left out."""
FULL, MOST = 30_000, 100_000
"""Localizations up to which random fields have as many, and that they have at most."""
_ALL_NEAR = 3.0  # mean distances between localizations within which all have a neighbor but one in 10^12

Mapped = Callable[[Callable[[int], Curves], Iterable[int]], Iterable[Curves]]
"""How calls are mapped to numbers: `map`, or that of a pool of threads."""


@dataclass(frozen=True, eq=False)
class Beside:
    """A function beside those of random fields; deviations are from complete spatial randomness.

    Attributes
    ----------
    low, high : (rings,) float64
        2.5th and 97.5th percentile of the deviations of random fields, distance by distance.
    critical : float
        Half width of the global envelope.
    largest : float
        Largest absolute deviation.
    p_value : float
        Of the largest absolute deviation (MAD).
    p_value_squared : float
        Of the sum of squared deviations (DCLF).
    """

    low: FloatArray
    high: FloatArray
    critical: float
    largest: float
    p_value: float
    p_value_squared: float


@dataclass(frozen=True, eq=False)
class Simulated:
    """Functions of random fields, as deviations from complete spatial randomness.

    Attributes
    ----------
    localizations : int
        Localizations of a random field.
    l_nm, pair_correlation, nearest_share : (simulations, rings) float64
        Deviations of L, g and G.
    """

    localizations: int
    l_nm: FloatArray
    pair_correlation: FloatArray
    nearest_share: FloatArray


def localizations_simulated(n: int, simulations: int) -> int:
    """Localizations of a random field for a region of n.

    Parameters
    ----------
    n : int
        Localizations of the region.
    simulations : int
        Random fields.

    Returns
    -------
    int
        n up to 30,000; of more as many as give all random fields together half of the pairs of the region, but 30,000
        at least and 100,000 at most.
    """
    return n if n <= FULL else min(max(FULL, round(n / math.sqrt(2 * simulations))), MOST)


def simulate(
    window: Window, n: int, expected: FloatArray, rings: Rings, simulations: int, seed: list[int], mapped: Mapped
) -> Simulated:
    """Simulate random fields of a region.

    Parameters
    ----------
    window : Window
        The region.
    n : int
        Its localizations.
    expected : (rings,) float64
        As :meth:`Window.expected_pairs` finds it.
    rings : Rings
        Rings of distance.
    simulations : int
        Random fields.
    seed : list of int
        Of all chance.
    mapped : callable
        `map`, or that of a pool of threads.

    Returns
    -------
    Simulated
        Deviations, scaled to n localizations.
    """
    m = localizations_simulated(n, simulations)
    area, radii = Area.of(window.shape), rings.radii_nm
    near = Rings(rings.step_nm * math.sqrt(n / m), rings.number)
    border = Border(window.shape, min(near.most_nm, _ALL_NEAR * math.sqrt(window.area_nm2 / m)))

    def one(number: int) -> Curves:
        places = area.draw(m, np.random.default_rng([*seed, number]))
        return curves_of(counts_within(places, border, rings, near), expected, rings)

    found = list(mapped(one, range(simulations)))
    scale, disc = math.sqrt(m / n), np.pi * radii**2
    k_nm2 = disc + scale * (np.array([curves.k_nm2 for curves in found]) - disc)
    share = np.array([curves.nearest_share for curves in found])
    return Simulated(
        m,
        np.sqrt(np.maximum(k_nm2, 0.0) / np.pi) - radii,
        scale * (np.array([curves.pair_correlation for curves in found]) - 1.0),
        scale * (share - random_share(m, window.area_nm2, near.radii_nm)),
    )


def beside(deviation: FloatArray, random: FloatArray) -> Beside:
    """Compare a function with those of random fields.

    Parameters
    ----------
    deviation : (rings,) float64
        Its deviation from complete spatial randomness.
    random : (simulations, rings) float64
        Those of random fields, at least `FEWEST_SIMULATIONS` of them.

    Returns
    -------
    Beside
        Envelopes and p values, by the rank of the data among all: the smallest p value is 1 / (1 + simulations).
    """
    largest, squared = np.abs(random).max(axis=1), (random**2).sum(axis=1)
    own = float(np.abs(deviation).max()), float((deviation**2).sum())
    beyond = [1 + int(np.count_nonzero(of >= value)) for of, value in zip((largest, squared), own, strict=True)]
    critical = float(np.sort(largest)[-int(LEVEL * (len(random) + 1) + 1e-9)])
    low, high = np.quantile(random, [LEVEL / 2, 1 - LEVEL / 2], axis=0)
    return Beside(low, high, critical, own[0], *(count / (len(random) + 1) for count in beyond))
