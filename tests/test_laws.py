"""The laws of an analysis as properties: conservation, tiling changes nothing, exactness, identity, units."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import HEIGHTS, KINDS, draw_layout, layouts, layouts_3d, raised
from support import (
    HAND_DRAWN,
    HAND_DRAWN_CLUSTERS,
    Threshold,
    TwoThresholds,
    analyse_in_memory,
    oracle_clusters,
    oracle_neighbors,
)

from caml_dask.stages.classify import Distances
from caml_dask.stages.shared import certified, surroundings
from caml_dask.stages.shared.work import coordinates

CLASSIFIERS = st.builds(
    Threshold,
    n_neighbors=st.sampled_from([4, 6, 9]),
    rank=st.integers(1, 4),
    below=st.sampled_from([0.4, 0.6, 0.8, 1.1]),
)
CLASSIFIERS_3D = CLASSIFIERS.map(lambda c: replace(c, dimensions=3))


def three_classes(network: Threshold) -> TwoThresholds:
    """A network that tells rounds and fibers apart, over the same window."""
    chosen = (network.n_neighbors, max(2, network.rank), network.below, network.dimensions)
    return TwoThresholds(*chosen)


def plane(most: int) -> st.SearchStrategy:
    """Localizations and a network of them."""
    return st.tuples(layouts(most=most), CLASSIFIERS)


def further(most: int) -> st.SearchStrategy:
    """The same in 3D, of three classes, and both."""
    return st.one_of(
        st.tuples(layouts_3d(most=most), CLASSIFIERS_3D),
        st.tuples(layouts(most=most), CLASSIFIERS.map(three_classes)),
        st.tuples(layouts_3d(most=most), CLASSIFIERS_3D.map(three_classes)),
    )


def tiled(cases: Callable[[int], st.SearchStrategy]) -> st.SearchStrategy:
    """Cases with a tile size behind them, over fields that even tiles of two cut into dozens and not into hundreds."""
    return st.sampled_from([2, 4, 8, 13, 30]).flatmap(
        lambda tile: cases(24 if tile < 8 else 60).map(lambda case: (*case, tile))
    )


WHOLE = 10**6


def test_hand_drawn_field():
    network = Threshold(n_neighbors=5, rank=3, below=0.5)
    result = analyse_in_memory(HAND_DRAWN, network, WHOLE)
    assert np.array_equal(result.cluster_id, HAND_DRAWN_CLUSTERS)
    assert result.clusters["n_localizations"].to_pylist() == [5, 4]
    assert result.clusters["cluster_id"].to_pylist() == [0, 5]


@given(tiled(plane))
def test_tiling_changes_nothing(case):
    """Laws 1 to 4 at once, on any tiling.

    Conservation: every loc_id is owned by one tile and stands once in every table of a row a localization. Tiling
    changes nothing: points and clusters are those of one tile, to the bit, outlines included. Exactness: distances are
    those of comparing everything with everything. Identity: cluster_id is the smallest loc_id of what the definition
    joins.
    """
    _assert_tiling_changes_nothing(*case)


@given(tiled(further))
def test_tiling_changes_nothing_in_3d_and_of_three_classes(case):
    _assert_tiling_changes_nothing(*case)


def _assert_tiling_changes_nothing(xy, network, tile):
    one, many = analyse_in_memory(xy, network, WHOLE), analyse_in_memory(xy, network, tile)
    _assert_conserved(many, xy)
    assert one.work.partition().n_tiles == 1
    assert many.points.equals(one.points)
    assert many.clusters.equals(one.clusters)
    assert _outlines(many).equals(_outlines(one))
    _assert_exact(many, xy, network.n_neighbors)
    labels = many.points["label"].to_numpy()
    assert np.array_equal(many.cluster_id, oracle_clusters(xy, labels, network.n_neighbors))


def test_what_lies_just_at_the_radius_is_found_in_another_tile():
    """Law 2 where x - (x - p) is not p in floating point: in steps of 0.1 nm the k-th neighbor lies at the edge."""
    x = [0.1, 0.8, 0.9, 1.6, 2.9, 4.2, 10.3, 10.5, 12.6, 13.3, 19.4, 19.5, 19.7, 19.8]
    xy, network = np.column_stack([x, np.full(len(x), 0.7)]), Threshold(n_neighbors=4, rank=1, below=0.6)
    assert analyse_in_memory(xy, network, 1).points.equals(analyse_in_memory(xy, network, WHOLE).points)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 3)), min_size=8, max_size=16), st.integers(1, 3))
def test_tenths_of_a_nanometre_change_nothing(tenths, tile):
    """Law 2 on tables written with one decimal, whose differences are rounded, in tiles of one to three rows."""
    xy, network = np.array(tenths) / 10, Threshold(n_neighbors=4, rank=1, below=0.6)
    one, many = analyse_in_memory(xy, network, WHOLE), analyse_in_memory(xy, network, tile)
    assert many.points.equals(one.points)
    assert many.clusters.equals(one.clusters)


@given(tiled(plane), st.integers(0, 2**32 - 1))
def test_row_order_changes_nothing_but_the_ids(case, seed):
    """Law 2: shuffled rows give the same labels, clusters and measures, ids up to the numbering of the rows."""
    _assert_row_order_changes_nothing(*case, seed)


@settings(max_examples=60)
@given(tiled(further), st.integers(0, 2**32 - 1))
def test_row_order_changes_nothing_in_3d_and_of_three_classes(case, seed):
    _assert_row_order_changes_nothing(*case, seed)


def _assert_row_order_changes_nothing(xy, network, tile, seed):
    order = np.random.default_rng(seed).permutation(len(xy))
    one, shuffled = analyse_in_memory(xy, network, WHOLE), analyse_in_memory(xy[order], network, tile)
    for name in (*network.score_columns, "label", "window_saturated"):
        assert shuffled.points[name].equals(one.points[name].take(pa.array(order)))
    assert _same_partition(one.cluster_id[order], shuffled.cluster_id)
    measures = [n for n in one.clusters.column_names if n != "cluster_id"]
    back = _renumbered(shuffled.clusters, shuffled.cluster_id, order)
    assert back.select(measures).equals(one.clusters.select(measures))


@given(tiled(plane), st.sampled_from([0.25, 0.5, 2.0, 1024.0]))
def test_scaling_scales(case, scale):
    """Law 8: lengths by s, areas by s squared, to the bit for powers of two; nothing else changes."""
    _assert_scaling_scales(*case, scale)


@settings(max_examples=60)
@given(tiled(further), st.sampled_from([0.25, 0.5, 2.0, 1024.0]))
def test_scaling_scales_in_3d_and_of_three_classes(case, scale):
    """Volumes by s cubed."""
    _assert_scaling_scales(*case, scale)


def _assert_scaling_scales(xy, network, tile, scale):
    one, scaled = analyse_in_memory(xy, network, WHOLE), analyse_in_memory(xy * scale, network, tile)
    assert np.array_equal(one.cluster_id, scaled.cluster_id)
    for name in one.clusters.column_names:
        before, after = one.clusters[name], scaled.clusters[name]
        powers = {"nm": 1, "nm2": 2, "nm3": 3, "um2": -2, "um3": -3}
        factor = scale ** powers[name.rsplit("_", 1)[-1]] if name.rsplit("_", 1)[-1] in powers else None
        if factor is None:
            assert after.equals(before), name
        else:
            assert np.array_equal(before.to_numpy() * factor, after.to_numpy(), equal_nan=True), name


@pytest.mark.parametrize("kind", KINDS)
def test_large_layouts_with_a_wide_window(kind):
    """Law 2 where tiles are far smaller than the halo: a window of 100 over tiles of 40."""
    xy = draw_layout(kind, 1500, np.random.default_rng(7))
    network = Threshold(n_neighbors=100, rank=10, below=0.5)
    one, many = analyse_in_memory(xy, network, WHOLE), analyse_in_memory(xy, network, 40)
    assert many.points.equals(one.points)
    assert many.clusters.equals(one.clusters)


@pytest.mark.parametrize("kind", ["scattered", "void", "two_places", "chain", "hot_spot"])
@pytest.mark.parametrize("height", HEIGHTS)
def test_large_layouts_in_3d_with_a_wide_window(kind, height):
    rng = np.random.default_rng(7)
    points = raised(draw_layout(kind, 600, rng), height, rng)
    network = TwoThresholds(n_neighbors=100, rank=10, below=0.6, dimensions=3)
    one, many = analyse_in_memory(points, network, WHOLE), analyse_in_memory(points, network, 40)
    assert many.points.equals(one.points)
    assert many.clusters.equals(one.clusters)


def test_three_classes_next_to_one_another_part():
    """Rounds and fibers link among themselves only, whatever lies between them."""
    rng = np.random.default_rng(3)
    blob = rng.normal(0, 20, (40, 2)) + 500
    network = TwoThresholds(n_neighbors=9, rank=4, below=2.0)
    result = analyse_in_memory(np.vstack([blob, rng.uniform(0, 1000, (20, 2))]), network, 7)
    label, cluster = result.points["label"].to_numpy(), result.cluster_id
    assert set(label) == {1, 2}
    assert sorted(result.clusters["label"].unique().to_pylist()) == [1, 2]
    for row in result.clusters.to_pylist():
        members = label[cluster == row["cluster_id"]]
        assert len(members) == row["n_localizations"] and set(members) == {row["label"]}


def test_a_stray_localization_does_not_bring_the_image_into_memory(monkeypatch):
    """Law 3 for windows that would hold the whole image: tile after tile, with the same result."""
    xy = np.vstack([np.random.default_rng(1).uniform(0, 40_000, (3000, 2)), [[1e6, 1e6], [2e6, -1e6]]])
    one = analyse_in_memory(xy, Threshold(n_neighbors=6), WHOLE)
    read = []
    real = surroundings.rows_within
    monkeypatch.setattr(certified, "rows_within", lambda *a: read.append(real(*a)) or read[-1])
    many = analyse_in_memory(xy, Threshold(n_neighbors=6), 100)
    assert many.points.equals(one.points)
    assert max((len(w.rows) for w in read), default=0) <= certified._MOST_TILES * 100


@given(tiled(lambda most: st.tuples(layouts(least=15, most=most), st.integers(1, 5))))
def test_nonfinite_rows_stay_with_null_results(case):
    """Law 1: rows with NaN or infinity are counted, kept in place, and change nothing for the others."""
    xy, bad, tile = case
    network = Threshold(n_neighbors=4)
    rows = np.sort(np.random.default_rng(bad).choice(len(xy) + bad, bad, replace=False))
    spoiled = np.full((len(xy) + bad, 2), np.nan)
    good = np.setdiff1d(np.arange(len(spoiled)), rows)
    spoiled[good] = xy
    spoiled[rows[0]] = [np.inf, 3.0]
    clean, result = analyse_in_memory(xy, network, WHOLE), analyse_in_memory(spoiled, network, tile)
    assert result.work.facts()["rows"] - result.work.facts()["finite"] == bad
    for name in ("p_clustered", "label", "cluster_id", "window_saturated"):
        assert result.points[name].take(pa.array(rows)).null_count == bad
    assert np.array_equal(result.points["label"].take(pa.array(good)).to_numpy(), clean.points["label"].to_numpy())
    ids = result.points["cluster_id"].take(pa.array(good)).to_numpy()
    assert np.array_equal(ids, np.where(clean.cluster_id < 0, -1, good[clean.cluster_id]))


def _assert_conserved(result, xy):
    store, tiles = result.work.store, result.work.partition().n_tiles
    for name in ("tile", "labels", "reach", "pieces", "membership"):
        ids = np.concatenate([store.get(name, t)["loc_id"].to_numpy() for t in range(tiles)])
        assert np.array_equal(np.sort(ids), np.arange(len(xy))), name
    assert np.array_equal(result.points["loc_id"].to_numpy(), np.arange(len(xy)))
    assert np.array_equal(result.points["x_nm"].to_numpy(), xy[:, 0])
    assert sum(result.clusters["n_localizations"].to_pylist()) == np.count_nonzero(result.cluster_id >= 0)


def _assert_exact(result, xy, k):
    expected = oracle_neighbors(xy, k)
    for t in range(result.work.partition().n_tiles):
        tile = result.work.store.get("tile", t)
        ids, labels = tile["loc_id"].to_numpy(), result.work.store.get("labels", t)
        assert np.array_equal(coordinates(tile), xy[ids])
        assert np.array_equal(labels["window_nm"].to_numpy(), expected[ids, -1])
        assert np.array_equal(labels["nearest_nm"].to_numpy(), expected[ids, 0])
    last = result.work.partition().n_tiles - 1
    ids = result.work.store.get("tile", last)["loc_id"].to_numpy()
    for part in certified.certified(result.work, last, Distances(k)):
        assert np.array_equal(part.distances_nm, expected[ids[part.rows]].astype(np.float32))


def _outlines(result):
    tiles = result.work.partition().n_tiles
    measured = [result.work.store.get("outlines", t) for t in range(tiles)]
    return pa.concat_tables(measured).sort_by("cluster_id").combine_chunks()


def _same_partition(a, b):
    pairs = set(zip(a.tolist(), b.tolist(), strict=True))
    return len(pairs) == len(set(a.tolist())) == len(set(b.tolist())) and ((a < 0) == (b < 0)).all()


def _renumbered(clusters, cluster_id, order):
    """The clusters of shuffled rows in the order their smallest unshuffled row gives them."""
    first = {c: order[cluster_id == c].min() for c in clusters["cluster_id"].to_pylist()}
    place = np.argsort([first[c] for c in clusters["cluster_id"].to_pylist()])
    return clusters.take(pa.array(place, pa.int64())).combine_chunks()
