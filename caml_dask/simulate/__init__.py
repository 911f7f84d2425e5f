"""Simulated fields with known truth (Williamson et al. 2020), for training sets and benchmarks."""

from __future__ import annotations

from caml_dask.simulate.cells import Cell, draw_cell
from caml_dask.simulate.scenarios import (
    Field,
    Scenario,
    evaluation_grid,
    full_grid,
    simulate,
    training_grid,
    viable,
)
from caml_dask.simulate.squares import Chunk, simulate_square

__all__ = [
    "Cell",
    "Chunk",
    "Field",
    "Scenario",
    "draw_cell",
    "evaluation_grid",
    "full_grid",
    "simulate",
    "simulate_square",
    "training_grid",
    "viable",
]
