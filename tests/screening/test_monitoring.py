"""The usual range of a figure, and what falls outside."""

from __future__ import annotations

import math

import numpy as np
import pytest

from caml_dask.screening.monitoring import LEAST_NIGHTS, MOST_NIGHTS, of_night, usual


def test_the_range_by_hand():
    """Median 100, absolute deviations 4 3 2 1 0 1 2 3 4 with median 2: 6 x 1.4826 x 2 on either side."""
    found = usual([96, 97, 98, 99, 100, 101, 102, 103, 104])
    assert (found.median, found.nights) == (100, 9)
    assert (found.low, found.high) == (pytest.approx(100 - 17.7912), pytest.approx(100 + 17.7912))
    assert found.holds(117) and not found.holds(118) and found.holds(83) and not found.holds(82)


def test_one_wild_night_before_widens_nothing():
    steady = usual([50, 51, 49, 50, 52, 48, 50, 51])
    wild = usual([50, 51, 49, 50, 52, 48, 50, 5100])
    assert wild.high - wild.low <= 1.5 * (steady.high - steady.low)


def test_steady_nights_do_not_make_small_changes_unusual():
    found = usual([9.0] * LEAST_NIGHTS)
    assert (found.low, found.high) == (pytest.approx(8.1), pytest.approx(9.9))
    assert usual([-9.0] * LEAST_NIGHTS).holds(-9.5)


def test_few_nights_say_nothing_and_old_ones_are_forgotten():
    assert usual([1.0] * (LEAST_NIGHTS - 1) + [math.nan] * 5) is None
    assert usual([]) is None
    found = usual([1.0] * 40 + [5.0] * MOST_NIGHTS)
    assert (found.median, found.nights) == (5.0, MOST_NIGHTS)


@pytest.mark.parametrize(("nights", "most"), [(8, 0.014), (20, 0.0015)])
def test_how_often_normal_values_fall_outside_by_chance(nights, most):
    """As the module says; around 0, where the least change adds nothing."""
    drawn = np.random.default_rng(0).normal(size=(3_000, nights + 1))
    outside = sum(not usual(row[:-1]).holds(row[-1]) for row in drawn)
    assert 0 < outside <= most * len(drawn)


def test_a_night_is_the_median_of_its_images():
    assert of_night([1.0, None, 3.0, 100.0]) == 3.0
    assert math.isnan(of_night([1.0, None, 3.0])) and math.isnan(of_night([]))
