"""Randomizations keep what they promise, and p values are those of chance where there is nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from pairs_made import made_pair

from caml_dask.channels.domain import Domain, Torus
from caml_dask.channels.figures import Measures
from caml_dask.channels.randomized import PLACEMENT, SHIFT, _placed, _shifted, beside, randomize

SMALL = Measures(reach_nm=200.0, step_nm=20.0)


def test_p_values_follow_the_add_one_rule():
    random = np.arange(1, 20) / 20
    assert beside("f", "t", 2.0, random).p_value == pytest.approx(2 / 20)
    assert beside("f", "t", -1.0, random).p_value == pytest.approx(2 / 20)
    assert beside("f", "t", 0.5, random).p_value == 1
    assert beside("f", "t", 0.9, random).p_value == pytest.approx(2 * 3 / 20)
    assert beside("f", "t", 0.3, np.full(19, 0.1 + 0.2)).p_value == 1, "rounding is no difference"
    nothing = beside("f", "t", np.nan, random)
    assert np.isnan(nothing.p_value)
    effect = beside("f", "t", 2.0, random)
    assert (effect.difference, effect.ratio) == pytest.approx((1.5, 4.0))
    assert effect.z == pytest.approx(1.5 / random.std())


def test_a_shift_moves_all_of_b_by_one_way():
    _, b = made_pair(np.random.default_rng(0), 0.0)
    torus = Torus(shapely.box(0, 0, 4000, 4000))
    b = torus.of(b)
    moved = _shifted(b, torus, np.random.default_rng(1))
    ways = np.mod(moved.points_nm - b.points_nm, 4000)
    assert np.allclose(ways, ways[0]) and torus.holds(moved.points_nm).all()
    assert np.allclose(shapely.area(moved.outlines), shapely.area(b.outlines))
    centers = np.mod(moved.centroids_nm - b.centroids_nm, 4000)
    assert np.allclose(centers, ways[0])


def test_placed_clusters_lie_in_the_region_with_their_localizations_and_apart():
    _, b = made_pair(np.random.default_rng(0), 0.0, clusters=60)
    domain = Domain(shapely.Point(2000, 2000).buffer(1900))
    b = domain.of(b)
    moved = _placed(b, domain, np.random.default_rng(1))
    assert domain.holds(moved.centroids_nm).all()
    loners = b.member_of < 0
    assert np.array_equal(moved.points_nm[loners], b.points_nm[loners])
    by = (moved.centroids_nm - b.centroids_nm)[b.member_of[~loners]]
    assert np.allclose(moved.points_nm[~loners] - b.points_nm[~loners], by)
    assert np.abs(by).min() > 0.1
    assert np.allclose(
        shapely.get_coordinates(shapely.centroid(moved.outlines))
        - shapely.get_coordinates(shapely.centroid(b.outlines)),
        moved.centroids_nm - b.centroids_nm,
    )
    ways = moved.centroids_nm[:, None] - moved.centroids_nm[None, :]
    between = np.sqrt((ways**2).sum(axis=2)) + np.diag(np.full(len(ways), np.inf))
    before = b.centroids_nm[:, None] - b.centroids_nm[None, :]
    least = (np.sqrt((before**2).sum(axis=2)) + np.diag(np.full(len(ways), np.inf))).min(axis=1) / 2
    room = np.minimum(np.sqrt(shapely.area(b.outlines) / np.pi), least)
    assert (between >= room[:, None] + room[None, :] - 1e-9).all()


@pytest.mark.parametrize("test", [SHIFT, PLACEMENT])
def test_p_values_of_independent_channels_are_even_and_those_of_others_are_small(test):
    """Of 24 pairs of independent channels no figure is often significant; of one whose clusters are one, all are."""
    box = shapely.box(0, 0, 2000, 2000)
    domain = Torus(box) if test == SHIFT else Domain(box)
    found: dict[str, list[float]] = {}
    options = {"number": 19, "seed": 0, "most": 150, "degrees_of": 80}
    for seed in range(24):
        pair = made_pair(np.random.default_rng(seed), 0.0, side_nm=2000.0, clusters=15, loners=30)
        for each in randomize(test, *map(domain.of, pair), domain, SMALL, **options).tests:
            if np.isfinite(each.p_value):
                found.setdefault(each.figure, []).append(each.p_value)
    assert len(found) == 17
    for figure, p_values in found.items():
        # p <= 0.2 has a chance of 20 %: 5 of 24, and 13 or more once in a thousand
        assert np.sum(np.array(p_values) <= 0.2 + 1e-9) < 13, figure
    pair = made_pair(np.random.default_rng(0), 1.0, side_nm=2000.0, clusters=15, loners=30)
    tests = {each.figure: each for each in randomize(test, *map(domain.of, pair), domain, SMALL, **options).tests}
    for figure in ("area_share_a", "localizations_share_b", "cluster_distance_a", "doc_a", "cbc_b", "pair_correlation"):
        assert tests[figure].p_value == pytest.approx(2 / 20), figure


def test_the_seed_decides():
    domain = Domain(shapely.box(0, 0, 2000, 2000))
    pair = [domain.of(c) for c in made_pair(np.random.default_rng(0), 0.5, side_nm=2000.0, clusters=10)]
    runs = [
        randomize(PLACEMENT, *pair, domain, SMALL, number=3, seed=seed, most=100, degrees_of=50).tests
        for seed in (0, 0, 1)
    ]
    expected = [[test.expected for test in tests] for tests in runs]
    assert expected[0] == expected[1] != expected[2]
