"""Random fields like a given one, and what a comparison with them says."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from scipy import stats

from caml_dask.randomness.fields import Area, Localizations, Randomness
from caml_dask.randomness.verdicts import LEAST_P, p_value, q_values, scan_statistic


def field(xy_nm, molecule=None, uncertainty=None):
    number = np.arange(len(xy_nm)) if molecule is None else molecule
    return Localizations(np.asarray(xy_nm, float), uncertainty, number)


def test_a_random_field_fills_the_outline_evenly():
    outline = shapely.box(0, 0, 1000, 500).difference(shapely.Point(500, 250).buffer(200))
    rng = np.random.default_rng(1)
    given = rng.uniform((0, 0), (1000, 500), (4000, 2))
    given = given[shapely.contains_xy(outline, given)]
    drawn = Randomness.of(field(given), outline).draw(rng).points_nm
    assert len(drawn) == len(given) and shapely.contains_xy(outline, drawn).all()
    assert not np.isin(drawn, given).any()
    for axis in (0, 1):
        assert stats.ks_2samp(drawn[:, axis], given[:, axis]).pvalue > 0.01


def test_thin_areas_in_several_parts_are_filled_by_their_size():
    outline = shapely.union_all([shapely.LineString([(0, 0), (1e5, 1e5)]).buffer(1), shapely.box(5e5, 0, 5.01e5, 1e3)])
    drawn = Area.of(outline).draw(20_000, np.random.default_rng(6))
    assert shapely.dwithin(outline, shapely.points(drawn), 1e-6).all()
    assert (drawn[:, 0] > 4e5).mean() == pytest.approx(1e6 / outline.area, rel=0.03)


def test_a_random_field_keeps_the_trend_and_not_the_clusters():
    rng = np.random.default_rng(2)
    x = 500 * np.log(1 + (np.exp(2) - 1) * rng.random(3000))  # density rises along x as exp(2 x)
    loose = np.column_stack([x, rng.uniform(0, 1000, 3000)])
    dense = np.repeat(rng.uniform(100, 900, (30, 2)), 30, axis=0) + rng.normal(0, 3, (900, 2))
    given = field(np.vstack([loose, dense]))
    drawn = Randomness.of(given, shapely.box(0, 0, 1000, 1000)).draw(rng).points_nm
    thirds = np.histogram(drawn[:, 0], [0, 333, 667, 1000])[0]
    assert thirds == pytest.approx(np.histogram(given.points_nm[:, 0], [0, 333, 667, 1000])[0], rel=0.12)
    near = shapely.STRtree(shapely.points(drawn)).query(shapely.points(drawn), "dwithin", 5)
    assert len(near[0]) < 1.5 * len(drawn)  # hardly any but themselves; in clusters, each would have ten


def test_detections_move_with_their_molecule():
    rng = np.random.default_rng(3)
    molecule = np.repeat(np.arange(100), 3)
    xyz = rng.uniform(0, 1000, (100, 3))[molecule] + rng.normal(0, 5, (300, 3))
    precision = rng.uniform(5, 20, 300)
    drawn = Randomness.of(field(xyz, molecule, precision), shapely.box(0, 0, 1000, 1000)).draw(rng)
    assert np.array_equal(drawn.molecule, molecule) and np.array_equal(drawn.uncertainty_nm, precision)
    moved = drawn.points_nm - xyz
    assert np.allclose(moved, moved[::3][molecule], atol=1e-9)
    assert len(np.unique(moved[::3, 0].round(6))) == 100
    heights = [points[:, 2].reshape(100, 3).mean(axis=1) for points in (drawn.points_nm, xyz)]
    assert np.allclose(*map(np.sort, heights))


def test_one_field_is_ranked_and_several_are_compared_by_their_mean():
    random = np.arange(19.0)
    assert p_value([18.5], random) == pytest.approx(1 / 20)
    assert p_value([17.0], random) == pytest.approx(3 / 20)
    assert p_value([-1.0], random) == 1
    rng = np.random.default_rng(4)
    found = [p_value(rng.normal(size=8), rng.normal(size=40)) for _ in range(1000)]
    assert stats.kstest(found, "uniform").pvalue > 0.01
    one_of_eight = np.append(np.zeros(7), 10.0)
    assert p_value(one_of_eight, rng.normal(size=40)) < 0.01
    assert p_value([1.0, 1.0], [0.0, 0.0, 0.0]) == 0.25 and p_value([0.0, 0.0], [0.0, 0.0, 0.0]) == 1
    assert p_value(np.full(8, 1e3), rng.normal(size=40)) == LEAST_P


def test_the_scan_statistic_is_kulldorffs():
    """Of ten localizations in the disc of radius 10 where a density of .001 lets expect .314."""
    expected = 0.001 * np.pi * 100
    (found,) = scan_statistic([10], [10 / np.sqrt(2)], 0.001, 2)
    assert found == pytest.approx(10 * np.log(10 / expected) - 10 + expected)
    (ball,) = scan_statistic([10], [10 * np.sqrt(3 / 5)], 1e-4, 3)
    expected = 1e-4 * 4 / 3 * np.pi * 1000
    assert ball == pytest.approx(10 * np.log(10 / expected) - 10 + expected)
    assert scan_statistic([3], [1000.0], 0.001, 2)[0] == 0
    assert np.isfinite(scan_statistic([5], [0.0], 0.001, 2)).all()  # all at one place


def test_q_values_are_the_rates_of_target_decoy_competition():
    seen, random = np.array([9.0, 7.0, 7.0, 3.0, 1.0]), np.array([8.0, 2.0, 2.5])
    # above 9 none of chance: (1 + 0) * .5 / 1; from 7 on (1 + 1) * .5 / 3; from 3 the same / 4; from 1 (1 + 3) * .5 / 5
    rates = [0.5, 1 / 3, 1 / 3, 0.25, 0.4]
    lowest = [0.25, 0.25, 0.25, 0.25, 0.4]  # the smallest rate at which each is kept
    assert np.minimum.accumulate(rates[::-1])[::-1].tolist() == pytest.approx(lowest)
    assert q_values(seen, random, 0.5).tolist() == pytest.approx(lowest)
    assert q_values(seen[::-1].copy(), random, 0.5).tolist() == pytest.approx(lowest[::-1])
    assert q_values(np.empty(0), random, 0.5).tolist() == []
    assert q_values(np.array([1.0]), np.empty(0), 7.0).tolist() == [1.0]
