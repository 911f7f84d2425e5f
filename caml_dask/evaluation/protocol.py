"""What an evaluation looks at: which networks on which grids, how many fields, and from which seeds.

Every grid is taken whole for labels, but for those two that networks are trained on in 3D and with fibers: of their
790 and 404 scenarios that hold non-clustered points 160 and 120 are taken, spaced evenly by their clustered percentage.
Whole analyses take 20 of the 110 scenarios of the evaluation grid, the grid of large clusters whole, and 16 each of the
novel slabs and fibers. With two fields of each scenario the five networks then take half an hour of one core, half of
it for the LSTM network with the window of 1,000.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from caml_dask.errors import UsageError
from caml_dask.networks import NETWORKS, AnyNetwork, load
from caml_dask.settings import network_named
from caml_dask.simulate import (
    AnyScenario,
    Cell,
    FiberScenario,
    Field,
    Scenario,
    SlabScenario,
    draw_cell,
    scenarios_named,
    simulate,
)

STREAM = 20_200
"""First word of all seeds here. Training seeds its fields with (seed, scenario, replicate), from a seed of 0."""
CELL_LOCALIZATIONS = 10_000
"""Localizations of the smaller cells that whole analyses take."""
SMOKE_LOCALIZATIONS, SMOKE_SAMPLES, SMOKE_SCENARIOS = 2_500, 300, 2
ROUGHNESS = 0.4
"""Of a smaller cell's outline, over its base radius: as the published cell's 4 um over 10 um."""
THINNED = {"slabs": 160, "fibers": 120}
"""Scenarios taken of the grids that networks are trained on in 3D and with fibers."""
IN_THE_PLANE = ("densities", "evaluation", "gaussian", "lines", "rings", "large", "csr")
IN_3D = ("slabs", "novel-slabs", "slab-csr")
WITH_FIBERS = ("fibers", "novel-fibers", "csr")
GRID_NAMES = tuple(dict.fromkeys((*IN_THE_PLANE, *IN_3D, *WITH_FIBERS)))

ANALYSED: dict[str, Callable[[Any], bool]] = {
    "evaluation": lambda s: s.r_max_nm in (20, 50, 80, 100) and s.percent_clustered in (10, 30, 50, 70, 90),
    "large": lambda s: True,
    "novel-slabs": lambda s: s.density_per_um2 == 200 and s.percent_clustered in (20, 80) and s.z_max_nm in (60, 250),
    "novel-fibers": lambda s: s.density_per_um2 == 200 and s.percent_fiber in (25, 75),
}
"""Grids that whole analyses take, and the scenarios of each that they take."""


@dataclass(frozen=True)
class Protocol:
    """How much of the fields is looked at.

    Parameters
    ----------
    samples : localizations whose labels are compared, of each field.
    replicates : fields of each scenario.
    seed : of all fields and samples.
    smoke : a few scenarios in small cells: whether everything works, in seconds.

    Raises
    ------
    UsageError : numbers that are too small.
    """

    samples: int = 2_000
    replicates: int = 2
    seed: int = 0
    smoke: bool = False

    def __post_init__(self) -> None:
        if self.samples < 1 or self.replicates < 1 or self.seed < 0:
            raise UsageError(
                f"{self.samples} samples, {self.replicates} replicates, seed {self.seed}: give at least one sample and"
                " one replicate, and a seed of 0 or more"
            )

    @property
    def samples_taken(self) -> int:
        """Localizations sampled of each field."""
        return min(self.samples, SMOKE_SAMPLES) if self.smoke else self.samples


def trained_networks(names: Sequence[str] = ()) -> list[str]:
    """The networks asked for, each once, as settings name them; without names all that ship.

    Raises
    ------
    UsageError : no such network, or two of one name: records tell networks apart by it.
    WeightsError : weights that are missing or not the ones their card pins.
    """
    chosen = list(dict.fromkeys(map(network_named, names))) or list(NETWORKS)
    for name, count in Counter(load(network).name for network in chosen).items():
        if count > 1:
            raise UsageError(
                f"{count} of the networks are called {name}: evaluate them one by one, or train one with --name"
            )
    return chosen


def label_grids(entry: AnyNetwork) -> tuple[str, ...]:
    """Grids whose labels a network can be tried on."""
    if entry.dimensions == 3:
        return IN_3D
    return WITH_FIBERS if len(entry.classes) > 2 else IN_THE_PLANE


def cluster_grids(entry: AnyNetwork) -> tuple[str, ...]:
    """Grids whose clusters a network can be tried on."""
    return tuple(grid for grid in label_grids(entry) if grid in ANALYSED)


def label_scenarios(grid: str, protocol: Protocol) -> tuple[AnyScenario, ...]:
    """The scenarios of a grid whose labels are compared."""
    taken = scenarios_named(grid)
    if grid in THINNED:
        mixed = (s for s in taken if s.percent_clustered < 100)
        taken = tuple(sorted(mixed, key=lambda s: s.percent_clustered))
    return thinned(taken, SMOKE_SCENARIOS if protocol.smoke else THINNED.get(grid))


def cluster_scenarios(grid: str, protocol: Protocol) -> tuple[AnyScenario, ...]:
    """The scenarios of a grid that are analysed whole, in the grid's order."""
    taken = tuple(s for s in scenarios_named(grid) if ANALYSED[grid](s))
    return thinned(taken, SMOKE_SCENARIOS if protocol.smoke else None)


