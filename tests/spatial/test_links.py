from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import layouts

from caml_dask.spatial.labelled import LabelledIndex
from caml_dask.spatial.links import exact_sums, merge, reach_nm


def distances(a, b):
    return np.sqrt(((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=2))


@settings(max_examples=150)
@given(layouts(least=4, most=200), st.integers(2, 3), st.integers(0, 1000), st.floats(1.0, 400.0))
def test_queries_are_those_of_comparing_everything(xy, classes, seed, bound):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, len(xy)).astype(np.int8)
    index = LabelledIndex.build(xy, labels)
    queries, of = rng.uniform(0, 1000, (20, 2)), rng.integers(0, classes, 20).astype(np.int8)
    queries[:5] = xy[rng.integers(0, len(xy), 5)]
    d = distances(queries, xy)
    other = np.where(labels[None, :] != of[:, None], d, np.inf).min(axis=1)
    limit = np.full(20, bound)
    assert np.array_equal(index.nearest_other_nm(queries, of, limit), np.where(other <= bound, other, np.inf))
    same = (labels[None, :] == of[:, None]) & (d <= bound)
    assert np.array_equal(np.minimum(index.count_same(queries, of, limit, 4), 4), np.minimum(same.sum(axis=1), 4))
    who, row = (np.concatenate(part) for part in zip(*index.pairs_same(queries, of, limit), strict=True))
    assert sorted(zip(who.tolist(), row.tolist(), strict=True)) == list(
        zip(*(x.tolist() for x in np.nonzero(same)), strict=True)
    )


@settings(max_examples=300)
@given(
    layouts(least=2, most=500),
    st.sampled_from(["mixed", "one", "halves"]),
    st.sampled_from([5.0, 120.0, 900.0]),
    st.integers(0, 1000),
)
def test_components_join_what_is_within_reach(xy, classes, longest, seed):
    """Blocks of one class are joined whole where a reach holds them: "one" and "halves" have many of those."""
    from scipy.sparse.csgraph import connected_components

    rng = np.random.default_rng(seed)
    mixed = rng.integers(0, 2, len(xy))
    labels = {"mixed": mixed, "one": np.ones(len(xy)), "halves": xy[:, 0] > np.median(xy[:, 0])}[classes]
    labels = labels.astype(np.int8)
    reach = np.where(rng.random(len(xy)) < 0.3, -1.0, rng.uniform(0, longest, len(xy)))
    found = LabelledIndex.build(xy, labels).components(reach)
    links = (distances(xy, xy) <= reach[:, None]) & (labels[:, None] == labels[None, :])
    _, expected = connected_components(links, directed=False)
    assert np.array_equal(found, [np.flatnonzero(expected == c).min() for c in expected])


def test_a_reach_into_a_block_that_holds_none_of_it_joins_nothing():
    """The block's two groups are one component; its box, but no localization, lies within the reach from the origin."""
    rng = np.random.default_rng(6)
    places = np.repeat([[-40.0, -95.0], [-95.0, -40.0], [0.0, 0.0]], [24, 24, 48], axis=0)
    xy = places + rng.uniform(-0.1, 0.1, places.shape)
    reach = np.repeat([80.0, 100.0], 48)
    found = LabelledIndex.build(xy, np.ones(96, np.int8)).components(reach)
    assert found.tolist() == [0] * 48 + [48] * 48


@pytest.mark.parametrize("dimensions", [2, 3])
def test_localizations_in_block_order_are_indexed_as_they_stand(dimensions):
    rng = np.random.default_rng(5)
    points, labels = rng.normal(size=(1000, dimensions)), rng.integers(0, 3, 1000).astype(np.int8)
    built = LabelledIndex.build(points, labels)
    order = built.index.order
    again = LabelledIndex.of_sorted(points[order], labels[order])
    assert np.array_equal(again.index.order, np.arange(1000))
    for name in ("points_nm", "lower_nm", "upper_nm", "depth"):
        assert np.array_equal(getattr(again.index, name), getattr(built.index, name))
    for name in ("labels", "lowest", "highest"):
        assert np.array_equal(getattr(again, name), getattr(built, name))


def test_reach_stops_short_of_the_nearest_other():
    reach = reach_nm(np.array([5.0, np.inf, 0.0, 7.0]), np.array([6.0, 6.0, 6.0, 7.0]))
    assert reach[0] < 5.0 and reach[0] > 4.999999
    assert reach[1] == 6.0
    assert reach[2] < 0.0
    assert reach[3] < 7.0


def test_merge_follows_chains_in_any_order():
    a = np.array([9, 5, 30, 7], dtype=np.uint64)
    b = np.array([5, 7, 31, 2], dtype=np.uint64)
    ids, smallest = merge(a, b)
    assert dict(zip(ids.tolist(), smallest.tolist(), strict=True)) == {2: 2, 5: 2, 7: 2, 9: 2, 30: 30, 31: 30}
    assert [len(x) for x in merge(a[:0], b[:0])] == [0, 0]


@given(st.lists(st.floats(0, 1e12), min_size=1, max_size=60), st.integers(1, 6), st.integers(0, 99))
def test_sums_of_parts_are_the_sum_of_the_whole_to_the_bit(values, parts, seed):
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(np.array(values))
    starts = np.concatenate([[0], np.sort(rng.integers(0, len(values) + 1, parts - 1)), [len(values)]])
    floats, offsets = exact_sums(shuffled, starts)
    assert math.fsum(floats.tolist()) == math.fsum(values)
    for i in range(parts):
        part = floats[offsets[i] : offsets[i + 1]].tolist()
        assert math.fsum(part) == math.fsum(shuffled[starts[i] : starts[i + 1]].tolist())
