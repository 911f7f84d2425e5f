"""Dominant sets against closed forms, the conditions of a maximum, and the published dynamics on full matrices."""

from __future__ import annotations

import math

import numpy as np
import pytest
from baselines_oracles import clustered_field, same_partition
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import layouts, layouts_3d

from caml_dask.spatial.dominant import TOLERANCE, dominant_sets

TRIANGLE = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, math.sqrt(0.75)]])


def ordered(points: np.ndarray) -> np.ndarray:
    return points[np.lexsort(points.T[::-1])]


def similarities(points: np.ndarray, sigma: float) -> np.ndarray:
    a = np.exp(-((points[:, None] - points[None]) ** 2).sum(axis=2) / sigma**2)
    np.fill_diagonal(a, 0.0)
    return a


def infected(a: np.ndarray) -> np.ndarray:
    """Weights of a dominant set: infection and immunization as Rota Bulò et al. 2011 write them, in mixtures of
    strategies, from the vertex with the largest sum of similarities."""
    x = np.eye(len(a))[a.sum(axis=1).argmax()]
    while True:
        excess = a @ x - x @ a @ x
        strength = np.maximum(excess, np.where(x > 0, -excess, 0))
        if strength.max() <= TOLERANCE:
            return x
        i = int(excess.argmax())
        if excess[i] >= np.where(x > 0, -excess, 0).max():
            y = np.eye(len(a))[i]
        else:
            i = int(np.where(x > 0, -excess, -1).argmax())
            y = np.where(np.arange(len(a)) == i, 0, x) / (1 - x[i])
        against = (y - x) @ a @ (y - x)
        share = min(1.0, (y - x) @ a @ x / -against) if against < 0 else 1.0
        x = y if share == 1.0 else x + share * (y - x)


