"""Ripley's functions and their kin: closed forms, an oracle without tiles, grids or rings, and random fields."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from caml_dask.describing import envelopes
from caml_dask.describing.counts import Rings, counts_within
from caml_dask.describing.curves import curves_of, random_share
from caml_dask.describing.envelopes import beside, simulate
from caml_dask.describing.pairs import Pairs, rings_of
from caml_dask.describing.window import Border, Window
from caml_dask.geometry.covariance import mean_covariance
from caml_dask.randomness.fields import Area

RECTANGLE = shapely.box(0, 0, 4000, 3000)
HOLED = shapely.Polygon([(0, 0), (4000, 500), (3500, 3500), (300, 3000)]).difference(
    shapely.box(1500, 1200, 2200, 2100)
)
TWO_CELLS = shapely.union(shapely.Point(0, 0).buffer(1200), shapely.Point(3000, 500).buffer(900))
SHAPES = {"rectangle": RECTANGLE, "with a hole": HOLED, "two cells": TWO_CELLS}


def described(points, shape, rings):
    """The counts and functions of localizations."""
    counts = counts_within(points, Border(shape, rings.most_nm), rings)
    return counts, curves_of(counts, Window("", shape).expected_pairs(rings.step_nm, rings.number), rings)


def distances(points):
    """(n, n) distances of all pairs, infinite on the diagonal."""
    apart = np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=2))
    np.fill_diagonal(apart, np.inf)
    return apart


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_functions_are_those_of_an_oracle(shape):
    rng = np.random.default_rng(3)
    points = Area.of(shape).draw(300, rng)
    points[:40] = points[rng.integers(40, 80, 40)] + rng.normal(0, 10, (40, 2))
    points = points[shapely.intersects_xy(shape, points[:, 0], points[:, 1])]
    points[1] = points[0]
    n, rings = len(points), Rings(2.0, 200)
    counts, found = described(points, shape, rings)
    apart, border = distances(points), shapely.distance(shapely.points(points), shape.boundary)
    nearest = apart.min(axis=1)
    assert (counts.n, counts.repeated) == (n, 2)
    at = mean_covariance(shape, 400.0, 400)
    for k in (0, 4, 49, 199):
        r = rings.radii_nm[k]
        assert counts.pairs[: k + 1].sum() == np.count_nonzero(apart <= r) / 2
        # the rigid motion correction, pair by pair
        within = apart[apart <= r]
        weights = 1 / np.interp(within, np.linspace(0, 400, 401), at)
        assert found.k_nm2[k] == pytest.approx(shape.area**2 / (n * (n - 1)) * weights.sum(), rel=2e-3)
    # Kaplan and Meier, localization by localization
    alive, share = 1.0, []
    for low, high in zip([-1.0, *rings.radii_nm], rings.radii_nm, strict=False):
        at_risk = np.count_nonzero(np.minimum(nearest, border) > low)
        alive *= 1 - np.count_nonzero((nearest > low) & (nearest <= high) & (nearest <= border)) / max(at_risk, 1)
        share.append(1 - alive)
    np.testing.assert_allclose(found.nearest_share, share, atol=1e-12)


def test_pairs_are_counted_in_parts_as_in_one():
    rng = np.random.default_rng(5)
    points = np.round(rng.uniform(1e6, 1e6 + 2000, (400, 2)), 0)
    whole = Pairs.build(points, 7.0, 60).among()
    for part in (points[:, 0] < 1e6 + 700, rng.random(400) < 0.1, np.zeros(400, bool)):
        a, b = Pairs.build(points[part], 7.0, 60), Pairs.build(points[~part], 7.0, 60)
        np.testing.assert_array_equal(whole, a.among() + b.among() + a.with_others(points[~part]))
    apart = distances(points)[np.triu_indices(400, 1)]
    np.testing.assert_array_equal(whole, np.bincount(rings_of(apart, 7.0, 60), minlength=61)[:60])


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_random_fields_have_the_closed_forms(shape):
    rings, n, fields = Rings(5.0, 80), 400, 60
    window, area = Window("", shape), Area.of(shape)
    expected, border = window.expected_pairs(5.0, 80), Border(shape, rings.most_nm)
    found = [
        curves_of(counts_within(area.draw(n, np.random.default_rng(k)), border, rings), expected, rings)
        for k in range(fields)
    ]
    k_nm2, share = np.array([one.k_nm2 for one in found]), np.array([one.nearest_share for one in found])
    off = (k_nm2.mean(axis=0) - np.pi * rings.radii_nm**2) / (k_nm2.std(axis=0) / np.sqrt(fields))
    assert np.abs(off).max() < 4
    assert np.abs(k_nm2.mean(axis=0)[10:] / (np.pi * rings.radii_nm[10:] ** 2) - 1).max() < 0.03
    np.testing.assert_allclose(share.mean(axis=0), random_share(n, shape.area, rings.radii_nm), atol=0.01)


def test_clusters_have_the_k_of_a_thomas_process():
    """K(r) = pi r2 + (1 - exp(-r2 / 4 sigma2)) / density of parents."""
    parents_per_nm2, sigma_nm, mean = 4e-6, 40.0, 8.0
    rings, found = Rings(8.0, 50), []
    expected = Window("", RECTANGLE).expected_pairs(8.0, 50)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        number = rng.poisson(parents_per_nm2 * 4600 * 3600)
        parents = rng.uniform((-300, -300), (4300, 3300), (number, 2))
        points = np.repeat(parents, rng.poisson(mean, number), axis=0)
        points += rng.normal(0, sigma_nm, points.shape)
        points = points[shapely.intersects_xy(RECTANGLE, points[:, 0], points[:, 1])]
        found.append(curves_of(counts_within(points, Border(RECTANGLE, 400.0), rings), expected, rings))
    r = rings.radii_nm
    k_nm2 = np.array([one.k_nm2 for one in found])
    closed = np.pi * r**2 + (1 - np.exp(-(r**2) / (4 * sigma_nm**2))) / parents_per_nm2
    standard_error = k_nm2.std(axis=0) / np.sqrt(len(found))
    assert np.abs((k_nm2.mean(axis=0) - closed) / standard_error).max() < 3.5
    assert (standard_error / closed).max() < 0.06
    g = np.mean([one.pair_correlation for one in found], axis=0)
    middle = r - 4.0
    closed = 1 + np.exp(-(middle**2) / (4 * sigma_nm**2)) / (4 * np.pi * sigma_nm**2 * parents_per_nm2)
    np.testing.assert_allclose(g, closed, rtol=0.12)


def test_95_of_100_random_fields_stay_in_the_envelopes():
    rings, n = Rings(10.0, 40), 80
    window, area = Window("", HOLED), Area.of(HOLED)
    expected, border = window.expected_pairs(10.0, 40), Border(HOLED, 400.0)
    tested = []
    for k in range(200):
        points = area.draw(n, np.random.default_rng([7, k]))
        found = curves_of(counts_within(points, border, rings), expected, rings)
        fields = simulate(window, n, expected, rings, 19, [k], map)
        random = random_share(n, HOLED.area, rings.radii_nm)
        tested.append(
            (beside(found.l_minus_r_nm, fields.l_nm), beside(found.nearest_share - random, fields.nearest_share))
        )
    for tests in zip(*tested, strict=True):
        left = sum(one.largest > one.critical for one in tests)
        assert left == sum(one.p_value <= 0.05 for one in tests)
        assert 2 <= left <= 20  # 10 expected; 99.9 % of binomial counts
        assert 2 <= sum(one.p_value_squared <= 0.05 for one in tests) <= 20


def test_fields_of_fewer_localizations_spread_no_less_than_whole_ones(monkeypatch):
    rings, n = Rings(10.0, 40), 3000
    window = Window("", RECTANGLE)
    expected = window.expected_pairs(10.0, 40)
    whole = simulate(window, n, expected, rings, 150, [1], map)
    monkeypatch.setattr(envelopes, "FULL", 600)
    fewer = simulate(window, n, expected, rings, 150, [2], map)
    assert (whole.localizations, fewer.localizations) == (n, 600)
    most = {"l_nm": np.sqrt(5), "pair_correlation": np.sqrt(5), "nearest_share": 1.0}
    for name, wider in most.items():
        one, other = getattr(whole, name), getattr(fewer, name)
        some = one.std(axis=0) > 0.2 * one.std(axis=0).max()
        for ratio in (
            (other.std(axis=0)[some] / one.std(axis=0)[some]).mean(),
            np.quantile(np.abs(other).max(axis=1), 0.9) / np.quantile(np.abs(one).max(axis=1), 0.9),
        ):
            assert 0.9 < ratio < 1.15 * wider


def test_the_border_is_as_far_as_shapely_says():
    points = Area.of(TWO_CELLS).draw(500, np.random.default_rng(1))
    expected = shapely.distance(shapely.points(points), TWO_CELLS.boundary)
    found = Border(TWO_CELLS, 150.0).distances(points)
    np.testing.assert_allclose(found[expected <= 149], expected[expected <= 149], atol=1e-9)
    assert np.isinf(found[expected > 151]).all() and (expected > 151).sum() > 100
