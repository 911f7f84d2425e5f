"""Figures of a pair against brute force, and against fields whose figures are known."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from pairs_made import made_channel, made_pair
from scipy.stats import spearmanr

from caml_dask.channels.domain import Domain, Torus, expected_pairs, largest_rectangle
from caml_dask.channels.figures import FIGURES, Measures, measure
from caml_dask.errors import UsageError

SMALL = Measures(reach_nm=300.0, step_nm=30.0, close_nm=60.0, near_nm=60.0)
ALL = 10**9


def field(axes: int = 2):
    rng = np.random.default_rng(3)
    a = np.vstack([rng.uniform(0, 1000, (60, axes)), rng.normal(500, 30, (30, axes))])
    b = np.vstack([rng.uniform(0, 1000, (50, axes)), rng.normal(520, 30, (25, axes))])
    member_a, member_b = np.repeat([-1, 0], [60, 30]), np.repeat([-1, 0], [50, 25])
    return made_channel("a", a, member_a), made_channel("b", b, member_b)


def apart(first: np.ndarray, second: np.ndarray, side_nm: float | None) -> np.ndarray:
    """Distances of all pairs; around the sides where there is one."""
    ways = np.abs(first[:, None] - second[None, :])
    if side_nm is not None:
        ways[:, :, :2] = np.minimum(ways[:, :, :2], side_nm - ways[:, :, :2])
    return np.sqrt((ways**2).sum(axis=2))


def oracle_degree(own: np.ndarray, other: np.ndarray, axes: int) -> np.ndarray:
    """Malkusch et al. (2012) from distances to all of both channels, one localization after another."""
    radii = np.arange(1, SMALL.rings + 1)
    found = []
    for mine, theirs in zip(own, other):
        n, m = ((d[None, :] <= radii[:, None] * SMALL.step_nm).sum(axis=1) for d in (mine, theirs))
        if n[-1] == 0 or m[-1] == 0:
            found.append(0.0)
            continue
        with np.errstate(all="ignore"):
            rho = spearmanr(n / radii**axes, m / radii**axes).statistic
        found.append(0.0 if np.isnan(rho) else rho * np.exp(-theirs.min() / SMALL.reach_nm))
    return np.array(found)


@pytest.mark.filterwarnings("ignore::scipy.stats.ConstantInputWarning")
@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("torus", [False, True])
def test_degrees_distances_and_pairs_are_those_of_brute_force(axes, torus):
    box = shapely.box(0, 0, 1000, 1000)
    domain = Torus(box) if torus else Domain(box)
    a, b = (domain.of(channel) for channel in field(axes))
    found = measure(a, b, domain, SMALL, ALL, ALL)
    side = 1000.0 if torus else None
    for one, other, of in ((a, b, "a"), (b, a, "b")):
        mine, theirs = apart(one.points_nm, one.points_nm, side), apart(one.points_nm, other.points_nm, side)
        np.fill_diagonal(mine, np.inf)
        assert np.allclose(found.localized[of].nearest_nm, theirs.min(axis=1))
        assert np.allclose(found.localized[of].cbc, oracle_degree(mine, theirs, axes), atol=1e-12)
        # Clus-DoC: among those with more of either channel within 60 nm than the mean density gives
        height = np.ptp(np.concatenate([a.points_nm, b.points_nm])[:, 2]) if axes == 3 else None
        ball = np.pi * 60**2 if axes == 2 else 4 / 3 * np.pi * 60**3
        bound = (len(a.lot) + len(b.lot)) * ball / (1e6 if axes == 2 else 1e6 * height)
        back = apart(other.points_nm, other.points_nm, side)
        dense = (mine <= 60).sum(axis=1) + (theirs <= 60).sum(axis=1) > bound
        dense_other = (back <= 60).sum(axis=1) - 1 + (theirs <= 60).sum(axis=0) > bound
        doc = found.localized[of].doc
        assert np.array_equal(~np.isnan(doc), dense) and 10 < dense.sum() < len(dense)
        wanted = oracle_degree(mine[np.ix_(dense, dense)], theirs[np.ix_(dense, dense_other)], axes)
        assert np.allclose(doc[dense], wanted, atol=1e-12)
    cross = apart(a.points_nm, b.points_nm, side)
    edges = np.append(0.0, SMALL.radii_nm)
    counts = [((cross > low) & (cross <= high)).sum() for low, high in zip(edges[:-1], edges[1:])]
    expected = expected_pairs(domain, a.points_nm, b.points_nm, edges)
    assert np.allclose(found.curves["pair_correlation"] * expected, counts)


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("shape", ["rectangle", "ring"])
def test_independent_places_have_the_pairs_that_are_expected(axes, shape):
    """The edge correction: in a region of any shape independent even channels have a cross pair correlation of 1."""
    ring = shapely.Point(1000, 1000).buffer(1000).difference(shapely.Point(1000, 1000).buffer(500))
    domain = Domain(shapely.box(0, 0, 2000, 800) if shape == "rectangle" else ring)
    rng = np.random.default_rng(0)
    points = [rng.uniform(0, 2000, (60_000, axes)) * ([1.0] * axes) for _ in range(2)]
    for each in points:
        each[:, 2:] *= 0.2
    a, b = (each[domain.holds(each)][:6000] for each in points)
    edges = np.append(0.0, np.arange(1, 11) * 40.0)
    counts = domain.cells(b, 400.0).rings(a, 40.0, 10).sum(axis=0)
    assert counts / expected_pairs(domain, a, b, edges) == pytest.approx(np.ones(10), abs=0.04)


def test_overlap_of_two_discs():
    """Discs drawn by hand: that of B covers the right half of A's square and as much besides."""
    square = np.array([[x, y] for x in range(0, 101, 10) for y in range(0, 101, 10)], float)
    a = made_channel("a", square, np.zeros(len(square)))
    b = made_channel("b", square + np.array([50.0, 0.0]), np.zeros(len(square)))
    domain = Domain(shapely.box(-1000, -1000, 1000, 1000))
    found = measure(a, b, domain, SMALL, ALL, ALL)
    area = 100 * 100 + 4 * 100 * 5 + np.pi * 25
    assert found.figures["area_share_a"] == pytest.approx(1 - 50 * 110 / area, abs=0.002)
    assert found.figures["localizations_share_a"] == pytest.approx(6 / 11)
    assert found.figures["clusters_share_b"] == 1
    assert found.figures["cluster_distance_a"] == pytest.approx(50)
    assert found.figures["distance_b"] == 0