def thinned(scenarios: tuple[AnyScenario, ...], most: int | None) -> tuple[AnyScenario, ...]:
    """At most so many scenarios, evenly spaced among those that came."""
    if most is None or most >= len(scenarios):
        return scenarios
    return tuple(scenarios[i * len(scenarios) // most] for i in range(most))


def generator(use: str, scenario: AnyScenario, replicate: int, protocol: Protocol) -> np.random.Generator:
    """The source of chance of one field: the same for equal seed, use, scenario name and replicate, whatever the grid.

    Parameters
    ----------
    use : "labels" or "clusters".
    """
    return np.random.default_rng([STREAM, protocol.seed, _crc(f"{use}/{scenario.name}"), replicate])


def label_field(scenario: AnyScenario, rng: np.random.Generator, protocol: Protocol) -> Field:
    """A field of the published size; a small one in a smoke test."""
    return sized_field(scenario, rng, SMOKE_LOCALIZATIONS if protocol.smoke else None)


def cluster_field(scenario: AnyScenario, rng: np.random.Generator, protocol: Protocol) -> Field:
    """A cell of about 10,000 localizations, or a slab."""
    return sized_field(scenario, rng, SMOKE_LOCALIZATIONS if protocol.smoke else CELL_LOCALIZATIONS)


def sized_field(scenario: AnyScenario, rng: np.random.Generator, localizations: int | None) -> Field:
    """A cell of about so many localizations, of the published size where None; slabs have one size."""
    cell: Cell | None = None
    if localizations is not None and not isinstance(scenario, SlabScenario):
        # The mean radius lies half of the roughness above the base; no cell is larger than the published one.
        mean_nm = 1e3 * math.sqrt(localizations / scenario.density_per_um2 / math.pi)
        base_nm = min(mean_nm / (1 + ROUGHNESS / 2), 10_000.0)
        cell = draw_cell(rng, base_radius_nm=base_nm, roughness_nm=ROUGHNESS * base_nm)
    return simulate(scenario, rng, cell=cell)


SCENARIO_COLUMNS = (
    "grid",
    "scenario",
    "kind",
    "density_per_um2",
    "points_per_cluster",
    "r_max_nm",
    "z_max_nm",
    "percent_clustered",
    "percent_fiber",
    "contrast",
    "replicate",
)


def described(grid: str, scenario: AnyScenario, replicate: int) -> dict[str, Any]:
    """The columns that say what a field was drawn from; NaN where a scenario has no such number.

    `contrast` is the density inside clusters over that outside; NaN where nothing lies outside, or inside.
    """
    clustered = scenario.percent_clustered > 0
    kind = "fiber" if isinstance(scenario, FiberScenario) else "slab"
    if isinstance(scenario, Scenario):
        kind = scenario.law if clustered else "csr"
    return {
        "grid": grid,
        "scenario": scenario.name,
        "kind": kind,
        "density_per_um2": scenario.density_per_um2,
        "points_per_cluster": float(scenario.points_per_cluster) if clustered else math.nan,
        "r_max_nm": scenario.r_max_nm if clustered else math.nan,
        "z_max_nm": scenario.z_max_nm if isinstance(scenario, SlabScenario) and clustered else math.nan,
        "percent_clustered": scenario.percent_clustered,
        "percent_fiber": scenario.percent_fiber if isinstance(scenario, FiberScenario) else math.nan,
        "contrast": scenario.contrast if clustered and math.isfinite(scenario.contrast) else math.nan,
        "replicate": replicate,
    }


def _crc(text: str) -> int:
    return zlib.crc32(text.encode())
