"""DBSCAN in the pipeline: scikit-learn's labels, the stated rule for borders, and the laws of DESIGN section 4."""

from __future__ import annotations

import resource

import numpy as np
import pyarrow as pa
import pytest
from baselines_oracles import same_partition
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import KINDS, draw_layout, layouts, layouts_3d
from sklearn.cluster import DBSCAN as Fitted
from support import oracle_dbscan, oracle_neighbors
from tiled_methods import WHOLE, analysis, stages

from caml_dask import analyze
from caml_dask.methods import DBSCAN
from caml_dask.stages.shared.clusters import clusters_of

METHODS = st.builds(DBSCAN, st.sampled_from([0.3, 1.0, 2.5, 16.0, 25.0, 48.0, 120.0]), st.integers(1, 9))
CASES = st.sampled_from([1, 3, 8, 13, 30]).flatmap(
    lambda tile: st.tuples(
        st.one_of(layouts(most=20 if tile < 8 else 60), layouts_3d(most=15 if tile < 8 else 40)), METHODS, st.just(tile)
    )
)
"""Fields that even tiles of one cut into dozens and not into hundreds, with a method and the size of a tile."""


def assert_scikit_learns(points: np.ndarray, method: DBSCAN, cluster: np.ndarray) -> None:
    """Cores, their clusters and noise are those of scikit-learn; other localizations are in a cluster of a core that
    they reach."""
    fitted = Fitted(eps=method.eps_nm, min_samples=method.min_samples, algorithm="kd_tree").fit(points)
    core = fitted.core_sample_indices_
    assert same_partition(cluster[core], fitted.labels_[core])
    assert np.array_equal(cluster < 0, fitted.labels_ < 0)


@settings(max_examples=300)
@given(CASES)
def test_labels_are_scikit_learns_on_any_tiling(case):
    points, method, tile = case
    work = stages(points, method, tile, before="occupied")
    tiles = range(work.partition().n_tiles)
    tables = [work.store.get("labels", one) for one in tiles]
    ids = np.concatenate([table["loc_id"].to_numpy() for table in tables])
    assert np.array_equal(np.sort(ids), np.arange(len(points)))
    at = np.argsort(ids)
    found = np.concatenate([clusters_of(work, one)[0] for one in tiles])[at]
    assert_scikit_learns(points, method, found)
    core, cluster = oracle_dbscan(points, method.eps_nm, method.min_samples)
    assert np.array_equal(found, cluster)
    label, nearest = (
        np.concatenate([table[name].to_numpy() for table in tables])[at] for name in ("label", "nearest_nm")
    )
    assert np.array_equal(label, (cluster >= 0).astype(np.int8))
    assert np.array_equal(nearest, oracle_neighbors(points, 1)[:, 0])
    cores = np.concatenate([work.store.get("cores", one)["loc_id"].to_numpy() for one in tiles])
    assert np.array_equal(np.sort(cores), np.flatnonzero(core))


@given(CASES)
def test_tiling_changes_nothing(case):
    points, method, tile = case
    one, many = analysis(points, method), analysis(points, method, tile)
    assert one.work.partition().n_tiles == 1
    assert many.points.equals(one.points)
    assert many.clusters.equals(one.clusters)


@settings(max_examples=60)
@given(CASES, st.integers(0, 2**32 - 1))
def test_the_order_of_rows_changes_nothing_but_ids(case, seed):
    points, method, tile = case
    order = np.random.default_rng(seed).permutation(len(points))
    one, moved = analysis(points, method), analysis(points[order], method, tile)
    assert same_partition(one.cluster_id[order], moved.cluster_id)
    measures = [name for name in one.clusters.column_names if name != "cluster_id"]
    first = {int(new): int(order[np.flatnonzero(moved.cluster_id == new)].min()) for new in np.unique(moved.cluster_id)}
    back = np.argsort([first[one] for one in moved.clusters["cluster_id"].to_pylist()])
    assert moved.clusters.take(pa.array(back)).select(measures).equals(one.clusters.select(measures))


@settings(max_examples=60)
@given(CASES, st.sampled_from([0.25, 2.0, 1024.0]))
def test_scaling_scales(case, scale):
    points, method, tile = case
    scaled = DBSCAN(method.eps_nm * scale, method.min_samples)
    one, other = analysis(points, method), analysis(points * scale, scaled, tile)
    assert np.array_equal(one.cluster_id, other.cluster_id)
    for name in ("radius_of_gyration_nm", "b_nm"):
        assert np.array_equal(one.clusters[name].to_numpy() * scale, other.clusters[name].to_numpy())