def test_in_3d_clusters_above_each_other_do_not_overlap():
    cube = np.stack(np.meshgrid(*[np.arange(0, 101, 25.0)] * 3), axis=-1).reshape(-1, 3)
    a = made_channel("a", cube, np.zeros(len(cube)))
    domain = Domain(shapely.box(-1000, -1000, 1000, 1000))
    for up, wanted in ((0.0, 1.0), (55.0, 0.5), (300.0, 0.0)):
        b = made_channel("b", cube + np.array([0.0, 0.0, up]), np.zeros(len(cube)))
        figures = measure(a, b, domain, SMALL, ALL, ALL).figures
        assert figures["area_share_a"] == pytest.approx(wanted, abs=1e-9)
        assert figures["localizations_share_a"] == pytest.approx({0.0: 1.0, 55.0: 0.6, 300.0: 0.0}[up])


def test_more_clusters_together_are_more_of_everything():
    domain = Domain(shapely.box(0, 0, 4000, 4000))
    found = []
    for together in (0.0, 0.3, 0.6, 1.0):
        pair = made_pair(np.random.default_rng(1), together)
        found.append(measure(*pair, domain, Measures(), ALL, ALL).figures)
    for name in ("area_share", "localizations_share", "clusters_share", "doc", "cbc", "doc_share"):
        assert np.all(np.diff([figures[f"{name}_b"] for figures in found]) > 0), name
    assert np.all(np.diff([figures["pair_correlation"] for figures in found]) > 0)
    assert np.all(np.diff([figures["distance_b"] for figures in found]) < 0)
    shares = [figures["clusters_share_b"] for figures in found]
    assert np.allclose(shares, [0.0, 0.3, 0.6, 1.0], atol=0.12)


def test_the_order_of_rows_changes_nothing():
    rng = np.random.default_rng(5)
    points = rng.integers(0, 300, (400, 2)) * 5.0  # with duplicates
    member = np.where(points[:, 0] < 300, points[:, 1].astype(int) // 500, -1)
    order = rng.permutation(400)
    a, again = made_channel("a", points, member), made_channel("a", points[order], member[order])
    b = made_channel("b", rng.uniform(0, 1500, (300, 2)), np.full(300, -1))
    domain = Domain(shapely.box(0, 0, 1500, 1500))
    first, second = (measure(one, b, domain, SMALL, 150, 90) for one in (a, again))
    assert {k: v for k, v in first.figures.items() if v == v} == {k: v for k, v in second.figures.items() if v == v}
    assert np.array_equal(a.sample(100), again.sample(100))
    assert np.array_equal(np.sort(order[again.loc_id]), np.sort(a.loc_id))


def test_a_channel_without_clusters_has_no_figures_of_clusters():
    a, _ = field()
    b = made_channel("b", np.random.default_rng(0).uniform(0, 1000, (40, 2)), np.full(40, -1))
    figures = measure(a, b, Domain(shapely.box(0, 0, 1000, 1000)), SMALL, ALL, ALL).figures
    missing = {name for name, value in figures.items() if np.isnan(value)}
    assert missing == {"area_share_b", "clusters_share_b", "cluster_distance_a", "cluster_distance_b"}
    assert set(figures) == {f"{name}_{of}" for name in FIGURES for of in "ab"} | {"pair_correlation"}


def test_the_largest_rectangle_lies_inside():
    whole = shapely.box(3, 5, 103, 65)
    assert largest_rectangle(whole).equals(whole)
    disc = shapely.Point(0, 0).buffer(100)
    found = largest_rectangle(disc)
    assert disc.covers(found) and found.area > 0.9 * 20_000
    corner = shapely.box(0, 0, 100, 100).difference(shapely.box(50, 50, 100, 100))
    assert largest_rectangle(corner).area == pytest.approx(5_000, rel=0.02)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"reach_nm": -1.0}, "--radius-nm -1.0"),
        ({"step_nm": 400.0}, "1.25 steps"),
        ({"threshold": 2.0}, "is -1 to 1"),
        ({"near_nm": 900.0}, "at most the radius"),
    ],
)
def test_measures_that_cannot_be_used(wrong, words):
    with pytest.raises(UsageError, match=words):
        Measures(**wrong)
