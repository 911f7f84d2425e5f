"""Tests of groups against scipy, scikit-posthocs and values worked out by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scikit_posthocs import posthoc_dunn
from scipy import stats

from caml_dask.stats.comparison import benjamini_hochberg, compare, holm
from caml_dask.stats.effects import cliffs_delta, delta_interval

THREE = {"a": [1, 2, 3], "b": [4, 5, 6], "c": [7, 8, 9]}


def test_three_groups_by_hand():
    """Mean ranks 2, 5, 8 of nine: H = 12/90 * 3 * (4 + 25 + 64) - 30 = 7.2; a step of 3 ranks is 3 / sqrt(5) sigma."""
    found = compare(THREE, "images")
    assert (found.test, found.statistic) == ("Kruskal-Wallis", pytest.approx(7.2))
    assert found.p == pytest.approx(math.exp(-3.6))
    assert found.epsilon_squared == pytest.approx(0.9)
    near, far = (2 * stats.norm.sf(step / math.sqrt(5)) for step in (3, 6))
    assert [(p.first, p.second) for p in found.pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [p.p for p in found.pairs] == pytest.approx([near, far, near])
    assert [p.p_holm for p in found.pairs] == pytest.approx([2 * near, 3 * far, 2 * near])
    assert [p.delta for p in found.pairs] == [1, 1, 1]
    assert "approximate" in found.notes[0]


def test_groups_with_ties_and_nulls_as_scipy_and_scikit_posthocs_have_them():
    rng = np.random.default_rng(3)
    groups = {name: rng.poisson(mean, 9 + 4 * mean).astype(float) for name, mean in (("x", 4), ("y", 5), ("z", 7))}
    found = compare({name: [*values, np.nan] for name, values in groups.items()}, "images")
    wanted = stats.kruskal(*groups.values())
    assert (found.statistic, found.p) == pytest.approx((wanted.statistic, wanted.pvalue))
    dunn, adjusted = (posthoc_dunn(list(groups.values()), p_adjust=how).to_numpy() for how in (None, "holm"))
    upper = np.triu_indices(3, 1)
    assert [p.p for p in found.pairs] == pytest.approx(list(dunn[upper]))
    assert [p.p_holm for p in found.pairs] == pytest.approx(list(adjusted[upper]))
    assert found.groups["x"].n == 25


def test_two_groups_are_compared_exactly():
    """Of the 35 ways to draw 3 of 7, two are as far apart as these."""
    found = compare({"low": [1, 2, 3], "high": [4, 5, 6, 7]}, "images")
    assert found.test == "Mann-Whitney"
    assert found.p == found.pairs[0].p == found.pairs[0].p_holm == pytest.approx(2 / 35)
    assert found.statistic == 12
    assert found.notes == ("3 and 4 images cannot give a p below 0.06, however much they differ",)
    assert compare({"low": [1, 2, 3, 4], "high": [5, 6, 7, 8]}, "images").notes == ()


def test_ties_in_small_groups_leave_the_test_exact():
    """Of the 20 ways to deal out three and three values, two are as far apart."""
    found = compare({"a": [20, 20, 20], "b": [12, 12, 12]}, "images")
    assert found.p == pytest.approx(2 / 20)
    assert found.notes == ("3 and 3 images cannot give a p below 0.10, however much they differ",)


def test_order_of_groups_turns_the_sign_alone():
    rng = np.random.default_rng(0)
    groups = {name: rng.normal(shift, 1, 8) for name, shift in (("a", 0.0), ("b", 0.5), ("c", 2.0))}
    one, other = compare(groups, "images"), compare(dict(reversed(groups.items())), "images")
    assert one.p == pytest.approx(other.p)
    turned = {(p.second, p.first): p for p in other.pairs}
    for pair in one.pairs:
        same = turned[pair.first, pair.second]
        assert (pair.p, pair.delta) == pytest.approx((same.p, -same.delta))
        assert (pair.low, pair.high) == pytest.approx((-same.high, -same.low))


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ({"a": [1, 2, 3], "b": [4, 5]}, "two groups of 3 or more"),
        ({"a": [1, 2, 3]}, "two groups of 3 or more"),
        ({}, "two groups of 3 or more"),
        ({"a": [1, 2, np.nan], "b": [4, 5, 6]}, "a: 2 images, not tested"),
        ({"a": [5, 5, 5], "b": [5, 5, 5]}, "all values are the same"),
    ],
)
def test_no_test_says_why(groups, said):
    found = compare(groups, "images")
    assert found.test is None and math.isnan(found.p) and found.pairs == ()
    assert said in " ".join(found.notes)
    assert list(found.groups) == list(groups)


def test_a_small_group_is_left_out_and_named():
    found = compare({**THREE, "tiny": [100, 200]}, "images")
    assert found.compared == ("a", "b", "c")
    assert found.p == compare(THREE, "images").p
    assert found.groups["tiny"].median == 150
    assert "tiny: 2 images, not tested (a test needs 3 or more)" in found.notes


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    with_nothing = holm([0.01, math.nan, 0.04])
    assert with_nothing[::2] == pytest.approx([0.02, 0.04]) and math.isnan(with_nothing[1])
    assert holm([]) == []


def test_benjamini_hochberg_by_hand():
    assert benjamini_hochberg([0.01, 0.04, 0.03, math.nan]) == pytest.approx([0.03, 0.04, 0.04, math.nan], nan_ok=True)


def test_equal_groups_are_found_different_as_seldom_as_said():
    """Five measures of 6 images in three equal conditions: any is found in at most 5 % of cohorts, in 400 here."""
    rng = np.random.default_rng(8)
    found = 0
    for _ in range(400):
        p = [stats.kruskal(*rng.normal(size=(3, 6))).pvalue for _ in range(5)]
        found += min(benjamini_hochberg(p)) < 0.05
    assert found / 400 < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)


def test_delta_counts_pairs():
    a, b = [1, 2, 2, 5], [2, 3, 0]
    counted = np.mean([np.sign(y - x) for x, y in itertools.product(a, b)])
    assert cliffs_delta(a, b) == pytest.approx(counted)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """Groups of few values from two normal laws, 0 to 2 sigma apart."""
    rng = np.random.default_rng(11)
    for m, n, shift in ((5, 5, 0.0), (4, 9, 1.0), (8, 8, 1.0), (10, 10, 2.0)):
        truth = 2 * stats.norm.cdf(shift / math.sqrt(2)) - 1
        held = 0
        for _ in range(600):
            low, high = delta_interval(cliffs_delta(rng.normal(0, 1, m), rng.normal(shift, 1, n)), m, n)
            held += low <= truth <= high
        assert 0.92 <= held / 600 <= 0.995, (m, n, shift, held / 600)


def test_the_interval_of_groups_apart_is_wide():
    low, high = delta_interval(1.0, 4, 4)
    assert high == 1 and 0 < low < 0.6
    assert delta_interval(1.0, 400, 400)[0] > 0.98
    assert delta_interval(-1.0, 4, 4) == (-1, -low)
