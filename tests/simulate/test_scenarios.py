from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist

from caml_dask.errors import UsageError
from caml_dask.simulate import (
    Scenario,
    draw_cell,
    evaluation_grid,
    full_grid,
    simulate,
    training_grid,
    viable,
)

SCENARIOS = [
    Scenario(20, 50.0, 50.0, 100.0),
    Scenario(5, 5.0, 5.0, 300.0),
    Scenario(90, 100.0, 100.0, 300.0),
    Scenario(10, 100.0, 30.0, 100.0, law="gaussian"),
    Scenario(40, 100.0, 50.0, 100.0, law="line"),
    Scenario(40, 100.0, 50.0, 100.0, law="ring"),
]


def small_cell(seed: int):
    return draw_cell(np.random.default_rng(seed), base_radius_nm=4_000, roughness_nm=1_600, field_nm=16_000)


@pytest.mark.parametrize(
    ("inclusive", "waive", "count"),
    [(False, False, 441), (True, False, 555), (False, True, 553), (True, True, 715)],
)
def test_grid_counts_of_the_four_readings(inclusive: bool, waive: bool, count: int):
    grid = full_grid()
    assert len(grid) == len(set(grid)) == 5_280
    assert sum(viable(s, inclusive=inclusive, waive_fully_clustered=waive) for s in grid) == count


def test_training_grid_is_strict_with_the_fully_clustered_kept():
    grid = training_grid()
    assert len(grid) == len(set(grid)) == 553
    assert sum(s.percent_clustered == 100 for s in grid) == 112
    assert all(1 < s.clusters_per_um2 < 5 for s in grid)
    assert all(1.5 < s.contrast < 100 for s in grid if s.percent_clustered < 100)


def test_evaluation_grid():
    grid = evaluation_grid()
    assert len(set(grid)) == 110
    assert {(s.points_per_cluster, s.density_per_um2) for s in grid} == {(20, 100.0)}


def test_contrast_by_hand():
    # 2.5 clusters per um2 of 20 points in discs of 0.1 um: inside 20 / (0.01 pi), outside 50 / (1 - 0.025 pi).
    scenario = Scenario(20, 100.0, 50.0, 100.0)
    assert scenario.clusters_per_um2 == 2.5
    assert scenario.contrast == pytest.approx(20 / (0.01 * math.pi) / (50 / (1 - 0.025 * math.pi)))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_counts_are_the_stated_ones(scenario: Scenario):
    field = simulate(scenario, np.random.default_rng(1), cell=small_cell(2))
    stated = math.floor(field.area_um2 * scenario.clusters_per_um2)
    placed = len(field.centers_nm)
    assert 0.95 * stated <= placed <= stated
    members = field.truth >= 0
    assert (np.bincount(field.truth[members], minlength=placed) == scenario.points_per_cluster).all()
    outside = math.floor(field.area_um2 * scenario.density_per_um2 * (100 - scenario.percent_clustered) / 100)
    assert (~members).sum() == outside
    assert len(field.xy_nm) == len(field.truth)


def test_sparse_clusters_all_find_a_place():
    scenario = Scenario(20, 50.0, 50.0, 100.0)
    field = simulate(scenario, np.random.default_rng(3))
    assert len(field.centers_nm) == math.floor(field.area_um2 * 2.5)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_centers_keep_apart_and_from_the_outline(scenario: Scenario):
    field = simulate(scenario, np.random.default_rng(4), cell=small_cell(5))
    assert pdist(field.centers_nm).min() > 2.2 * scenario.r_max_nm
    angles = np.linspace(0, 2 * np.pi, 24)
    ring = 2.05 * scenario.r_max_nm * np.column_stack([np.cos(angles), np.sin(angles)])
    assert field.cell.contains((field.centers_nm[:, None] + ring).reshape(-1, 2)).all()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_non_clustered_points_keep_out_of_every_disc(scenario: Scenario):
    field = simulate(scenario, np.random.default_rng(6), cell=small_cell(7))
    others = field.xy_nm[field.truth < 0]
    assert field.cell.contains(field.xy_nm).all()
    assert field.classes.tolist() == (field.truth >= 0).astype(int).tolist()
    if len(others):
        assert cKDTree(field.centers_nm).query(others)[0].min() > scenario.r_max_nm
        # They fill what is left: some come within half a radius, or 100 nm, of a disc.
        near = cKDTree(field.centers_nm).query(others)[0].min()
        assert near < scenario.r_max_nm + max(scenario.r_max_nm / 2, 100)


