from __future__ import annotations

import numpy as np
import pytest

from caml_dask.errors import InputError, TooFewLocalizations
from caml_dask.metrics import cluster_scores
from caml_dask.networks.field.clusters import find_clusters, group
from caml_dask.schema import NO_CLUSTER
from caml_dask.simulate import Scenario, simulate
from caml_dask.simulate.unknown import Sample, draw_field


def sample(seed: int = 0) -> Sample:
    while True:
        drawn = draw_field(np.random.default_rng(seed), blinking=0.0, least=500, most=1_500)
        if drawn.kind == "mixed" and drawn.truth.max() > 4:
            return drawn
        seed += 100


def true_votes(drawn: Sample) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a network without error would say: votes, which are in clusters, the radius of the cluster of each."""
    inside = drawn.truth != NO_CLUSTER
    centers = np.stack([drawn.points_nm[drawn.truth == c].mean(axis=0) for c in range(drawn.truth.max() + 1)])
    votes = np.where(inside[:, None], centers[drawn.truth], drawn.points_nm)
    square = ((votes - drawn.points_nm) ** 2).sum(axis=1)
    radius = np.sqrt([square[drawn.truth == c].mean() for c in range(len(centers))])
    return votes, inside, np.where(inside, radius[drawn.truth], 1.0)


LINKED = 0.2  # what ships


@pytest.mark.parametrize("seed", range(5))
def test_the_truth_said_is_the_truth_found(seed: int) -> None:
    drawn = sample(seed)
    votes, inside, radius = true_votes(drawn)
    found = group(votes, inside, LINKED * radius, min_points=3)
    np.testing.assert_array_equal(found == NO_CLUSTER, drawn.truth == NO_CLUSTER)
    apart = np.unique(np.round(votes[found >= 0], 6), axis=0)
    gaps = np.linalg.norm(apart[:, None] - apart, axis=2) + 1e9 * np.eye(len(apart))
    if gaps.min() > LINKED * radius.max():  # else two clusters of the truth may share a center
        assert cluster_scores(drawn.truth, found).ari == 1.0
    assert cluster_scores(drawn.truth, found).ari > 0.8


def test_smaller_clusters_than_wanted_are_none() -> None:
    votes, inside, radius = true_votes(sample())
    all_found = group(votes, inside, LINKED * radius, min_points=1)
    sizes = np.bincount(all_found[all_found >= 0])
    size = int(np.median(sizes[sizes > 0]))
    found = group(votes, inside, LINKED * radius, min_points=size)
    np.testing.assert_array_equal(found >= 0, (all_found >= 0) & (sizes[all_found] >= size))
    assert 0 < (found >= 0).sum() < (all_found >= 0).sum()


def test_a_vote_links_what_lies_within_its_own_reach_or_that_of_the_other() -> None:
    votes, everyone = np.array([[0.0, 0.0], [0.0, 9.0], [0.0, 20.0], [0.0, 29.5]]), np.ones(4, np.bool_)
    found = group(votes, everyone, np.array([1.0, 9.0, 1.0, 9.0]), min_points=1)
    assert found[0] == found[1] and len(set(found.tolist())) == 3


def test_order_and_threads_change_nothing() -> None:
    drawn = sample(3)
    order = np.random.default_rng(0).permutation(len(drawn.truth))
    one, moved = find_clusters(drawn.points_nm), find_clusters(drawn.points_nm[order], threads=3)
    np.testing.assert_array_equal(one.p_clustered[order], moved.p_clustered)
    assert cluster_scores(one.cluster_id[order], moved.cluster_id).ari == 1.0
    first = [np.flatnonzero(moved.cluster_id == c)[0] for c in range(moved.cluster_id.max() + 1)]
    assert first == sorted(first)


def test_plain_clusters_are_found_and_random_fields_are_left_alone() -> None:
    field = simulate(Scenario(20, 25.0, 50.0, 100.0), np.random.default_rng(1))
    near = (np.abs(field.points_nm - 20_000) < 2_500).all(axis=1)
    found = find_clusters(field.points_nm[near])
    assert cluster_scores(field.truth[near], found.cluster_id).ari > 0.9
    for n in (30, 400, 3_000):
        uniform = np.random.default_rng(n).uniform(0, 5_000, (n, 2))
        assert (find_clusters(uniform).cluster_id >= 0).mean() < 0.1


@pytest.mark.parametrize("n", [30, 31, 60, 100, 101, 102])
def test_small_fields_are_answered(n: int) -> None:
    points = np.random.default_rng(n).normal(scale=50, size=(n, 2))
    found = find_clusters(points)
    assert np.isfinite(found.p_clustered).all()
    assert len(found.cluster_id) == n


@pytest.mark.parametrize(
    ("points", "uncertainty", "error", "words"),
    [
        (np.zeros((29, 2)), None, TooFewLocalizations, "needs 30 localizations; there are 29"),
        (np.zeros((40, 4)), None, InputError, "of shape"),
        (np.full((40, 2), np.nan), None, InputError, "finite numbers in nm"),
        (np.zeros((40, 2)), np.ones(39), InputError, "one positive number"),
        (np.zeros((40, 2)), np.zeros(40), InputError, "one positive number"),
    ],
)
def test_bad_input_is_refused(
    points: np.ndarray, uncertainty: np.ndarray | None, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        find_clusters(points, uncertainty)


def test_molecules_that_blink_for_long_are_no_clusters() -> None:
    """Counts of log-normal molecules placed at random, the detections of some scattered more than those of others."""
    shares = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        counts = np.maximum(np.rint(np.exp(rng.normal(0.75, 1.2, 650))), 1).astype(np.int64)
        scatter = 14 * np.exp(rng.normal(0, 0.4, 650)) * rng.gamma(4, 0.25, 650)
        molecule = np.repeat(np.arange(650), counts)
        detections = rng.uniform(0, 2_000, (650, 2))[molecule]
        detections += rng.normal(size=detections.shape) * scatter[molecule][:, None]
        shares.append(np.mean(find_clusters(detections).cluster_id >= 0))
    assert np.mean(shares) < 0.1
