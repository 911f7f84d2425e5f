"""Do groups of values differ? Kruskal-Wallis with Dunn's test, of two groups Mann-Whitney, as Williamson et al. 2020.

What a value stands for, an image or a cluster, is the caller's to say: the tests take values as independent.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from scipy.special import comb

from caml_dask.stats.effects import cliffs_delta, delta_interval, epsilon_squared
from caml_dask.stats.medians import MedianIqr, median_iqr

LEAST_VALUES = 3
"""A group of fewer values is not tested: its spread is not known."""
_FEW_VALUES = 5
_MOST_DEALS = 20_000  # ways to deal out two groups that are all tried: of 8 and 8 values there are 12,870


@dataclass(frozen=True)
class Pair:
    """Two groups compared.

    Attributes
    ----------
    first, second : str
        Names of the groups.
    p : float
        Two-sided p of Dunn's test, or of Mann and Whitney's where there are only two groups.
    p_holm : float
        The same, adjusted after Holm for the number of pairs.
    delta, low, high : float
        Cliff's delta with its 95 % interval, -1 to 1; above 0 where the second group has the larger values.
    """

    first: str
    second: str
    p: float
    p_holm: float
    delta: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Result of a comparison of groups.

    Attributes
    ----------
    groups : dict of str to MedianIqr
        Median and quartiles of every group, tested or not, in the order given.
    compared : tuple of str
        Names of the groups that were tested.
    test : str or None
        "Kruskal-Wallis" or "Mann-Whitney"; None where there is no test.
    statistic, p : float
        H or U, with its p; NaN where there is no test.
    epsilon_squared : float
        Effect size of all groups together, 0 to 1; NaN where there is no test.
    pairs : tuple of Pair
        Every pair of the groups compared.
    notes : tuple of str
        Why there is no test, which groups were left out, and what a small number of values means for it.
    """

    groups: dict[str, MedianIqr]
    compared: tuple[str, ...]
    test: str | None
    statistic: float
    p: float
    epsilon_squared: float
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...]


def compare(groups: Mapping[str, npt.ArrayLike], units: str) -> Comparison:
    """Compare groups of values.

    Parameters
    ----------
    groups : mapping of str to (n,) array_like of float
        Values by the name of the group, all in one unit; NaN is null and is left out.
    units : str
        What a value is measured on, in the plural, such as "images": for the notes.

    Returns
    -------
    Comparison
        Medians, the test, and all pairs.
    """
    known = {name: _known(values) for name, values in groups.items()}
    medians = {name: median_iqr(values) for name, values in known.items()}
    taken = {name: values for name, values in known.items() if len(values) >= LEAST_VALUES}
    notes = [
        f"{name or '(empty)'}: {len(values)} {units}, not tested (a test needs {LEAST_VALUES} or more)"
        for name, values in known.items()
        if name not in taken
    ]
    if len(taken) < 2:
        notes.append(f"No test: it needs two groups of {LEAST_VALUES} or more {units}")
    elif np.ptp(np.concatenate(list(taken.values()))) == 0:
        notes.append("No test: all values are the same")
    else:
        return _tested(medians, taken, notes, units)
    return Comparison(medians, tuple(taken), None, math.nan, math.nan, math.nan, (), tuple(notes))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values after Holm.

    Where values below a level are called differences, the chance of any false one is at most that level.

    Parameters
    ----------
    p_values : sequence of float
        P values; NaN is a test that was not made, and does not count.

    Returns
    -------
    list of float
        Adjusted p values in the same order; NaN stays NaN.
    """
    return _adjusted(p_values, "holm")


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjust p values after Benjamini and Hochberg.

    Of the values below a level, at most that share is false on average. Where nothing differs at all, the chance of any
    below the level is at most the level.

    Parameters
    ----------
    p_values : sequence of float
        P values; NaN is a test that was not made, and does not count.

    Returns
    -------
    list of float
        Adjusted p values in the same order; NaN stays NaN.
    """
    return _adjusted(p_values, "fdr_bh")


def smallest_p(m: int, n: int) -> float:
    """The smallest p of Mann and Whitney's exact test: two of all the ways to deal out the values.

    Parameters
    ----------
    m, n : int
        Numbers of values of the two groups.

    Returns
    -------
    float
        The two-sided p of groups that do not overlap.
    """
    return 2 / _deals(m, n)


def _deals(m: int, n: int) -> float:
    """Ways to deal out m and n values; infinity where a float holds no more, since clusters are many."""
    return float(comb(m + n, m))


def _adjusted(p_values: Sequence[float], method: str) -> list[float]:
    from statsmodels.stats.multitest import multipletests  # takes a second to load

    p = np.asarray(p_values, dtype=np.float64)
    known = ~np.isnan(p)
    if known.any():
        p[known] = multipletests(p[known], method=method)[1]
    return [float(value) for value in p]


def _known(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64).ravel()
    return array[~np.isnan(array)]


def _tested(
    medians: dict[str, MedianIqr], taken: dict[str, npt.NDArray[np.float64]], notes: list[str], units: str
) -> Comparison:
    names, values = tuple(taken), list(taken.values())
    sizes = [len(v) for v in values]
    h = stats.kruskal(*values)
    effect = epsilon_squared(float(h.statistic), sum(sizes))
    if len(names) == 2:
        found = _mann_whitney(values[1], values[0])
        raw, test = [float(found.pvalue)], "Mann-Whitney"
        notes = [*notes, *_too_few(sizes, units)]
    else:
        found, raw, test = h, _dunn(values), "Kruskal-Wallis"
        if min(sizes) < _FEW_VALUES:
            notes = [*notes, f"Groups of fewer than {_FEW_VALUES} {units}: p values are approximate"]
    pairs = []
    for (a, b), p, adjusted in zip(itertools.combinations(names, 2), raw, holm(raw)):
        delta = cliffs_delta(taken[a], taken[b])
        pairs.append(Pair(a, b, p, adjusted, delta, *delta_interval(delta, len(taken[a]), len(taken[b]))))
    return Comparison(
        medians, names, test, float(found.statistic), float(found.pvalue), effect, tuple(pairs), tuple(notes)
    )


def _mann_whitney(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> Any:
    """The test's statistic and p; exact for small groups, where scipy's own choice is so only without ties."""
    small = _deals(len(first), len(second)) <= _MOST_DEALS
    ties = len(np.unique(np.concatenate([first, second]))) < len(first) + len(second)
    method = stats.PermutationMethod(n_resamples=np.inf) if small and ties else "auto"
    return stats.mannwhitneyu(first, second, method=method)


def _dunn(values: Sequence[npt.NDArray[np.float64]]) -> list[float]:
    """P values of Dunn's test, not adjusted, of each pair in the order of itertools.combinations."""
    from scikit_posthocs import posthoc_dunn  # loads seaborn and statsmodels, which takes seconds

    group = np.repeat(np.arange(len(values)), [len(v) for v in values])
    table = pd.DataFrame({"value": np.concatenate(values), "group": group})
    found = posthoc_dunn(table, val_col="value", group_col="group").to_numpy()
    return [float(p) for p in found[np.triu_indices(len(values), 1)]]


def _too_few(sizes: Sequence[int], units: str) -> list[str]:
    """What is to be said where two groups are so small that no p below 0.05 can come out."""
    least = smallest_p(sizes[0], sizes[1])
    if least < 0.05:
        return []
    return [f"{sizes[0]} and {sizes[1]} {units} cannot give a p below {least:.2f}, however much they differ"]
