"""Searches of DBSCAN, held to comparing everything with everything."""

from __future__ import annotations

import time

import numpy as np
import pytest
from baselines_oracles import components, same_partition
from hypothesis import given
from hypothesis import strategies as st
from layouts import layouts, layouts_3d
from support import nearest_core, squares

from caml_dask.spatial.blocks import BlockIndex
from caml_dask.spatial.density import cliques, dense, linked, nearest_within

POINTS = st.one_of(layouts(most=400), layouts_3d(most=200))
RADII = st.sampled_from([0.3, 1.0, 2.5, 16.0, 25.0, 48.0, 120.0])


@given(POINTS, RADII, st.integers(1, 9), st.floats(0, 1))
def test_dense_rows_are_those_with_enough_within_the_radius(points, radius, least, share):
    asked = int(share * len(points))
    within = squares(points, points) <= radius * radius
    expected = within.sum(axis=1)[:asked] >= least
    assert np.array_equal(dense(BlockIndex.build(points), asked, radius, least), expected)


@given(POINTS, RADII)
def test_components_are_those_of_all_pairs(points, radius):
    found = linked(BlockIndex.build(points), radius)
    expected = components(squares(points, points) <= radius * radius, np.arange(len(points)))
    assert same_partition(found, expected)
    assert all(found[row] == np.flatnonzero(found == found[row])[0] for row in range(len(points)))


@given(POINTS, RADII)
def test_all_of_a_clique_are_within_the_radius_of_each_other(points, radius):
    index = BlockIndex.build(points)
    clique = cliques(index, radius)
    near = squares(index.points_nm.T, index.points_nm.T) <= radius * radius
    for first in np.unique(clique):
        members = np.flatnonzero(clique == first)
        assert members[0] == first and near[np.ix_(members, members)].all()


@given(POINTS, RADII, st.integers(0, 100))
def test_the_nearest_is_found_and_ties_go_by_coordinates(points, radius, cut):
    known, asked = points[cut % len(points) :], points[: cut % len(points)]
    found = nearest_within(BlockIndex.build(known), asked, radius)
    for row, place in zip(found, asked, strict=True):
        expected = nearest_core(known, place, radius)
        assert (row == -1) == (expected == -1)
        assert row == -1 or np.array_equal(known[row], known[expected])


@pytest.mark.parametrize("spread_nm", [0.0, 0.5, 12.0])
def test_a_hot_spot_costs_no_more_than_its_surroundings(spread_nm):
    """1e5 localizations within the radius have 1e10 pairs, which nothing may look at one by one."""
    rng = np.random.default_rng(2)
    spot = rng.normal(0, spread_nm, (100_000, 2)) if spread_nm else np.zeros((100_000, 2))
    points = np.vstack([spot, rng.uniform(-1000, 1000, (2_000, 2))])
    index = BlockIndex.build(points)
    start = time.process_time()
    found = dense(index, len(points), 30.0, 5)
    component = linked(index, 30.0)
    nearest_within(index, points, 30.0)
    assert time.process_time() - start < 10
    assert found[:100_000].all() and len(np.unique(component[:100_000])) == 1
