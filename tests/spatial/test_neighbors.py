from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import KINDS, draw_layout, layouts
from scipy.spatial import cKDTree

from caml_dask.errors import TooFewLocalizations
from caml_dask.spatial.blocks import BlockIndex
from caml_dask.spatial.neighbors import nearest, nearest_in_batches


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 7, 100])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_equal_to_scipy_to_the_bit(kind, k, dimensions):
    rng = np.random.default_rng(3)
    points = draw_layout(kind, 3000, rng)
    if dimensions == 3:
        points = np.column_stack([points, rng.normal(0, 50, len(points))])
    found = nearest(BlockIndex.build(points), k)
    expected = np.sort(cKDTree(points).query(points, k + 1)[0], axis=1)
    # scipy counts each localization as a neighbor of itself, at distance 0: leaving out one zero leaves the others
    assert np.array_equal(found.distances_nm, expected[:, 1:].astype(np.float32))
    assert np.array_equal(found.window_nm, expected[:, -1])
    assert np.array_equal(found.nearest_nm, expected[:, 1])


@settings(max_examples=100)
@given(layouts(least=15, most=400), st.integers(1, 14), st.integers(1, 64))
def test_batches_give_each_row_once(xy, k, batch):
    index = BlockIndex.build(xy)
    rows = np.arange(0, len(xy), 3)
    parts = list(nearest_in_batches(index, k, rows, batch))
    got = np.concatenate([part.rows for part in parts])
    assert np.array_equal(np.sort(got), rows)
    whole = nearest(index, k)
    assert np.array_equal(np.vstack([part.distances_nm for part in parts]), whole.distances_nm[got])


@given(layouts(least=3, most=300))
@settings(max_examples=100)
def test_blocks_hold_every_row_inside_their_boxes(xy):
    index = BlockIndex.build(xy)
    assert np.array_equal(np.sort(index.order), np.arange(len(xy)))
    assert np.array_equal(index.points_nm.T, xy[index.order])
    for node in range(len(index.lower_nm)):
        level = (node + 1).bit_length() - 1
        j = node + 1 - (1 << level)
        inside = index.points_nm[:, (index.n * j) >> level : (index.n * (j + 1)) >> level]
        assert np.array_equal(inside.min(axis=1), index.lower_nm[node])
        assert np.array_equal(inside.max(axis=1), index.upper_nm[node])


@pytest.mark.parametrize("offset", [1e6, 1e9, 1e12])
@pytest.mark.parametrize("side", [0.01, 300.0, 1e5])
def test_far_from_the_origin_nothing_is_lost_and_nothing_hangs(offset, side):
    xy = draw_layout("hot_spot", 500, np.random.default_rng(0)) / 1000 * side + offset
    expected = np.sort(cKDTree(xy).query(xy, 7)[0], axis=1)
    assert np.array_equal(nearest(BlockIndex.build(xy), 6).distances_nm, expected[:, 1:].astype(np.float32))


def test_too_few_localizations_are_refused():
    with pytest.raises(TooFewLocalizations, match="5 neighbors need 6 localizations; there are 5"):
        nearest(BlockIndex.build(np.zeros((5, 2))), 5)