def peeled(a: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """All sets, one after another, on the full matrix of similarities."""
    number, cohesiveness, left = np.full(len(a), -1), [], np.arange(len(a))
    while len(left):
        of = a[np.ix_(left, left)]
        x = infected(of)
        number[left[x > 0]] = len(cohesiveness)
        cohesiveness.append(x @ of @ x)
        left = left[x == 0]
    return number, cohesiveness


def assert_local_maxima(points: np.ndarray, sigma: float, number: np.ndarray, cohesiveness: np.ndarray) -> None:
    """On its members, x'Ax has one maximum, which a linear system gives: it is a strict one, its weights are none below
    0, its value is the cohesiveness, and no other localization that was left is more similar to it."""
    a = similarities(points, sigma)
    for k, mean in enumerate(cohesiveness):
        members, others = np.flatnonzero(number == k), np.flatnonzero(number > k)
        if len(members) == 1:
            assert mean == 0 and a[members][:, others].max(initial=0) <= 2 * TOLERANCE
            continue
        of = a[np.ix_(members, members)]
        x = np.linalg.solve(of, np.ones(len(members)))
        x /= x.sum()
        assert x @ of @ x == pytest.approx(mean, abs=2 * TOLERANCE)
        assert x.min() > -1e-4
        assert (a[np.ix_(others, members)] @ x).max(initial=0) <= mean + 1e-4
        apart = np.linalg.qr(np.column_stack([np.ones(len(members)), np.eye(len(members))[:, 1:]]))[0][:, 1:]
        assert np.linalg.eigvalsh(apart.T @ of @ apart).max() < 0


def test_cohesiveness_of_cliques_in_closed_forms():
    """A regular triangle of side 1 has 2/3 exp(-1/s^2), k localizations at one place 1 - 1/k, a pair exp(-1/s^2)/2."""
    points = ordered(np.vstack([TRIANGLE, np.full((4, 2), 50.0), [[100.0, 0.0], [101.0, 0.0]], [[900.0, 0.0]]]))
    number, cohesiveness = dominant_sets(points, 2.0)
    assert number.tolist() == [1, 1, 1, 0, 0, 0, 0, 2, 2, 3]
    near = math.exp(-1 / 4)
    assert cohesiveness == pytest.approx([3 / 4, 2 / 3 * near, near / 2, 0], abs=TOLERANCE)


@pytest.mark.parametrize(("share", "members"), [(0.51, 3), (0.49, 2)])
def test_a_third_localization_belongs_where_it_is_more_than_half_as_similar(share, members):
    """Of an isosceles triangle with similarities b, a, a, the apex is in the set of the base if 2a > b."""
    base = math.exp(-0.01)
    height = math.sqrt(-math.log(share * base) - 0.05**2)
    number, cohesiveness = dominant_sets(ordered(np.array([[-0.05, 0.0], [0.05, 0.0], [0.0, height]])), 1.0)
    assert np.bincount(number)[0] == members
    a = share * base
    assert cohesiveness[0] == pytest.approx(2 * a**2 / (4 * a - base) if members == 3 else base / 2, abs=TOLERANCE)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sigma", [30.0, 80.0, 300.0])
def test_sets_are_those_of_the_published_dynamics_and_strict_local_maxima(seed, sigma):
    points = ordered(clustered_field(seed)[0])
    number, cohesiveness = dominant_sets(points, sigma)
    want, means = peeled(similarities(points, sigma))
    assert same_partition(number, want)
    assert cohesiveness == pytest.approx(means, abs=TOLERANCE)
    assert_local_maxima(points, sigma, number, cohesiveness)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sigma", [30.0, 80.0, 300.0])
def test_sets_of_whole_pixels_are_those_of_the_published_dynamics(seed, sigma):
    """Of localizations at one place, each by itself comes to the weights that they have as one."""
    points = ordered(25.0 * np.rint(clustered_field(seed)[0] / 25))
    assert len(np.unique(points, axis=0)) < len(points)
    number, cohesiveness = dominant_sets(points, sigma)
    want, means = peeled(similarities(points, sigma))
    assert same_partition(number, want)
    # in a grid of pixels, sums that are equal round either way, and with them which set comes first
    assert np.sort(cohesiveness) == pytest.approx(np.sort(means), abs=TOLERANCE)


@settings(max_examples=60, deadline=None)
@given(st.one_of(layouts(most=40), layouts_3d(most=40)), st.sampled_from([1.0, 20.0, 150.0]))
def test_localizations_at_one_place_stay_together_in_local_maxima(points, sigma):
    points = ordered(points)
    number, cohesiveness = dominant_sets(points, sigma)
    assert set(number) == set(range(len(cohesiveness)))
    same = (points[1:] == points[:-1]).all(axis=1)
    assert (number[1:][same] == number[:-1][same]).all()
    most = 1 - 1 / np.bincount(number)
    assert ((cohesiveness >= 0) & (cohesiveness <= most + TOLERANCE)).all()


def test_replicator_dynamics_come_back_to_the_first_set():
    """From weights mixed with a tenth of all others', the equations of Pavan and Pelillo 2007 take these out again."""
    points = ordered(clustered_field(4)[0])
    number, cohesiveness = dominant_sets(points, 100.0)
    a = similarities(points, 100.0)
    members = number == 0
    x = np.where(members, 0.9 / members.sum(), 0.1 / (~members).sum())
    for _ in range(20_000):
        x *= a @ x / (x @ a @ x)
    assert np.array_equal(x > 1e-5, members)
    assert x @ a @ x == pytest.approx(cohesiveness[0], abs=2 * TOLERANCE)


def test_what_lies_apart_changes_no_set():
    """No similarity reaches from one half of the field to the other, so each is peeled as if it were alone."""
    left, right = (clustered_field(seed)[0] for seed in (5, 6))
    both = dominant_sets(np.vstack([ordered(left), ordered(right + np.array([5000.0, 0.0]))]), 100.0)[0]
    assert same_partition(both[: len(left)], dominant_sets(ordered(left), 100.0)[0])
    assert same_partition(both[len(left) :], dominant_sets(ordered(right), 100.0)[0])


@pytest.mark.parametrize(("sigma", "sets"), [(1e-300, 59), (1e-6, 59), (1e7, 1), (1e200, 1)])
def test_any_sigma_is_taken(sigma, sets):
    """Far below all distances, only two localizations at one place are similar; far above, all are."""
    points = np.random.default_rng(0).uniform(0, 1e5, (60, 3))
    points[5] = points[4]
    number, cohesiveness = dominant_sets(ordered(points), sigma)
    assert len(cohesiveness) == sets == len(set(number))
    assert cohesiveness[0] == pytest.approx(0.5 if sets > 1 else 59 / 60, abs=1e-3)
