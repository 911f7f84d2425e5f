"""Records of an evaluation, from truth and labels that a reader can count."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from support import HAND_DRAWN, HAND_DRAWN_CLUSTERS

from caml_dask.api import Analysis
from caml_dask.evaluation import clusters, labels, protocol
from caml_dask.evaluation.clusters import Found, compare_clusters, found_of_class, fragments, true_sizes
from caml_dask.evaluation.labels import compare_labels
from caml_dask.evaluation.protocol import Protocol
from caml_dask.networks import NETWORKS, TrainedNetwork
from caml_dask.simulate import FiberScenario, Field, Scenario, SlabScenario, scenario_named, scenarios_named

SMALL = Protocol(samples=50, replicates=1, smoke=True)


def field(points_nm: np.ndarray, truth: np.ndarray, classes: np.ndarray | None = None) -> Field:
    classes = (truth >= 0).astype(np.int8) if classes is None else np.asarray(classes, np.int8)
    return Field(points_nm, truth, classes, np.empty((0, points_nm.shape[1])), 4.0, Scenario.csr(10.0))


def test_labels_of_ten_localizations_by_hand():
    # 3 of 4 clustered found (recall 3/4), 2 of 6 others called clustered (precision 3/5).
    truth = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0], np.int8)
    score = np.array([0.95, 1.0, 0.8, 0.25, 0.55, 0.95, 0.05, 0.0, 0.25, 0.25], np.float32)[:, None]
    found = compare_labels(truth, score, (score[:, 0] > 0.5).astype(np.int8))
    assert found["n"] == 10
    assert found["accuracy"] == pytest.approx(0.7)
    assert found["balanced_accuracy"] == pytest.approx((3 / 4 + 4 / 6) / 2)
    assert (found["precision"], found["recall"], found["f1"]) == pytest.approx((3 / 5, 3 / 4, 6 / 9))
    assert (found["recall_non_clustered"], found["recall_round"]) == pytest.approx((4 / 6, 3 / 4))
    assert math.isnan(found["recall_fiber"])
    assert found["percent_called_clustered"] == 50.0 and found["mean_score"] == pytest.approx(0.505)
    assert [found[f"bin{b}_n"] for b in range(10)] == [2, 0, 3, 0, 0, 1, 0, 0, 1, 3]
    assert found["bin9_mean_score"] == pytest.approx(2.9 / 3) and found["bin9_share_clustered"] == pytest.approx(2 / 3)
    assert found["bin2_share_clustered"] == pytest.approx(1 / 3) and math.isnan(found["bin1_mean_score"])
    assert found["n_round_called_non_clustered"] == 1 and found["n_non_clustered_called_round"] == 2


def test_three_classes_have_a_recall_each_and_clustered_is_either():
    truth = np.array([0, 0, 1, 1, 2, 2, 2, 2], np.int8)
    called = np.array([0, 1, 1, 2, 2, 2, 2, 0], np.int8)
    scores = np.full((8, 3), 0.18, np.float32)
    scores[np.arange(8), called] = 0.64
    found = compare_labels(truth, scores, called)
    assert [found[f"recall_{c}"] for c in labels.CLASS_KEYS] == pytest.approx([1 / 2, 1 / 2, 3 / 4])
    assert found["balanced_accuracy"] == pytest.approx((1 / 2 + 1 / 2 + 3 / 4) / 3)
    assert found["accuracy"] == pytest.approx(5 / 8)
    assert found["recall"] == pytest.approx(5 / 6) and found["precision"] == pytest.approx(5 / 6)
    assert found["n_round_called_fiber"] == 1 and found["n_fiber_called_non_clustered"] == 1
    assert found["bin8_n"] == 6 and found["bin8_share_clustered"] == pytest.approx(5 / 6)  # 1 - 0.18
    assert found["bin3_n"] == 2


def test_two_classes_count_fibers_as_clustered():
    score = np.array([[0.9], [0.9], [0.1]], np.float32)
    found = compare_labels(np.array([2, 1, 0], np.int8), score, np.array([1, 1, 0], np.int8))
    assert found["accuracy"] == found["balanced_accuracy"] == 1.0 and math.isnan(found["recall_fiber"])


def test_a_field_without_clusters_has_one_recall():
    found = compare_labels(np.zeros(4, np.int8), np.zeros((4, 1), np.float32), np.array([0, 0, 0, 1], np.int8))
    assert found["balanced_accuracy"] == 0.75 and math.isnan(found["recall"])


def test_fragments_hold_a_tenth_of_a_cluster():
    truth = np.repeat([7, 8, -1, 9], [20, 20, 5, 10])
    found = np.full(55, -1)
    found[:11], found[11:13], found[13:14] = 0, 11, 13  # 11, 2 and 1 of the 20 of cluster 7
    found[20:40] = 20  # all of cluster 8
    found[40:45] = 40  # nothing true
    assert fragments(truth, found).tolist() == [2, 1, 0]
    assert fragments(np.full(4, -1), np.zeros(4, int)).tolist() == []


def test_clusters_of_the_hand_drawn_field_against_themselves():
    found = Found(HAND_DRAWN_CLUSTERS, *true_sizes(HAND_DRAWN, HAND_DRAWN_CLUSTERS))
    row = compare_clusters(field(HAND_DRAWN, HAND_DRAWN_CLUSTERS), found, None)
    assert set(row) == set(clusters.COLUMNS) - set(protocol.SCENARIO_COLUMNS) - {
        "network",
        "class",
        "localizations",
        "reason",
    }
    for name in ("clusters", "clusters_per_um2", "median_points_per_cluster", "median_area_nm2", "percent_clustered"):
        assert row[f"true_{name}"] == row[f"found_{name}"]
    assert row["true_clusters"] == row["matched_clusters"] == 2 and row["true_clusters_per_um2"] == 0.5
    assert row["true_median_points_per_cluster"] == 4.5 and row["true_percent_clustered"] == 100 * 9 / 16
    assert (row["ari"], row["ari_clustered"], row["hull_iou"], row["mean_fragments"]) == pytest.approx((1, 1, 1, 1))
    assert row["percent_in_1_fragment"] == 100.0 and math.isnan(row["true_median_volume_nm3"])


def test_true_outlines_are_the_packages_own():
    # Four corners of a square of side 2: b = 1.2 x 2, discs of 2b united and eroded by b are the square grown by b,
    # less what the erosion takes between two of the discs.
    area, volume = true_sizes(HAND_DRAWN, np.where(HAND_DRAWN_CLUSTERS == 5, 5, -1))
    assert len(area) == 1 and len(volume) == 0
    b = 2.4
    assert 4 + 8 * b < area[0] < 4 + 8 * b + math.pi * b * b
    order = np.random.default_rng(0).permutation(len(HAND_DRAWN))
    assert true_sizes(HAND_DRAWN[order], HAND_DRAWN_CLUSTERS[order])[0] == pytest.approx(
        true_sizes(HAND_DRAWN, HAND_DRAWN_CLUSTERS)[0]
    )


def test_each_class_of_cluster_is_compared_by_itself():
    truth, classes = (
        HAND_DRAWN_CLUSTERS,
        np.where(HAND_DRAWN_CLUSTERS == 5, 2, np.where(HAND_DRAWN_CLUSTERS == 0, 1, 0)),
    )
    points = pd.DataFrame({"cluster_id": truth, "label": classes})
    table = pd.DataFrame({"cluster_id": [0, 5], "label": [1, 2], "area_nm2": [30.0, 20.0]})
    for label, points_per_cluster, area in ((1, 5, 30.0), (2, 4, 20.0)):
        found = found_of_class(points, table, label)
        row = compare_clusters(field(HAND_DRAWN, truth, classes), found, label)
        assert row["true_clusters"] == row["found_clusters"] == 1 and row["found_median_area_nm2"] == area
        assert row["true_median_points_per_cluster"] == row["found_median_points_per_cluster"] == points_per_cluster
    assert len(found_of_class(points, table, None).area_nm2) == 2


def test_clusters_in_space_have_volumes_and_no_areas():
    points = np.column_stack([HAND_DRAWN, np.arange(16.0)])
    table = pd.DataFrame({"cluster_id": [0, 5], "label": [1, 1], "volume_nm3": [8.0, 10.0]})
    found = found_of_class(pd.DataFrame({"cluster_id": HAND_DRAWN_CLUSTERS}), table, None)
    row = compare_clusters(field(points, HAND_DRAWN_CLUSTERS), found, None)
    assert row["found_median_volume_nm3"] == 9.0
    assert math.isnan(row["found_median_area_nm2"]) and math.isnan(row["hull_iou"])


def test_nothing_found_is_null_not_zero_areas():
    none = Found(np.full(16, -1), np.empty(0), np.empty(0))
    row = compare_clusters(field(HAND_DRAWN, HAND_DRAWN_CLUSTERS), none, None)
    assert row["found_clusters"] == 0 and row["found_percent_clustered"] == 0.0
    assert math.isnan(row["found_median_area_nm2"]) and row["percent_in_0_fragments"] == 100.0


@pytest.mark.parametrize("name", ["uniform-p20-r50-c50-d100", "csr-d50"])
def test_a_field_is_made_from_seed_and_name_alone(name):
    scenario = scenario_named(name)
    one = labels.label_records("evaluation", scenario, 1, ["XPILJZ"], SMALL)
    other = labels.label_records("densities", scenario, 1, ["07VEJJ", "XPILJZ"], SMALL)
    assert list(one[0]) == list(other[1]) and set(one[0]) == set(labels.COLUMNS)
    pd.testing.assert_frame_equal(pd.DataFrame(one).drop(columns="grid"), pd.DataFrame(other[1:]).drop(columns="grid"))
    again = labels.label_records("evaluation", scenario, 0, ["XPILJZ"], SMALL)[0]
    assert again["mean_score"] != one[0]["mean_score"]
    assert one[0]["n"] == 50


def untrained(name: str) -> TrainedNetwork:
    """A network with weights drawn at random."""
    rng = np.random.default_rng(0)
    entry = NETWORKS[name]
    weights = {key: rng.normal(scale=0.3, size=shape).astype(np.float32) for key, shape in entry.shapes}
    return TrainedNetwork(entry, "0" * 64, weights, {})


@pytest.mark.parametrize(("name", "grid"), [("GAXJPR", "novel-slabs"), ("3TXKFS", "novel-fibers"), ("87B144", "csr")])
def test_networks_of_every_kind_leave_records(monkeypatch, name, grid):
    monkeypatch.setattr(labels, "load", untrained)
    for scenario in protocol.label_scenarios(grid, SMALL):
        (row,) = labels.label_records(grid, scenario, 0, [name], SMALL)
        assert set(row) == set(labels.COLUMNS) and row["reason"] == "" and row["n"] == 50
        assert sum(row[f"bin{b}_n"] for b in range(labels.BINS)) == 50
        recalls = [row[f"recall_{key}"] for key in labels.CLASS_KEYS]
        round_ones = grid != "csr" and getattr(scenario, "percent_fiber", 0) < 100
        assert (~np.isnan(recalls)).tolist() == [True, round_ones, grid == "novel-fibers"]
        assert math.isnan(row["z_max_nm"]) == (grid != "novel-slabs")


def test_the_field_network_is_right_on_the_papers_scenarios_and_on_random_fields():
    scenario = scenario_named("uniform-p20-r50-c50-d100")
    (row,) = labels.label_records("evaluation", scenario, 0, ["field-2d"], Protocol(samples=500, smoke=True))
    assert row["n"] == 300 and row["balanced_accuracy"] > 0.97
    (row,) = labels.label_records("csr", Scenario.csr(100.0), 0, ["field-2d"], Protocol(samples=500, smoke=True))
    assert row["percent_called_clustered"] < 2


@pytest.mark.parametrize(("name", "grid"), [("GAXJPR", "novel-slabs"), ("3TXKFS", "novel-fibers"), ("XPILJZ", "large")])
def test_a_perfect_analysis_finds_what_is_there(monkeypatch, name, grid):
    drawn = []
    simulated = protocol.cluster_field
    monkeypatch.setattr(clusters, "cluster_field", lambda *a: drawn.append(simulated(*a)) or drawn[-1])

    def perfect(points_nm, network, n_jobs):
        truth, classes = drawn[-1].truth, drawn[-1].classes
        ids, first = np.unique(truth[truth >= 0], return_index=True)
        size = "area_nm2" if points_nm.shape[1] == 2 else "volume_nm3"
        table = pd.DataFrame({"cluster_id": ids, "label": classes[truth >= 0][first], size: 1.0})
        return Analysis(pd.DataFrame({"label": classes, "cluster_id": truth}), table, np.empty(0), {})

    monkeypatch.setattr(clusters, "analyze", perfect)
    for scenario in protocol.cluster_scenarios(grid, SMALL):
        rows = clusters.cluster_records(grid, scenario, 0, [name], SMALL)
        assert [row["class"] for row in rows] == (["round", "fiber"] if name == "3TXKFS" else ["clustered"])
        for row in rows:
            assert set(row) == set(clusters.COLUMNS) and row["true_clusters"] > 0
            assert row["found_clusters"] == row["true_clusters"] == row["matched_clusters"]
            assert row["ari"] == 1.0 and row["percent_in_1_fragment"] == 100.0
            assert row["found_median_volume_nm3" if name == "GAXJPR" else "found_median_area_nm2"] == 1.0


def test_seeds_differ_from_those_of_training_sets():
    scenarios = scenarios_named("training")
    training = {np.random.default_rng([0, i, 0]).integers(1 << 62) for i in range(len(scenarios))}
    here = {protocol.generator("labels", s, 0, Protocol()).integers(1 << 62) for s in scenarios}
    assert len(here) == len(scenarios) and not here & training


def test_a_field_too_small_for_a_network_is_named():
    scenario = scenario_named("uniform-p20-r50-c50-d100")
    tiny = field(np.random.default_rng(0).uniform(0, 2_000, (100, 2)), np.full(100, -1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labels, "label_field", lambda *_: tiny)
        patch.setattr(clusters, "cluster_field", lambda *_: tiny)
        row = labels.label_records("evaluation", scenario, 0, ["XPILJZ"], SMALL)[0]
        assert row["reason"] == "XPILJZ needs 101 localizations; the field has 100"
        assert row["n"] == 0 and row["localizations"] == 100 and "accuracy" not in row
        assert "101" in clusters.cluster_records("evaluation", scenario, 0, ["XPILJZ"], SMALL)[0]["reason"]


def test_a_scenario_that_cannot_be_drawn_is_named():
    crowded = scenario_named("slab-z500-p5-r500-c99-d100")
    for row in labels.label_records("slabs", crowded, 0, ["GAXJPR"], SMALL):
        assert row["n"] == 0 and "no room" in row["reason"]


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_meet_only_fields_that_fit(name):
    entry = NETWORKS[name]
    for grid in protocol.label_grids(entry):
        kinds = {type(s) for s in protocol.label_scenarios(grid, Protocol())}
        assert (SlabScenario in kinds) == (entry.dimensions == 3), grid
        assert FiberScenario not in kinds or len(entry.classes) == 3
    assert protocol.cluster_grids(entry)


def test_thinning_is_even():
    whole = scenarios_named("evaluation")
    assert protocol.thinned(whole, 10) == whole[::11]
    assert protocol.thinned(whole, None) == protocol.thinned(whole, 200) == whole
    for grid, most in protocol.THINNED.items():
        kept, mixed = (
            protocol.label_scenarios(grid, Protocol()),
            [s for s in scenarios_named(grid) if s.percent_clustered < 100],
        )
        assert len(kept) == most and set(kept) < set(mixed)
        for axis in ("density_per_um2", "percent_clustered", "points_per_cluster"):
            assert {getattr(s, axis) for s in kept} == {getattr(s, axis) for s in mixed}, (grid, axis)
    assert [len(protocol.cluster_scenarios(g, Protocol())) for g in protocol.ANALYSED] == [20, 12, 16, 16]


@pytest.mark.parametrize("wrong", [{"samples": 0}, {"replicates": 0}, {"seed": -1}])
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="at least one"):
        Protocol(**wrong)
