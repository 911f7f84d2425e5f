"""Tests within blocks and mixed models against scipy, against all shuffles, and against Student's test of means."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest
from scipy import stats

from caml_dask.stats.nested import compare_within_blocks, fit_mixed_model


def drawn(rng, blocks, values, shift=0.0, spread=1.0):
    return {f"b{k}": rng.normal(spread * rng.normal() + shift, 1, values) for k in range(blocks)}


def test_blocks_as_units_are_wilcoxons_signed_ranks_of_their_medians():
    rng = np.random.default_rng(1)
    first, second = drawn(rng, 8, 3), drawn(rng, 9, 4, shift=1.5)
    found = compare_within_blocks(first, second)
    differences = [np.median(second[name]) - np.median(first[name]) for name in first]
    assert (found.blocks, found.n_first, found.n_second) == (8, 24, 32)
    assert found.difference == pytest.approx(np.median(differences))
    assert found.p_blocks == pytest.approx(stats.wilcoxon(differences, method="exact").pvalue)


def test_three_blocks_that_agree_by_hand():
    """Of the eight ways to flip three signs, two are as far from zero; three equal differences are ties."""
    first = {name: np.array([level]) for name, level in (("a", 1.0), ("b", 20.0), ("c", 300.0))}
    second = {name: values + 2 for name, values in first.items()}
    found = compare_within_blocks(first, second)
    assert found.p_blocks == pytest.approx(2 / 8) and math.isnan(found.p_values)
    assert compare_within_blocks(first, first).p_blocks == 1.0
    assert math.isnan(compare_within_blocks({"a": first["a"], "b": first["b"]}, second).p_blocks)


def test_blocks_without_a_difference_say_nothing():
    """Of the two ways to flip the only difference, both are as far from zero; of those of two alike, two of four."""
    first = {name: np.array([1.0]) for name in "abcd"}
    for changed, wanted in (("a", 1.0), ("ab", 0.5), ("abc", 0.25)):
        second = {name: np.array([3.0 if name in changed else 1.0]) for name in "abcd"}
        assert compare_within_blocks(first, second).p_blocks == wanted


def test_many_blocks_are_compared_as_scipy_does():
    rng = np.random.default_rng(7)
    first, second = drawn(rng, 20, 3), drawn(rng, 20, 3, shift=0.5)
    differences = [np.median(second[name]) - np.median(first[name]) for name in first]
    assert compare_within_blocks(first, second).p_blocks == pytest.approx(stats.wilcoxon(differences).pvalue)


def test_shuffles_within_blocks_come_close_to_all_of_them():
    """A small block speaks against a large one, so that the weights of the two decide."""
    first = {"small": np.array([5.0, 6.0]), "large": np.array([1.0, 2.0, 3.0, 5.5])}
    second = {"small": np.array([1.0, 2.0]), "large": np.array([4.0, 5.0, 6.0, 7.0]), "other": np.array([9.0, 8.0])}
    spreads, total = [], 0.0
    for name in first:
        ranks = stats.rankdata([*first[name], *second[name]])
        n, m = len(ranks), len(second[name])
        ways = [sum(chosen) for chosen in itertools.combinations(ranks, m)]
        spreads.append((np.array(ways) - m * (n + 1) / 2) / (n + 1))
        total += (ranks[-m:].sum() - m * (n + 1) / 2) / (n + 1)
    every = np.add.outer(*spreads)
    wanted = np.mean(np.abs(every) >= abs(total) - 1e-9)
    found = compare_within_blocks(first, second)
    assert (found.blocks, found.n_first, found.n_second) == (2, 6, 6)
    assert found.p_values == pytest.approx(wanted, abs=0.015)


def test_shuffles_hold_their_level_and_see_past_what_blocks_differ_in():
    rng = np.random.default_rng(3)
    p = [compare_within_blocks(drawn(rng, 3, 4, spread=0), drawn(rng, 3, 4, spread=0)).p_values for _ in range(60)]
    assert np.mean(np.array(p) < 0.05) <= 0.15
    levels = {f"b{k}": 10.0 * k for k in range(4)}
    first = {name: rng.normal(level, 1, 6) for name, level in levels.items()}
    second = {name: rng.normal(level + 1.5, 1, 6) for name, level in levels.items()}
    pooled = stats.mannwhitneyu(np.concatenate(list(first.values())), np.concatenate(list(second.values()))).pvalue
    assert pooled > 0.1 and compare_within_blocks(first, second).p_values < 0.001


def test_a_mixed_model_of_even_blocks_is_students_test_of_their_means():
    rng = np.random.default_rng(4)
    groups = {"low": drawn(rng, 5, 6, spread=3), "high": drawn(rng, 4, 6, shift=4, spread=3)}
    (contrast,), problem = fit_mixed_model(groups)
    means = [[values.mean() for values in blocks.values()] for blocks in groups.values()]
    wanted = stats.ttest_ind(means[1], means[0])
    assert problem is None
    assert contrast.difference == pytest.approx(np.mean(means[1]) - np.mean(means[0]), rel=1e-4)
    assert contrast.p == pytest.approx(wanted.pvalue, rel=1e-3)
    interval = wanted.confidence_interval()
    assert (contrast.low, contrast.high) == pytest.approx((interval.low, interval.high), abs=0.01)


def test_a_mixed_model_does_not_depend_on_the_unit_and_gives_every_pair():
    rng = np.random.default_rng(5)
    groups = {name: drawn(rng, 4, 5, spread=3) for name in "xyz"}
    found, _ = fit_mixed_model(groups)
    scaled, _ = fit_mixed_model({n: {b: 1e5 * v for b, v in blocks.items()} for n, blocks in groups.items()})
    assert [(c.first, c.second) for c in found] == [("x", "y"), ("x", "z"), ("y", "z")]
    assert [c.p for c in scaled] == pytest.approx([c.p for c in found], rel=1e-6)
    assert scaled[0].low == pytest.approx(1e5 * found[0].low, rel=1e-6)


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ({"a": {"1": [1, 2], "2": [3, 4]}, "b": {"3": [1, 2], "4": [1, 2], "5": [0, 3]}}, "two groups of 3 or more"),
        ({"a": {"1": [1], "2": [3], "3": [2]}, "b": {"4": [1], "5": [1], "6": [0]}}, "no replicate has several"),
        ({"a": {"1": [2, 2], "2": [2], "3": [2]}, "b": {"4": [2], "5": [2], "6": [2]}}, "all values are the same"),
        # replicates that differ less than their images let expect: their variance is estimated as zero
        (
            {"a": {k: [0.0, 2.0] for k in "123"}, "b": {k: [1.0, 3.1] for k in "456"}},
            "estimated as zero|did not converge",
        ),
    ],
)
def test_what_gives_no_p_says_why(groups, said):
    found = {n: {b: np.array(v, dtype=float) for b, v in blocks.items()} for n, blocks in groups.items()}
    contrasts, problem = fit_mixed_model(found)
    assert contrasts == [] and re.search(said, problem)


def test_a_fit_that_warns_of_its_convergence_gives_no_p(monkeypatch):
    import warnings

    from statsmodels.regression.mixed_linear_model import MixedLM
    from statsmodels.tools.sm_exceptions import ConvergenceWarning

    fit = MixedLM.fit

    def doubtful(self, **options):
        warnings.warn("Maximum Likelihood optimization failed to converge", ConvergenceWarning, stacklevel=1)
        return fit(self, **options)

    monkeypatch.setattr(MixedLM, "fit", doubtful)
    rng = np.random.default_rng(4)
    contrasts, problem = fit_mixed_model({"low": drawn(rng, 5, 6, spread=3), "high": drawn(rng, 4, 6, spread=3)})
    assert contrasts == [] and problem.startswith("the fit did not converge")
