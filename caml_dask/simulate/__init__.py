"""Simulated fields with known truth (Williamson et al. 2020), for training sets and benchmarks."""

from __future__ import annotations

from caml_dask.simulate.cells import Cell, draw_cell
from caml_dask.simulate.fields import Field, field_rng, simulate
from caml_dask.simulate.grids import (
    GRIDS,
    density_grid,
    evaluation_grid,
    fiber_grid,
    full_grid,
    scenario_named,
    scenarios_named,
    slab_grid,
    training_grid,
    viable,
)
from caml_dask.simulate.scenarios import AnyScenario, FiberScenario, Scenario, SlabScenario
from caml_dask.simulate.squares import Chunk, simulate_square

__all__ = [
    "GRIDS",
    "AnyScenario",
    "Cell",
    "Chunk",
    "FiberScenario",
    "Field",
    "Scenario",
    "SlabScenario",
    "density_grid",
    "draw_cell",
    "evaluation_grid",
    "fiber_grid",
    "field_rng",
    "full_grid",
    "scenario_named",
    "scenarios_named",
    "simulate",
    "simulate_square",
    "slab_grid",
    "training_grid",
    "viable",
]
