from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from caml_dask.errors import UsageError
from caml_dask.simulate import SlabScenario, simulate

SCENARIOS = [
    SlabScenario(20, 50.0, 50.0, 50.0, 100.0),
    SlabScenario(40, 40.0, 250.0, 30.0, 300.0),
    SlabScenario(10, 25.0, 100.0, 100.0, 50.0),
]
SQUEEZE = {s: np.array([1, 1, s.r_max_nm / s.z_max_nm]) for s in SCENARIOS}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_counts_are_the_stated_ones(scenario: SlabScenario):
    field = simulate(scenario, np.random.default_rng(1))
    assert field.area_um2 == 100
    assert len(field.centers_nm) == pytest.approx(100 * scenario.clusters_per_um2, rel=0.05)
    members = field.truth >= 0
    assert (np.bincount(field.truth[members]) == scenario.points_per_cluster).all()
    assert (~members).sum() == math.floor(100 * scenario.density_per_um2 * (100 - scenario.percent_clustered) / 100)
    assert field.points_nm.shape == (len(field.truth), 3)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_members_fill_ellipsoids_and_others_keep_out(scenario: SlabScenario):
    field = simulate(scenario, np.random.default_rng(2))
    squeeze, members = SQUEEZE[scenario], field.truth >= 0
    offsets = (field.points_nm[members] - field.centers_nm[field.truth[members]]) * squeeze
    r2 = (offsets**2).sum(axis=1) / scenario.r_max_nm**2
    assert r2.max() <= 1 + 1e-9
    # r^2 = U R^2, in all directions alike
    assert r2.mean() == pytest.approx(1 / 2, abs=0.02)
    assert (offsets**2).mean(axis=0) / scenario.r_max_nm**2 == pytest.approx([1 / 6] * 3, rel=0.1)
    assert pdist(field.centers_nm * squeeze).min() > 2.2 * scenario.r_max_nm
    for center in field.centers_nm[:50]:
        apart = np.linalg.norm((field.points_nm[~members] - center) * squeeze, axis=1)
        assert apart.size == 0 or apart.min() > scenario.r_max_nm
    assert (field.points_nm >= 0).all() and (field.points_nm <= [10_000, 10_000, 1_000]).all()


def test_contrast_by_hand():
    # 1 cluster per um2 of 20 points in 4/3 pi .1 .1 .2 um3; outside 80 per um3 of what the clusters leave.
    scenario = SlabScenario(20, 100.0, 200.0, 20.0, 100.0)
    volume = 4 / 3 * math.pi * 0.1 * 0.1 * 0.2
    assert scenario.contrast == pytest.approx(20 / volume / (80 / (1 - volume)))
    assert SlabScenario(20, 100.0, 200.0, 100.0, 100.0).contrast == math.inf


@pytest.mark.parametrize("z_max", [40.0, 501.0])
def test_heights_out_of_range_are_refused(z_max: float):
    with pytest.raises(UsageError, match="at least r_max"):
        SlabScenario(20, 50.0, z_max, 50.0, 100.0)


def test_ellipsoids_that_fill_the_slab_leave_no_room():
    with pytest.raises(UsageError, match="no room"):
        simulate(SlabScenario(5, 250.0, 500.0, 50.0, 100.0), np.random.default_rng(0))