def test_members_lie_within_r_max_with_a_third_of_its_square_on_average():
    field = simulate(Scenario(50, 40.0, 50.0, 300.0), np.random.default_rng(8))
    members = field.truth >= 0
    r2 = ((field.xy_nm[members] - field.centers_nm[field.truth[members]]) ** 2).sum(axis=1)
    assert r2.max() <= 40.0**2
    # var(r^2 / R^2) is E[U^2] E[sin^4] - 1/9 = 8/45 - 1/9 = 1/15.
    assert abs(r2.mean() / 40.0**2 - 1 / 3) < 5 * math.sqrt(1 / 15 / len(r2))


def test_gaussian_members_have_sigma_of_half_r_max():
    field = simulate(Scenario(50, 40.0, 50.0, 300.0, law="gaussian"), np.random.default_rng(9))
    members = field.truth >= 0
    offsets = field.xy_nm[members] - field.centers_nm[field.truth[members]]
    assert offsets.std(axis=0) == pytest.approx([20.0, 20.0], rel=0.02)
    assert abs(offsets.mean(axis=0)).max() < 0.5


def test_lines_are_straight_and_point_everywhere():
    field = simulate(Scenario(50, 100.0, 50.0, 300.0, law="line"), np.random.default_rng(9))
    members = field.truth >= 0
    order = np.argsort(field.truth[members], kind="stable")
    offsets = (field.xy_nm[members] - field.centers_nm[field.truth[members]])[order].reshape(-1, 50, 2)
    axes = np.linalg.svd(offsets, full_matrices=False)
    along, across = axes.S.T / math.sqrt(50)
    assert along.mean() == pytest.approx(100 / math.sqrt(3), rel=0.02)
    assert across.mean() == pytest.approx(10, rel=0.05)
    turn = np.arctan2(axes.Vh[:, 0, 1], axes.Vh[:, 0, 0]) % np.pi
    assert np.histogram(turn, 4, (0, np.pi))[0].min() > len(turn) / 4 - 5 * math.sqrt(len(turn) / 4)


def test_rings_are_hollow():
    field = simulate(Scenario(50, 100.0, 50.0, 300.0, law="ring"), np.random.default_rng(9))
    members = field.truth >= 0
    radius = np.linalg.norm(field.xy_nm[members] - field.centers_nm[field.truth[members]], axis=1)
    assert radius.mean() == pytest.approx(80, rel=0.01)
    assert radius.std() == pytest.approx(10, rel=0.05)


def test_csr_holds_no_cluster():
    field = simulate(Scenario.csr(50.0), np.random.default_rng(10), cell=small_cell(11))
    assert (field.truth == -1).all()
    assert len(field.truth) == math.floor(field.area_um2 * 50)
    assert len(field.centers_nm) == 0


def test_same_seed_same_field_and_another_seed_another():
    scenario = Scenario(20, 50.0, 50.0, 100.0)
    one, two, other = (simulate(scenario, np.random.default_rng(seed)) for seed in (12, 12, 13))
    assert one.xy_nm.tobytes() == two.xy_nm.tobytes()
    assert one.truth.tobytes() == two.truth.tobytes()
    assert one.area_um2 == two.area_um2 != other.area_um2


def test_order_of_points_tells_nothing():
    field = simulate(Scenario(20, 50.0, 50.0, 100.0), np.random.default_rng(14))
    half = len(field.truth) // 2
    assert (field.truth[:half] >= 0).mean() == pytest.approx((field.truth[half:] >= 0).mean(), abs=0.03)


@pytest.mark.parametrize(
    "values",
    [(0, 50.0, 50.0, 100.0), (20, 0.0, 50.0, 100.0), (20, 50.0, 101.0, 100.0), (20, 50.0, 50.0, -1.0)],
)
def test_values_out_of_range_are_refused(values):
    with pytest.raises(UsageError, match="give"):
        Scenario(*values)


def test_unknown_law_names_the_known_ones():
    with pytest.raises(UsageError, match=r"'lines'.*uniform, gaussian, line, ring"):
        Scenario(20, 50.0, 50.0, 100.0, law="lines")


def test_clusters_larger_than_the_cell_are_refused():
    with pytest.raises(UsageError, match="larger cell"):
        simulate(Scenario(20, 5_000.0, 50.0, 100.0), np.random.default_rng(15), cell=small_cell(16))
