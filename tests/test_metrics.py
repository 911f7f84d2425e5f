from __future__ import annotations

import math

import numpy as np
import pytest

from caml_dask.metrics import class_scores, cluster_errors, cluster_scores, hull_iou


def test_scores_of_ten_localizations_by_hand() -> None:
    # 3 of 4 clustered found (recall 3/4), 2 of 6 others called clustered (precision 3/5).
    true = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    found = [1, 1, 1, 0, 1, 1, 0, 0, 0, 0]
    scores = class_scores(true, found)
    assert scores.n == 10
    assert scores.accuracy == pytest.approx(7 / 10)
    assert scores.recall == pytest.approx(3 / 4)
    assert scores.precision == pytest.approx(3 / 5)
    assert scores.f1 == pytest.approx(6 / 9)
    assert scores.balanced_accuracy == pytest.approx((3 / 4 + 4 / 6) / 2)


def test_fibers_are_clustered_and_booleans_are_labels() -> None:
    assert class_scores([2, 1, 0], [1, 2, 0]).accuracy == 1.0
    assert class_scores(np.array([True, False]), np.array([True, True])).precision == 0.5


def test_a_class_that_is_missing_is_null_not_perfect() -> None:
    csr = class_scores([0, 0, 0, 0], [0, 0, 0, 1])
    assert math.isnan(csr.recall)
    assert csr.precision == 0.0
    assert csr.balanced_accuracy == csr.accuracy == 0.75
    assert math.isnan(class_scores([0, 0], [0, 0]).precision)
    assert math.isnan(class_scores([], []).accuracy)


def test_rand_index_of_six_localizations_by_hand() -> None:
    # Pairs together in both: {0,1}; truth 1 + 1 + 1, found 3 + 1 of 15: (1 - 12/15) / ((3 + 4) / 2 - 12/15).
    true = [0, 0, 5, 5, -1, -1]
    found = [7, 7, 7, -1, -1, 9]
    scores = cluster_scores(true, found)
    assert scores.ari == pytest.approx((1 - 12 / 15) / (3.5 - 12 / 15))
    assert (scores.n_true, scores.n_found) == (2, 2)


def test_noise_is_one_class_over_all_points_and_absent_over_the_clustered() -> None:
    true = [0, 0, 0, 3, 3, 3, -1, -1]
    half_found = [0, 0, -1, 3, 3, -1, -1, -1]
    scores = cluster_scores(true, half_found)
    assert scores.ari < 1.0
    assert scores.ari_clustered == 1.0


def test_over_the_truly_clustered_false_clusters_are_free_and_missed_members_are_not() -> None:
    true = [0, 0, 0, 3, 3, 3, -1, -1, -1]
    with_false_clusters = [5, 5, 5, 6, 6, 6, 7, 7, 7]
    assert cluster_scores(true, with_false_clusters).ari_truly_clustered == 1.0
    assert cluster_scores(true, with_false_clusters).ari == 1.0, "noise found as one cluster is one class still"
    scattered = cluster_scores(true, [5, 5, 5, 6, 6, 6, 5, 6, 7])
    assert scattered.ari_truly_clustered == 1.0 > scattered.ari
    # Of 15 pairs, truth joins 3 + 3; found joins 3 and the two missed members, as truth does.
    missed = cluster_scores(true, [0, 0, 0, 3, -1, -1, -1, -1, -1])
    expected = 6 * 4 / 15
    assert missed.ari_truly_clustered == pytest.approx((4 - expected) / (5 - expected))
    assert missed.ari_clustered == 1.0
    assert math.isnan(cluster_scores([-1, -1], [0, 0]).ari_truly_clustered)


def test_errors_of_two_squares_found_as_one() -> None:
    """True: two squares of 4 nm2 with four corners each. Found: the first with a fifth point, 6 nm2, alone."""
    square = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0]])
    xy = np.vstack([square, square + 10.0, [[4.0, 0.0]]])
    true, found = [0] * 4 + [1] * 4 + [-1], [7] * 4 + [-1] * 4 + [7]
    errors = cluster_errors(xy, true, found)
    assert errors.clusters_per_um2 == pytest.approx(-1 / 2)
    assert errors.points_per_cluster == pytest.approx(1 / 4)
    assert errors.area == pytest.approx(6 / 4 - 1)
    assert cluster_errors(xy, true, true) == type(errors)(0.0, 0.0, 0.0)


def test_errors_where_nothing_is_found_or_true() -> None:
    xy, some, none = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), [0, 0, 0], [-1, -1, -1]
    missed = cluster_errors(xy, some, none)
    assert missed.clusters_per_um2 == -1.0
    assert math.isnan(missed.points_per_cluster)
    assert math.isnan(missed.area)
    assert math.isnan(cluster_errors(xy, none, some).clusters_per_um2)
    assert math.isnan(cluster_errors(xy, [0, 0, -1], some).area), "two points span no area"


def test_the_numbers_of_ids_do_not_matter() -> None:
    rng = np.random.default_rng(2)
    true, found = rng.integers(-1, 6, (2, 200))
    renamed = np.where(found < 0, -1, 100 - found)
    assert cluster_scores(true, found) == cluster_scores(true, renamed)


def test_matches_need_more_than_half_of_the_union() -> None:
    true = [0, 0, 0, 0, 1, 1, 2, 2, -1]
    merged = [0, 0, 0, -1, 1, 1, 1, 1, 1]
    scores = cluster_scores(true, merged)
    # Cluster 0 keeps 3 of 4; clusters 1 and 2 have 2 of the 5 that run together.
    assert (scores.n_true, scores.n_found, scores.n_matched) == (3, 2, 1)
    assert cluster_scores([0, 0], [0, -1]).n_matched == 0


def test_nothing_clustered() -> None:
    scores = cluster_scores([-1, -1, -1], [-1, -1, -1])
    assert (scores.ari, scores.n_true, scores.n_found, scores.n_matched) == (1.0, 0, 0, 0)
    assert math.isnan(scores.ari_clustered)


def test_hulls_of_two_squares_that_overlap_by_half() -> None:
    square = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0]])
    xy = np.vstack([square, square + np.array([1.0, 0.0]), [[50.0, 50.0]]])
    true = [4, 4, 4, 4, -1, -1, -1, -1, -1]
    found = [-1, -1, -1, -1, 0, 0, 0, 0, -1]
    assert hull_iou(xy, true, found) == pytest.approx(2 / 6)
    assert hull_iou(xy, true, true) == pytest.approx(1.0)


def test_hulls_that_overlap_are_counted_once_and_none_is_null() -> None:
    square = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0]])
    xy = np.vstack([square, square])
    twice, once = [0] * 4 + [1] * 4, [0] * 4 + [-1] * 4
    assert hull_iou(xy, twice, once) == pytest.approx(1.0)
    assert math.isnan(hull_iou(xy, [-1] * 8, [-1] * 8))
    assert math.isnan(hull_iou(xy[:2], [0, 0], [0, 0]))


def test_hulls_without_area_do_not_disturb_the_others() -> None:
    # Of hulls that are a point, a line and a triangle together GEOS fails to make an intersection.
    xy = np.array([[4.0, 6.0], [2.0, 4.0], [5.0, 2.0], [0.0, 5.0], [3.0, 6.0], [5.0, 5.0]])
    true = [3, 0, 0, 2, 2, 2]
    assert hull_iou(xy, true, [-1] * 6) == 0.0
    assert hull_iou(xy, true, [-1, -1, -1, 1, 1, 1]) == pytest.approx(1.0)


def test_labels_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2,\).*\(3,\)"):
        class_scores([0, 1], [0, 1, 1])
