"""Do groups differ where their values come in blocks, such as images of donors?

Blocks that have values of both groups are compared within themselves; of blocks that belong to one group each, a mixed
model takes how much they vary out of what is compared.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from caml_dask.stats.comparison import LEAST_VALUES

Values = npt.NDArray[np.float64]
SHUFFLES = 9_999
_NO_FIT = "the fit did not converge, as it can where replicates differ little"
_SEED = 0  # the same results give the same report
_MOST_FLIPPED = 14  # differences whose signs are flipped in all ways


@dataclass(frozen=True)
class WithinBlocks:
    """Two groups compared within blocks.

    Attributes
    ----------
    blocks : int
        Blocks with values of both groups.
    n_first, n_second : int
        Values of either group in these blocks.
    difference : float
        Median over the blocks of the second group's median less the first's; NaN without blocks.
    p_blocks : float
        Two-sided p of Wilcoxon's signed-rank test on these differences, the block being the unit; NaN where there are
        fewer than 3 blocks.
    p_values : float
        Two-sided p of van Elteren's stratified rank test, the value being the unit: values are shuffled within their
        blocks 9,999 times. NaN where there are fewer than 2 blocks, or none has more than a value of each group.
    """

    blocks: int
    n_first: int
    n_second: int
    difference: float
    p_blocks: float
    p_values: float


@dataclass(frozen=True)
class Contrast:
    """Two groups of a mixed model.

    Attributes
    ----------
    first, second : str
        Names of the groups.
    difference, low, high : float
        Mean of the second less that of the first, with its 95 % interval, in the unit of the values.
    p : float
        Two-sided p of the difference.
    """

    first: str
    second: str
    difference: float
    low: float
    high: float
    p: float


def compare_within_blocks(first: Mapping[str, Values], second: Mapping[str, Values]) -> WithinBlocks:
    """Compare two groups within the blocks that both have values in.

    Parameters
    ----------
    first, second : mapping of str to (n,) float64
        Values by block, all in one unit; NaN is null and is left out.

    Returns
    -------
    WithinBlocks
        The difference and its tests. Van Elteren, Bulletin of the International Statistical Institute 37 (1960),
        351-361: ranks are weighted by 1 / (values of the block + 1).
    """
    known = [(_known(first[name]), _known(second[name])) for name in first if name in second]
    blocks = [(a, b) for a, b in known if len(a) and len(b)]
    differences = np.array([np.median(b) - np.median(a) for a, b in blocks])
    several = len(blocks) >= 2 and any(len(a) + len(b) > 2 for a, b in blocks)
    return WithinBlocks(
        len(blocks),
        sum(len(a) for a, _ in blocks),
        sum(len(b) for _, b in blocks),
        float(np.median(differences)) if len(blocks) else math.nan,
        _signed_ranks(differences) if len(blocks) >= LEAST_VALUES else math.nan,
        _van_elteren(blocks) if several else math.nan,
    )


def fit_mixed_model(groups: Mapping[str, Mapping[str, Values]]) -> tuple[list[Contrast], str | None]:
    """Compare groups by a mixed model: a mean for each group, and a random intercept for each block of it.

    The model is fitted by restricted maximum likelihood. Differences are tested by t with as many degrees of freedom as
    there are blocks less groups: where blocks have equally many values, that is Student's test of the blocks' means.

    Parameters
    ----------
    groups : mapping of str to mapping of str to (n,) float64
        Group to block to its values; a block belongs to one group. NaN is null and is left out.

    Returns
    -------
    contrasts : list of Contrast
        Each pair of groups; empty where there is no test.
    problem : str or None
        Why there is none.
    """
    known = {
        name: found
        for name, blocks in groups.items()
        if len(found := [v for values in blocks.values() if len(v := _known(values))]) >= LEAST_VALUES
    }
    blocks = [(k, values) for k, found in enumerate(known.values()) for values in found]
    if len(known) < 2:
        return [], f"it needs two groups of {LEAST_VALUES} or more replicates"
    if all(len(values) == 1 for _, values in blocks):
        return [], "no replicate has several values"
    group = np.concatenate([np.full(len(values), k) for k, values in blocks])
    block = np.repeat(np.arange(len(blocks)), [len(values) for _, values in blocks])
    values = np.concatenate([values for _, values in blocks])
    scale = float(values.std())
    if scale == 0:
        return [], "all values are the same"
    fitted = _fit(values / scale, np.eye(len(known))[group], block)
    if isinstance(fitted, str):
        return [], fitted
    means, covariance = fitted
    freedom = len(blocks) - len(known)
    contrasts = []
    for (a, first), (b, second) in itertools.combinations(enumerate(known), 2):
        difference = scale * float(means[b] - means[a])
        error = scale * math.sqrt(covariance[a, a] + covariance[b, b] - 2 * covariance[a, b])
        reach = error * float(stats.t.ppf(0.975, freedom))
        p = float(2 * stats.t.sf(abs(difference) / error, freedom))
        contrasts.append(Contrast(first, second, difference, difference - reach, difference + reach, p))
    return contrasts, None


def _known(values: Values) -> Values:
    return values[~np.isnan(values)]


def _signed_ranks(differences: Values) -> float:
    """P of Wilcoxon's signed-rank test; exact for few differences, ties or not. Zeros are left out."""
    differences = differences[differences != 0]
    n = len(differences)
    if n > _MOST_FLIPPED:
        return float(stats.wilcoxon(differences).pvalue)
    ranks = stats.rankdata(np.abs(differences))
    flips = 1 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
    seen = abs(float((np.sign(differences) * ranks).sum()))
    return float(np.mean(np.abs(flips @ ranks) >= seen - 1e-9))


def _van_elteren(blocks: Sequence[tuple[Values, Values]]) -> float:
    rng = np.random.default_rng(_SEED)
    seen, shuffled = 0.0, np.zeros(SHUFFLES)
    for a, b in blocks:
        n = len(a) + len(b)
        ranks = (stats.rankdata(np.concatenate([a, b])) - (n + 1) / 2) / (n + 1)
        seen += ranks[len(a) :].sum()
        shuffled += rng.permuted(np.tile(ranks, (SHUFFLES, 1)), axis=1)[:, len(a) :].sum(axis=1)
    return float((1 + np.count_nonzero(np.abs(shuffled) >= abs(seen) - 1e-9)) / (1 + SHUFFLES))


def _fit(values: Values, design: Values, block: npt.NDArray[np.int64]) -> tuple[Values, Values] | str:
    """Means of the groups with their covariance, or why there are none."""
    from statsmodels.regression.mixed_linear_model import MixedLM  # takes a second to load
    from statsmodels.tools.sm_exceptions import ConvergenceWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            fitted = MixedLM(values, design, groups=block).fit(reml=True)
        except (np.linalg.LinAlgError, ValueError):
            return _NO_FIT
        covariance = np.asarray(fitted.cov_params())[: design.shape[1], : design.shape[1]]
    if float(np.asarray(fitted.cov_re)[0, 0]) < 1e-6 * float(fitted.scale):
        return "the spread between replicates is estimated as zero, at the edge of what the model can fit"
    doubtful = any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    if doubtful or not fitted.converged or not np.isfinite(covariance).all():
        return _NO_FIT
    return np.asarray(fitted.fe_params), covariance
