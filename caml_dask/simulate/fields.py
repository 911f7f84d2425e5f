"""Simulated fields with their truth, and how they are drawn."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from caml_dask.schema import CLUSTERED, FIBER, NO_CLUSTER, NON_CLUSTERED
from caml_dask.simulate.cells import Cell, draw_cell
from caml_dask.simulate.fibers import draw_fibers, outside_fibers
from caml_dask.simulate.patterns import OFFSETS, draw_centers, draw_non_clustered
from caml_dask.simulate.scenarios import AnyScenario, FiberScenario, SlabScenario
from caml_dask.simulate.slabs import draw_slab


@dataclass(frozen=True, eq=False)
class Field:
    """A simulated field with its truth.

    Parameters
    ----------
    points_nm : (n, d) float64
        Coordinates in nm, in random order; d is 2, or 3 in a slab.
    truth : (n,) int64
        Number of the cluster a point was drawn for, from 0, fibers after the round ones; -1 for none.
    classes : (n,) int8
        As in schema.POINTS: 0 non-clustered, 1 clustered, 2 in a fiber.
    centers_nm : (k, d) float64
        Center of each round cluster, in nm.
    area_um2 : float
        Area of the region in the plane, in um2.
    scenario : Scenario or FiberScenario or SlabScenario
        What was drawn.
    cell : Cell or None
        The region; None for a slab.
    """

    points_nm: NDArray[np.float64]
    truth: NDArray[np.int64]
    classes: NDArray[np.int8]
    centers_nm: NDArray[np.float64]
    area_um2: float
    scenario: AnyScenario
    cell: Cell | None = None

    @property
    def xy_nm(self) -> NDArray[np.float64]:
        """Coordinates in the plane, in nm: (n, 2) float64."""
        return self.points_nm[:, :2]


def simulate(scenario: AnyScenario, rng: np.random.Generator, *, cell: Cell | None = None) -> Field:
    """Draw a field (Williamson et al. 2020).

    A cell holds floor(area x clusters per um2) clusters of exactly the stated points, less those that find no place
    (see `draw_centers`), and floor(area x density x non-clustered share) points outside their discs and fibers.

    Parameters
    ----------
    scenario : Scenario or FiberScenario or SlabScenario
        What to draw.
    rng : numpy.random.Generator
        The only source of chance.
    cell : Cell or None
        The region of a scenario in the plane; None draws one of the published size.

    Returns
    -------
    Field
        The points and their truth.

    Raises
    ------
    UsageError
        The clusters or fibers do not fit the cell or slab.
    """
    if isinstance(scenario, SlabScenario):
        members, numbers, centers, others = draw_slab(scenario, rng)
        return _mixed(members, numbers, len(centers), others, centers, scenario.area_um2, scenario, None, rng)
    cell = draw_cell(rng) if cell is None else cell
    fibers = draw_fibers(scenario, cell, rng) if isinstance(scenario, FiberScenario) else []
    disc = scenario.round if isinstance(scenario, FiberScenario) else scenario
    n_clusters = math.floor(cell.area_um2 * scenario.clusters_per_um2)
    n_non = math.floor(cell.area_um2 * scenario.density_per_um2 * (100 - scenario.percent_clustered) / 100)
    centers = np.empty((0, 2))
    if n_clusters:
        centers = draw_centers(n_clusters, disc.r_max_nm, cell, rng, keep=outside_fibers(fibers, disc.r_max_nm))
    numbers = np.repeat(np.arange(len(centers)), disc.points_per_cluster)
    offsets = OFFSETS[disc.law](len(centers), disc.points_per_cluster, disc.r_max_nm, rng)
    others = draw_non_clustered(n_non, centers, disc.r_max_nm, cell, rng, keep=outside_fibers(fibers))
    members = np.concatenate([centers[numbers] + offsets, *(fiber.members_nm for fiber in fibers)])
    numbers = np.concatenate(
        [numbers, np.repeat(np.arange(len(fibers)), [len(f.members_nm) for f in fibers]) + len(centers)]
    )
    return _mixed(members, numbers, len(centers), others, centers, cell.area_um2, scenario, cell, rng)


def field_rng(scenario: AnyScenario, seed: int, replicate: int = 0) -> np.random.Generator:
    """The source of chance of a scenario's field.

    Its seed depends on the name of the scenario, so a field is the same in any list of scenarios.

    Parameters
    ----------
    scenario : Scenario or FiberScenario or SlabScenario
        What is drawn.
    seed : int
        Seed of the whole set, 0 or more.
    replicate : int
        Number of the field among those of the scenario.

    Returns
    -------
    numpy.random.Generator
        A new generator.
    """
    return np.random.default_rng([seed, zlib.crc32(scenario.name.encode()), replicate])


def _mixed(
    members: NDArray[np.float64],
    numbers: NDArray[np.int64],
    n_round: int,
    others: NDArray[np.float64],
    centers: NDArray[np.float64],
    area_um2: float,
    scenario: AnyScenario,
    cell: Cell | None,
    rng: np.random.Generator,
) -> Field:
    """Members and non-clustered points in random order, with their truth."""
    order = rng.permutation(len(members) + len(others))
    truth = np.concatenate([numbers, np.full(len(others), NO_CLUSTER)]).astype(np.int64)
    classes = np.where(truth == NO_CLUSTER, NON_CLUSTERED, np.where(truth < n_round, CLUSTERED, FIBER)).astype(np.int8)
    points = np.concatenate([members, others])
    return Field(points[order], truth[order], classes[order], centers, area_um2, scenario, cell)
