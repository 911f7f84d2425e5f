"""What holds of every method: the form of labels, refusals, scale, duplicates, blocks."""

from __future__ import annotations

import numpy as np
import pytest
from baselines_oracles import clustered_field, components, distances, same_partition
from sklearn.cluster import DBSCAN as Fitted
from support import HAND_DRAWN, HAND_DRAWN_CLUSTERS

from caml_dask import baselines
from caml_dask.baselines import (
    DBSCAN,
    HDBSCAN,
    Bayesian,
    GetisFranklin,
    SRTesseler,
    ToMATo,
    graph,
)
from caml_dask.errors import InputError, UsageError

METHODS = [
    (baselines.dbscan, DBSCAN(4.0, 3)),
    (baselines.hdbscan, HDBSCAN(4)),
    (baselines.getis_franklin, GetisFranklin(4.0, 10.0)),
    (baselines.sr_tesseler, SRTesseler(2.0, rank=0, min_points=3)),
    (baselines.tomato, ToMATo(3, 4.0, 1.0)),
    (baselines.bayesian, Bayesian((2.0, 8.0, 2.0), (5.0, 30.0, 5.0), sigma_nm=(0.5, 3.0), sigma_weight=(1.0, 1.0))),
]
IDS = [method.__name__ for method, _ in METHODS]


# Without a field around them, cells of clusters reach far out: SR-Tesseler has a lattice of its own in its own tests.
@pytest.mark.parametrize(("method", "settings"), [m for m in METHODS if m[0] is not baselines.sr_tesseler])
def test_hand_drawn_clusters_are_found(method, settings):
    """Two clusters of five and four, a pair and loners: every method tells the two clusters."""
    labels = method(HAND_DRAWN, settings)
    assert labels.dtype == np.int64
    assert labels.shape == (len(HAND_DRAWN),)
    found = labels[HAND_DRAWN_CLUSTERS >= 0]
    assert same_partition(found, HAND_DRAWN_CLUSTERS[HAND_DRAWN_CLUSTERS >= 0])
    assert found[0] == 0, "clusters are numbered by their first localizations"
    assert found[5] == 1


@pytest.mark.parametrize(("method", "settings"), METHODS, ids=IDS)
def test_order_and_place_do_not_matter(method, settings):
    order = np.random.default_rng(0).permutation(len(HAND_DRAWN))
    moved = HAND_DRAWN[order] * [1, -1] + [4096.0, -512.0]
    assert same_partition(method(moved, settings), method(HAND_DRAWN, settings)[order])


@pytest.mark.parametrize(("method", "settings"), METHODS, ids=IDS)
def test_duplicates_are_taken(method, settings):
    twice = np.vstack([HAND_DRAWN, HAND_DRAWN])
    labels = method(twice, settings)
    assert (labels[: len(HAND_DRAWN)] == labels[len(HAND_DRAWN) :]).all()


@pytest.mark.parametrize(("method", "settings"), METHODS, ids=IDS)
@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (np.zeros((20, 3)), "leave out z"),
        (np.zeros(20), "in nm"),
        (np.append(HAND_DRAWN, [[np.nan, 0.0]], axis=0), "drop them"),
        (np.zeros((0, 2)), "the field has 0"),
    ],
)
def test_inputs_that_cannot_be_used_are_refused(method, settings, bad, says):
    with pytest.raises(InputError, match=says):
        method(bad, settings)


@pytest.mark.parametrize("method", [baselines.getis_franklin, baselines.sr_tesseler, baselines.bayesian])
def test_a_line_has_no_area(method):
    settings = dict(METHODS)[method]
    for line in (np.column_stack([np.arange(9.0), np.zeros(9)]), np.ones((9, 2)), np.arange(18.0).reshape(9, 2)):
        with pytest.raises(InputError, match="not on a line"):
            method(line, settings)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: DBSCAN(eps_nm=0), "eps_nm=0"),
        (lambda: DBSCAN(min_points=0), "min_points=0: give at least 1"),
        (lambda: HDBSCAN(min_cluster_size=1), "min_cluster_size=1"),
        (lambda: HDBSCAN(min_samples=0), "min_samples=0"),
        (lambda: GetisFranklin(threshold_nm=float("nan")), "threshold_nm=nan"),
        (lambda: GetisFranklin(link_nm=-1.0), "link_nm"),
        (lambda: SRTesseler(rank=2), "rank=2: use 0"),
        (lambda: SRTesseler(min_area_nm2=-1), "min_area_nm2"),
        (lambda: ToMATo(k=0), "k=0"),
        (lambda: ToMATo(persistence_per_um2=-1), "persistence_per_um2"),
        (lambda: Bayesian(background=1.0), "background=1.0"),
        (lambda: Bayesian(r_nm=(50.0, 10.0, 5.0)), "first, last and step"),
        (lambda: Bayesian(sigma_nm=(20.0, 10.0), sigma_weight=(1.0, 1.0)), "ascending"),
        (lambda: Bayesian(sigma_nm=(10.0, 20.0), sigma_weight=(0.0, 0.0)), "not all 0"),
        (lambda: Bayesian(time_limit_s=0.0), "time_limit_s=0.0"),
    ],
)
def test_settings_out_of_range_are_refused(make, says):
    with pytest.raises(UsageError, match=says):
        make()


def test_dbscan_and_hdbscan_are_those_of_scikit_learn():
    xy, truth = clustered_field(1)
    theirs = Fitted(eps=25.0, min_samples=5).fit_predict(xy)
    assert same_partition(baselines.dbscan(xy, DBSCAN(25.0, 5)), theirs)
    found = baselines.hdbscan(xy, HDBSCAN(8))
    assert len(set(found[truth >= 0])) > 3
    with pytest.raises(InputError, match="HDBSCAN needs 200"):
        baselines.hdbscan(xy, HDBSCAN(min_samples=200))


def test_components_do_not_depend_on_blocks(monkeypatch):
    xy, _ = clustered_field(2)
    want = components(distances(xy) <= 60, np.arange(len(xy)))
    for most in (1, 30, 10**6):
        monkeypatch.setattr(graph, "MOST_PAIRS", most)
        assert same_partition(graph.components_within(xy, 60.0), want)
        i, j, d = (np.concatenate(part) for part in zip(*graph.pairs_within(xy, 60.0)))
        assert len(i) == (np.triu(distances(xy) <= 60, 1)).sum()
        assert (i < j).all()
        np.testing.assert_allclose(d, distances(xy)[i, j])
        np.testing.assert_allclose(graph.knn_distance_nm(xy, 4), np.sort(distances(xy), axis=1)[:, 4])
