from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import layouts

from caml_dask.spatial.partition import partition


def cut(xy, most, batch=37):
    bounds = [*xy.min(axis=0), *xy.max(axis=0)]
    return partition(lambda: (xy[i : i + batch] for i in range(0, len(xy), batch)), len(xy), bounds, most)


@given(layouts(least=4, most=300), st.sampled_from([1, 2, 7, 40, 500]))
def test_every_localization_has_one_box_of_bounded_count(xy, most):
    tiles = cut(xy, most)
    owner = tiles.tile_of(xy)
    inside = (xy[:, None, :] >= tiles.lower_nm) & (xy[:, None, :] < tiles.upper_nm)
    assert np.array_equal(inside.all(axis=2).sum(axis=1), np.ones(len(xy)))
    assert np.array_equal(inside.all(axis=2).argmax(axis=1), owner)
    places = [len(np.unique(xy[owner == t], axis=0)) for t in range(tiles.n_tiles)]
    counts = np.bincount(owner, minlength=tiles.n_tiles)
    # only localizations at one and the same place may stay together beyond the bound
    assert all(count <= most or place == 1 for count, place in zip(counts, places, strict=True))
    assert counts.min() > 0


@given(layouts(least=5, most=100), st.integers(0, 1000))
@settings(max_examples=100)
def test_boxes_do_not_depend_on_row_order_or_batches(xy, seed):
    shuffled = xy[np.random.default_rng(seed).permutation(len(xy))]
    one, other = cut(xy, 6), cut(shuffled, 6, batch=11)
    assert np.array_equal(one.lower_nm, other.lower_nm)
    assert np.array_equal(one.upper_nm, other.upper_nm)


def test_a_small_image_is_one_unbounded_tile():
    tiles = cut(np.random.default_rng(0).uniform(0, 100, (200, 2)), 200)
    assert tiles.n_tiles == 1
    assert np.isinf([*tiles.lower_nm[0], *tiles.upper_nm[0]]).all()


def test_a_hot_spot_is_cut_as_fine_as_it_needs():
    rng = np.random.default_rng(1)
    xy = np.vstack([rng.uniform(0, 1e6, (2000, 2)), rng.normal(5e5, 1e-3, (20000, 2))])
    owner = cut(xy, 1000, batch=5000).tile_of(xy)
    assert np.bincount(owner).max() <= 1000


def test_boxes_are_bounded_though_localizations_lie_beyond_the_bounds():
    xy = np.random.default_rng(3).normal(0, 100, (4000, 2))
    bounds = [*np.quantile(xy, 0.2, axis=0), *np.quantile(xy, 0.8, axis=0)]
    owner = partition(lambda: [xy], len(xy), bounds, 300).tile_of(xy)
    assert np.bincount(owner).max() <= 300


def test_tiles_are_balanced():
    xy = np.random.default_rng(2).uniform(0, 1e4, (50000, 2))
    counts = np.bincount(cut(xy, 1000, batch=10000).tile_of(xy))
    assert len(counts) <= 75
    assert counts.min() >= 500


def test_distance_and_clearance():
    xy = np.random.default_rng(3).uniform(0, 100, (400, 2))
    tiles = cut(xy, 50)
    for tile in range(tiles.n_tiles):
        distance = tiles.distance_nm(tile, xy)
        assert np.array_equal(
            distance == 0, np.all((xy >= tiles.lower_nm[tile]) & (xy <= tiles.upper_nm[tile]), axis=1)
        )
    clearance = tiles.clearance_nm(np.array([-np.inf, 10.0]), np.array([50.0, np.inf]), np.array([[20.0, 12.0]]))
    assert clearance.tolist() == [2.0]


@pytest.mark.parametrize("places", [2, 3, 70])
def test_places_an_ulp_apart_are_cut(places):
    steps = np.arange(places) * np.spacing(1e5) + 1e5
    xy = np.column_stack([np.tile(steps, 6), np.full(6 * places, 3.0)])
    assert np.bincount(cut(xy, 6).tile_of(xy)).max() <= 6
