from __future__ import annotations

import pytest

from caml_dask.errors import UsageError
from caml_dask.simulate import (
    GRIDS,
    FiberScenario,
    Scenario,
    SlabScenario,
    field_rng,
    scenario_named,
    scenarios_named,
    simulate,
)


@pytest.mark.parametrize("grid", sorted(GRIDS))
def test_every_scenario_is_made_again_from_its_name(grid: str):
    scenarios = scenarios_named(grid)
    assert len({s.name for s in scenarios}) == len(scenarios) > 0
    assert all(scenario_named(s.name) == s for s in scenarios)


def test_names_by_hand():
    assert scenario_named("uniform-p20-r50-c50-d100") == Scenario(20, 50.0, 50.0, 100.0)
    assert scenario_named("line-p20-r12.5-c5-d100") == Scenario(20, 12.5, 5.0, 100.0, "line")
    assert scenario_named("csr-d10") == Scenario.csr(10.0)
    assert scenario_named("fiber-f25-p20-r50-c50-d100") == FiberScenario(Scenario(20, 50.0, 50.0, 100.0), 25.0)
    assert scenario_named("slab-z150-p20-r50-c50-d100") == SlabScenario(20, 50.0, 150.0, 50.0, 100.0)
    assert scenarios_named("csr-d10") == (Scenario.csr(10.0),)


@pytest.mark.parametrize(
    "name",
    ["", "blob-p20-r50-c50-d100", "uniform-p20-r50-c50", "uniform-r50-p20-c50-d100", "csr-p20-d10", "csr-d1.2.3",
     "uniform-p2.5-r50-c50-d100", "uniform-p20-r0-c50-d100", "slab-z10-p20-r50-c50-d100"],
)  # fmt: skip
def test_names_that_make_no_scenario_are_refused(name: str):
    with pytest.raises(UsageError, match="give"):
        scenario_named(name)


def test_grids_of_three_classes_and_of_slabs_are_viable():
    for scenario in scenarios_named("fibers"):
        assert 1.5 < scenario.contrast < 100
        assert scenario.fiber_density_per_um2 * 0.5 * 0.04 >= 10
        assert scenario.fibers_per_um2 > 0.01
    for slab in scenarios_named("slabs"):
        assert 1 < slab.clusters_per_um2 < 5
        assert slab.percent_clustered == 100 or 1.5 < slab.contrast < 100
        assert slab.r_max_nm <= slab.z_max_nm <= 250


def test_novel_scenarios_are_not_trained_on():
    for novel, trained in (("novel-fibers", "fibers"), ("novel-slabs", "slabs"), ("large", "training")):
        assert not set(scenarios_named(novel)) & set(scenarios_named(trained))


def test_a_field_follows_from_name_seed_and_replicate():
    scenario = scenario_named("fiber-f50-p30-r40-c50-d10")
    drawn = {key: simulate(scenario, field_rng(scenario, *key)).points_nm.tobytes() for key in [(0, 0), (0, 1), (1, 0)]}
    assert len(set(drawn.values())) == 3
    again = scenario_named(scenario.name)
    assert simulate(again, field_rng(again, 0, 1)).points_nm.tobytes() == drawn[0, 1]
