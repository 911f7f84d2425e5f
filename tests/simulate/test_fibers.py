from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial import cKDTree

from caml_dask.errors import UsageError
from caml_dask.simulate import FiberScenario, Scenario, draw_cell, simulate
from caml_dask.simulate.fibers import STEP_NM, draw_fibers, outside_fibers

SCENARIO = FiberScenario(Scenario(30, 40.0, 50.0, 200.0), 60.0)
ROUND, FIBER = 1, 2


def small_cell(seed: int):
    return draw_cell(np.random.default_rng(seed), base_radius_nm=5_000, roughness_nm=1_600, field_nm=16_000)


def test_every_class_has_its_share():
    field = simulate(SCENARIO, np.random.default_rng(1))
    counts = np.bincount(field.classes, minlength=3)
    assert counts[0] == math.floor(field.area_um2 * 100)
    assert counts[FIBER] == pytest.approx(field.area_um2 * 60, abs=10)
    assert counts[ROUND] == len(field.centers_nm) * 30
    assert len(field.centers_nm) == pytest.approx(field.area_um2 * 40 / 30, rel=0.03)


def test_numbers_run_through_round_clusters_then_fibers():
    field = simulate(SCENARIO, np.random.default_rng(2), cell=small_cell(3))
    assert set(field.truth[field.classes == ROUND]) == set(range(len(field.centers_nm)))
    fibers = np.unique(field.truth[field.classes == FIBER])
    assert fibers.tolist() == list(range(len(field.centers_nm), field.truth.max() + 1))
    assert (field.truth[field.classes == 0] == -1).all()


def test_fibers_have_the_density_of_the_round_clusters():
    fibers = draw_fibers(SCENARIO, small_cell(4), np.random.default_rng(5))[:-1]
    assert len(fibers) > 5
    area = sum(4 * f.sigma_nm * STEP_NM * (len(f.chain_nm) - 1) for f in fibers)
    assert sum(len(f.members_nm) for f in fibers) / area == pytest.approx(30 / (math.pi * 40**2), rel=0.02)


def test_members_lie_across_their_chain_with_its_sigma():
    for fiber in draw_fibers(SCENARIO, small_cell(6), np.random.default_rng(7)):
        across = cKDTree(fiber.chain_nm).query(fiber.members_nm)[0]
        assert across.max() < 5 * fiber.sigma_nm + STEP_NM
        if len(fiber.members_nm) > 300:
            assert np.median(across) == pytest.approx(0.6745 * fiber.sigma_nm, rel=0.25)


def test_directions_decay_over_the_persistence_length():
    """<cos> = exp(-s / 2 P) in the plane."""
    from caml_dask.simulate import fibers

    rng = np.random.default_rng(8)
    turns = np.array([fibers._worm_like_chain(2_000.0, 1_000.0, rng)[1] for _ in range(2_000)])
    cosine = np.cos(turns[:, 100] - turns[:, 0]).mean()
    assert cosine == pytest.approx(math.exp(-0.5), abs=0.05)


def test_fibers_and_what_surrounds_them_keep_apart():
    cell, rng = small_cell(9), np.random.default_rng(10)
    field = simulate(SCENARIO, rng, cell=cell)
    fibers = draw_fibers(SCENARIO, cell, np.random.default_rng(10))
    assert {tuple(p) for p in np.concatenate([f.members_nm for f in fibers])} == {
        tuple(p) for p in field.xy_nm[field.classes == FIBER]
    }
    width = np.array([2 * fiber.sigma_nm for fiber in fibers])
    for places, margin in ((field.xy_nm[field.classes == 0], 0.0), (field.centers_nm, 40.0)):
        apart = np.array([cKDTree(fiber.chain_nm).query(places)[0] for fiber in fibers])
        assert (apart.min(axis=0) > width[apart.argmin(axis=0)] + margin).all()
    assert not outside_fibers(fibers)(np.concatenate([f.chain_nm for f in fibers])).any()
    assert outside_fibers([]) is None


def test_only_fibers():
    field = simulate(FiberScenario(SCENARIO.round, 100.0), np.random.default_rng(11), cell=small_cell(12))
    assert set(field.classes) == {0, FIBER}
    assert len(field.centers_nm) == 0


def test_a_cell_too_small_for_any_fiber_is_refused():
    cell = draw_cell(np.random.default_rng(0), base_radius_nm=150, roughness_nm=10, field_nm=1_000)
    with pytest.raises(UsageError, match="larger cell"):
        draw_fibers(FiberScenario(Scenario(30, 20.0, 90.0, 20_000.0), 100.0), cell, np.random.default_rng(0))


@pytest.mark.parametrize("share", [0.0, -5.0, 100.5])
def test_shares_out_of_range_are_refused(share: float):
    with pytest.raises(UsageError, match="above 0"):
        FiberScenario(SCENARIO.round, share)