@pytest.mark.parametrize("kind", KINDS)
def test_large_layouts(kind):
    points = draw_layout(kind, 1500, np.random.default_rng(7))
    for method in (DBSCAN(30, 5), DBSCAN(8, 3), DBSCAN(200, 40)):
        one, many = analysis(points, method), analysis(points, method, 40)
        assert many.points.equals(one.points) and many.clusters.equals(one.clusters)
        assert_scikit_learns(points, method, one.cluster_id)


def test_a_border_joins_its_nearest_core_and_of_two_as_near_the_lower_one():
    """Two groups of cores around a localization between them, which rows of any order give to the same."""
    group = np.array([[0.0, 0], [1, 0], [0, 1], [0, -1], [-1, 0]])
    middle = np.array([[5.0, 0.0]])
    for shift, expected in ((9.0, 0), (8.5, 1), (9.5, 0)):  # the groups' nearest are at 1 and at shift - 1 in x
        points = np.vstack([group, group * [-1, 1] + [shift + 1, 0], middle])
        for order in (np.arange(11), np.arange(11)[::-1], np.random.default_rng(0).permutation(11)):
            cluster = analysis(points[order], DBSCAN(4.0, 5), 3).cluster_id
            at = np.argsort(order)
            assert cluster[at[10]] == cluster[at[5 * expected]] != cluster[at[5 * (1 - expected)]]


def test_clusters_of_one_are_kept_unless_min_points_says_otherwise():
    """Cores whose neighbors are nearer to others may be alone in their cluster, in scikit-learn too."""
    points = np.array([[0.0, 0], [500, 0], [500, 1], [900, 0]])
    assert analysis(points, DBSCAN(2, 1)).cluster_id.tolist() == [0, 1, 1, 3]
    found = analysis(points, DBSCAN(2, 1), min_points=2)
    assert found.cluster_id.tolist() == [-1, 1, 1, -1]
    assert found.points["label"].to_pylist() == [1, 1, 1, 1]


@pytest.mark.parametrize("tile", [10_000, WHOLE])
def test_a_hot_spot_in_bounded_memory(tile):
    """1e5 localizations within eps of each other: their 1e10 pairs would be 160 GB, and 1e10 steps."""
    rng = np.random.default_rng(5)
    points = np.vstack([rng.normal(700, 3, (100_000, 2)), rng.uniform(0, 2000, (2_000, 2))])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = analysis(points, DBSCAN(30, 5), tile)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # kB
    assert (found.cluster_id[:100_000] == 0).all()
    links = [found.work.store.get("piece_links", one) for one in range(found.work.partition().n_tiles)]
    assert sum(map(len, links)) < 200_000


def test_no_warning_is_of_a_network_and_what_a_method_lacks_is_absent():
    rng = np.random.default_rng(1)
    centers = rng.uniform(500, 4500, (40, 2))
    points = np.vstack([np.repeat(centers, 15, axis=0) + rng.normal(0, 10, (600, 2)), rng.uniform(0, 5000, (900, 2))])
    result = analyze(points, method=DBSCAN(30, 5), n_jobs=1)
    assert result.summary["warnings"] == []
    assert result.summary["network"] is None
    assert result.summary["method"] == {"name": "dbscan", "eps_nm": 30.0, "min_samples": 5}
    assert list(result.points) == ["loc_id", "x_nm", "y_nm", "label", "cluster_id", "window_saturated"]
    assert not result.points["window_saturated"].any()
    assert result.summary["csr_test"]["p_value"] < 0.05
    assert (result.clusters["q_value"] < 0.05).sum() > 30
    assert repr(result).startswith("Analysis by DBSCAN (eps_nm=30, min_samples=5): 1,500 localizations")
    noise = analyze(rng.uniform(0, 5000, (1500, 2)), method=DBSCAN(60, 4), n_jobs=1)
    assert noise.summary["clusters"] > 0 and noise.summary["csr_test"]["p_value"] > 0.05
    assert [text.split(":")[0] for text in noise.summary["warnings"]] == ["not-beyond-randomness"]
