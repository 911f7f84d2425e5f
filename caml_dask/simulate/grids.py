"""Grids of scenarios: what networks are trained on, and what they are tried on."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from functools import cache

from caml_dask.errors import UsageError
from caml_dask.simulate.fibers import LEAST_POINTS
from caml_dask.simulate.patterns import OFFSETS
from caml_dask.simulate.scenarios import (
    FIBER_LENGTH_NM,
    FIBER_SIGMA_NM,
    FIBER_WIDTH_SIGMAS,
    AnyScenario,
    FiberScenario,
    Scenario,
    SlabScenario,
)

PERCENTS = (5, *range(10, 101, 10))
TRAINING_POINTS = (5, *range(10, 91, 10))
TRAINING_RADII_NM = (5, 10, 15, 25, 40, 50, 75, 100)
TRAINING_DENSITIES_PER_UM2 = (5, 10, 50, 100, 300, 500)
EVALUATION_RADII_NM = tuple(range(10, 101, 10))
CSR_DENSITIES_PER_UM2 = (10, 50, 100, 500, 1_000)
SLAB_RADII_NM = (25, 50, 75, 100)
SLAB_Z_MAX_NM = (25, 50, 75, 100, 150, 200, 250)
SLAB_DENSITIES_PER_UM2 = (50, 100, 300, 500)
CLUSTERS_PER_UM2 = (1.0, 5.0)
CONTRAST = (1.5, 100.0)
LEAST_FIBERS_PER_UM2 = 0.01


def full_grid() -> tuple[Scenario, ...]:
    """The training grid of Williamson et al. 2020 before its filter.

    Returns
    -------
    tuple of Scenario
        5,280 scenarios.
    """
    return tuple(
        Scenario(points, float(radius), float(percent), float(density))
        for points, radius, percent, density in itertools.product(
            TRAINING_POINTS, TRAINING_RADII_NM, PERCENTS, TRAINING_DENSITIES_PER_UM2
        )
    )


def viable(scenario: Scenario | SlabScenario, *, inclusive: bool = False, waive_fully_clustered: bool = True) -> bool:
    """Whether a scenario holds 1-5 clusters per um2 that are 1.5-100 times denser than what surrounds them.

    Parameters
    ----------
    scenario : Scenario or SlabScenario
        The scenario to judge.
    inclusive : bool
        Whether values on a bound pass.
    waive_fully_clustered : bool
        Whether scenarios with nothing around the clusters pass; otherwise they fail.

    Returns
    -------
    bool
        True where it passes.
    """

    def within(value: float, bounds: tuple[float, float]) -> bool:
        low, high = bounds
        return low <= value <= high if inclusive else low < value < high

    if not within(scenario.clusters_per_um2, CLUSTERS_PER_UM2) or scenario.clustered_share >= 1:
        return False
    if scenario.percent_clustered == 100:
        return waive_fully_clustered
    return within(scenario.contrast, CONTRAST)


@cache
def training_grid() -> tuple[Scenario, ...]:
    """The scenarios on which networks in the plane are trained: strictly within the bounds, the fully clustered kept.

    Williamson et al. 2020 state 711 viable scenarios; their list is not public and no reading of the bounds gives it.

    Returns
    -------
    tuple of Scenario
        553 scenarios.
    """
    return tuple(scenario for scenario in full_grid() if viable(scenario))


def slab_grid() -> tuple[SlabScenario, ...]:
    """Viable scenarios in 3D, by the rule of the plane.

    They have the points per cluster and percentages of the training grid and radii of 25-100 nm, stretched along z to
    at most 500 nm from end to end.

    Returns
    -------
    tuple of SlabScenario
        The scenarios.
    """
    grid = itertools.product(TRAINING_POINTS, SLAB_RADII_NM, SLAB_Z_MAX_NM, PERCENTS, SLAB_DENSITIES_PER_UM2)
    made = (SlabScenario(p, float(r), float(z), float(c), float(d)) for p, r, z, c, d in grid if z >= r)
    return tuple(scenario for scenario in made if viable(scenario))


def fiber_grid() -> tuple[FiberScenario, ...]:
    """Half round clusters, half fibers, from the viable scenarios of the training grid that hold non-clustered points.

    Kept are those where the shortest and thinnest fiber would have 10 points and a cell of 400 um2 four fibers.

    Returns
    -------
    tuple of FiberScenario
        The scenarios.
    """
    shortest_um2 = FIBER_LENGTH_NM[0] * FIBER_WIDTH_SIGMAS * FIBER_SIGMA_NM[0] / 1e6
    mixed = [FiberScenario(s, 50.0) for s in full_grid() if viable(s, waive_fully_clustered=False)]
    return tuple(
        s
        for s in mixed
        if s.fiber_density_per_um2 * shortest_um2 >= LEAST_POINTS and s.fibers_per_um2 > LEAST_FIBERS_PER_UM2
    )


def evaluation_grid(law: str = "uniform") -> tuple[Scenario, ...]:
    """Williamson et al.'s evaluation grid: 20 points per cluster at 100 per um2, 10 radii by 11 percentages.

    Parameters
    ----------
    law : str
        "uniform", "gaussian", "line" or "ring": how members lie around their center.

    Returns
    -------
    tuple of Scenario
        110 scenarios.
    """
    return tuple(
        Scenario(20, float(radius), float(percent), 100.0, law)
        for radius, percent in itertools.product(EVALUATION_RADII_NM, PERCENTS)
    )


def density_grid() -> tuple[Scenario, ...]:
    """The viable scenarios, at 10 to 500 per um2, that hold both classes.

    Returns
    -------
    tuple of Scenario
        441 scenarios.
    """
    return tuple(scenario for scenario in training_grid() if scenario.percent_clustered < 100)


def large_cluster_grid() -> tuple[Scenario, ...]:
    """Clusters of 100, 150 and 200 points, in the window of 100 neighbors' reach and beyond it.

    Returns
    -------
    tuple of Scenario
        12 scenarios.
    """
    return tuple(
        Scenario(points, radius, 50.0, density)
        for points, radius, density in itertools.product((100, 150, 200), (50.0, 100.0), (300.0, 500.0))
    )


def novel_fiber_grid() -> tuple[FiberScenario, ...]:
    """Shares of fibers, clusters and densities that the fiber grid lacks.

    Returns
    -------
    tuple of FiberScenario
        48 scenarios.
    """
    return tuple(
        FiberScenario(Scenario(points, radius, percent, density), fiber)
        for points, radius, percent, density, fiber in itertools.product(
            (25, 55), (30.0, 45.0), (30.0, 60.0), (200.0, 400.0), (25.0, 75.0, 100.0)
        )
    )


def novel_slab_grid() -> tuple[SlabScenario, ...]:
    """Clusters of 25 and 55 points at 200 and 400 per um2 in 3D, round and stretched to 500 nm.

    Returns
    -------
    tuple of SlabScenario
        72 scenarios.
    """
    return tuple(
        SlabScenario(points, radius, z, percent, density)
        for points, radius, z, percent, density in itertools.product(
            (25, 55), (40.0, 60.0), (60.0, 120.0, 250.0), (20.0, 50.0, 80.0), (200.0, 400.0)
        )
    )


GRIDS: dict[str, Callable[[], tuple[AnyScenario, ...]]] = {
    "training": training_grid,
    "evaluation": evaluation_grid,
    "densities": density_grid,
    "gaussian": lambda: evaluation_grid("gaussian"),
    "lines": lambda: evaluation_grid("line"),
    "rings": lambda: evaluation_grid("ring"),
    "large": large_cluster_grid,
    "csr": lambda: tuple(Scenario.csr(float(d)) for d in CSR_DENSITIES_PER_UM2),
    "fibers": fiber_grid,
    "novel-fibers": novel_fiber_grid,
    "slabs": slab_grid,
    "novel-slabs": novel_slab_grid,
    "slab-csr": lambda: tuple(SlabScenario.csr(float(d)) for d in CSR_DENSITIES_PER_UM2[1:]),
}
"""Scenarios by the name of their grid."""

_KIND = re.compile(rf"({'|'.join(OFFSETS)}|csr|slabcsr|slab|fiber)((?:-[a-z][0-9.]+)+)")
_WANTED = {"csr": "d", "slabcsr": "d", "slab": "zprcd", "fiber": "fprcd", **dict.fromkeys(OFFSETS, "prcd")}


def scenario_named(name: str) -> AnyScenario:
    """The scenario with a given name, such as ``uniform-p20-r50-c50-d100``.

    The numbers are p points per cluster, r r_max in nm, c percent clustered, d points per um2, z z_max in nm, f percent
    of the clustered points in fibers.

    Parameters
    ----------
    name : str
        Kind and numbers, as a scenario's `name` gives them.

    Returns
    -------
    Scenario or FiberScenario or SlabScenario
        The scenario.

    Raises
    ------
    UsageError
        The name has another form, or a value is out of its range.
    """
    found = _KIND.fullmatch(name)
    kind, parts = (found[1], found[2].removeprefix("-").split("-")) if found else ("", [])
    if not found or "".join(part[0] for part in parts) != _WANTED[kind]:
        forms = "csr-d100, slab-z150-p20-r50-c50-d100, slabcsr-d100, fiber-f50-p20-r50-c50-d100"
        raise UsageError(
            f"no scenario is called {name!r}: give {' or '.join(OFFSETS)} in the form uniform-p20-r50-c50-d100,"
            f" or one like {forms}; or one of the grids {', '.join(GRIDS)}"
        )
    try:
        value = {part[0]: float(part[1:]) for part in parts}
    except ValueError:
        raise UsageError(
            f"scenario {name!r} holds something that is no number: give one like p20-r50-c50-d100"
        ) from None
    if kind in ("csr", "slabcsr"):
        return Scenario.csr(value["d"]) if kind == "csr" else SlabScenario.csr(value["d"])
    if value["p"] % 1:
        raise UsageError(f"scenario {name!r} has {value['p']:g} points per cluster: give a whole number")
    points = int(value["p"])
    if kind == "slab":
        return SlabScenario(points, value["r"], value["z"], value["c"], value["d"])
    if kind == "fiber":
        return FiberScenario(Scenario(points, value["r"], value["c"], value["d"]), value["f"])
    return Scenario(points, value["r"], value["c"], value["d"], kind)


def scenarios_named(name: str) -> tuple[AnyScenario, ...]:
    """The scenarios of a grid, or the one scenario with the name.

    Parameters
    ----------
    name : str
        Name of a grid in `GRIDS`, or of a scenario.

    Returns
    -------
    tuple of Scenario or FiberScenario or SlabScenario
        The scenarios; one for the name of a scenario.

    Raises
    ------
    UsageError
        The name is neither that of a grid nor that of a scenario.
    """
    return GRIDS[name]() if name in GRIDS else (scenario_named(name),)
