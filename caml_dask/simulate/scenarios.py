"""Scenarios of the simulation grids, and the fields drawn from them."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from caml_dask.errors import UsageError
from caml_dask.schema import NO_CLUSTER
from caml_dask.simulate.cells import Cell, draw_cell
from caml_dask.simulate.patterns import OFFSETS, draw_centers, draw_non_clustered

PERCENTS = (5, *range(10, 101, 10))
TRAINING_POINTS = (5, *range(10, 91, 10))
TRAINING_RADII_NM = (5, 10, 15, 25, 40, 50, 75, 100)
TRAINING_DENSITIES_PER_UM2 = (5, 10, 50, 100, 300, 500)
EVALUATION_RADII_NM = tuple(range(10, 101, 10))
CLUSTERS_PER_UM2 = (1.0, 5.0)
CONTRAST = (1.5, 100.0)


@dataclass(frozen=True)
class Scenario:
    """What a simulated field holds.

    Parameters
    ----------
    points_per_cluster : members of every cluster.
    r_max_nm : largest distance of a member from its center (2 sigma under the Gaussian law).
    percent_clustered : share of the points that belong to clusters, 0 (CSR) to 100.
    density_per_um2 : points of both kinds per area of the cell.
    law : "uniform" or "gaussian", how members lie around their center.

    Raises
    ------
    UsageError : a value out of its range.
    """

    points_per_cluster: int
    r_max_nm: float
    percent_clustered: float
    density_per_um2: float
    law: str = "uniform"

    def __post_init__(self) -> None:
        if self.points_per_cluster < 1 or not 0 < self.r_max_nm < math.inf:
            raise UsageError(
                f"clusters of {self.points_per_cluster} points within {self.r_max_nm} nm:"
                " give at least 1 and a positive radius"
            )
        if not 0 <= self.percent_clustered <= 100 or not 0 < self.density_per_um2 < math.inf:
            raise UsageError(
                f"{self.percent_clustered} % clustered at {self.density_per_um2} per um2:"
                " give 0 to 100 and a positive density"
            )
        if self.law not in OFFSETS:
            raise UsageError(f"unknown law {self.law!r}: use one of {', '.join(OFFSETS)}")

    @classmethod
    def csr(cls, density_per_um2: float) -> Scenario:
        """Complete spatial randomness: no clusters."""
        return cls(1, 1.0, 0.0, density_per_um2)

    @property
    def clusters_per_um2(self) -> float:
        """Clusters per area of the cell."""
        return self.density_per_um2 * self.percent_clustered / (100 * self.points_per_cluster)

    @property
    def clustered_share(self) -> float:
        """Share of the cell's area inside the clusters' discs."""
        return self.clusters_per_um2 * math.pi * (self.r_max_nm / 1e3) ** 2

    @property
    def contrast(self) -> float:
        """Density inside the discs over the density outside; infinite where everything is clustered."""
        if self.percent_clustered == 100:
            return math.inf
        inside = self.points_per_cluster / (math.pi * (self.r_max_nm / 1e3) ** 2)
        outside = self.density_per_um2 * (1 - self.percent_clustered / 100) / (1 - self.clustered_share)
        return inside / outside


@dataclass(frozen=True, eq=False)
class Field:
    """A simulated field with its truth.

    Parameters
    ----------
    xy_nm : (n, 2) float64, in random order
    truth : (n,) int64
        Number of the cluster a point was drawn for, from 0; -1 for none.
    centers_nm : (k, 2) float64
        Center of each cluster.
    cell : the region; its outline and area.
    scenario : what was drawn.
    """

    xy_nm: NDArray[np.float64]
    truth: NDArray[np.int64]
    centers_nm: NDArray[np.float64]
    cell: Cell
    scenario: Scenario

    @property
    def area_um2(self) -> float:
        """Area of the cell."""
        return self.cell.area_um2

    @property
    def r_max_nm(self) -> float:
        """Largest distance of a member from its center."""
        return self.scenario.r_max_nm

    @property
    def outline_nm(self) -> NDArray[np.float64]:
        """Vertices of the cell's outline: (m, 2) float64."""
        return self.cell.outline_nm


def full_grid() -> tuple[Scenario, ...]:
    """The training grid of Williamson et al. 2020 before its filter: 5,280 scenarios."""
    return tuple(
        Scenario(points, float(radius), float(percent), float(density))
        for points, radius, percent, density in itertools.product(
            TRAINING_POINTS, TRAINING_RADII_NM, PERCENTS, TRAINING_DENSITIES_PER_UM2
        )
    )


def viable(scenario: Scenario, *, inclusive: bool = False, waive_fully_clustered: bool = True) -> bool:
    """Whether a scenario holds 1-5 clusters per um2 that are 1.5-100 times denser than what surrounds them.

    Parameters
    ----------
    inclusive : whether values on a bound pass.
    waive_fully_clustered : whether scenarios with nothing around the clusters pass; without, they fail.
    """

    def within(value: float, bounds: tuple[float, float]) -> bool:
        low, high = bounds
        return low <= value <= high if inclusive else low < value < high

    if not within(scenario.clusters_per_um2, CLUSTERS_PER_UM2) or scenario.clustered_share >= 1:
        return False
    if scenario.percent_clustered == 100:
        return waive_fully_clustered
    return within(scenario.contrast, CONTRAST)


def training_grid() -> tuple[Scenario, ...]:
    """The 553 scenarios networks are trained on: strictly within the bounds, the fully clustered ones kept.

    Williamson et al. 2020 state 711 viable scenarios; their list is not public and no reading of the bounds gives it.
    """
    return tuple(scenario for scenario in full_grid() if viable(scenario))


def evaluation_grid() -> tuple[Scenario, ...]:
    """Williamson et al.'s evaluation grid: 20 points per cluster at 100 per um2, 10 radii by 11 percentages."""
    return tuple(
        Scenario(20, float(radius), float(percent), 100.0)
        for radius, percent in itertools.product(EVALUATION_RADII_NM, PERCENTS)
    )


def simulate(scenario: Scenario, rng: np.random.Generator, *, cell: Cell | None = None) -> Field:
    """Draw a field (Williamson et al. 2020).

    The cell holds floor(area x clusters per um2) clusters of exactly the stated points, less those that find no place
    (see `draw_centers`), and floor(area x density x non-clustered share) points outside their discs.

    Parameters
    ----------
    scenario : what to draw.
    rng : the only source of chance.
    cell : the region; None draws one of the published size.

    Raises
    ------
    UsageError : clusters that do not fit the cell.
    """
    cell = draw_cell(rng) if cell is None else cell
    n_clusters = math.floor(cell.area_um2 * scenario.clusters_per_um2)
    non_share = (100 - scenario.percent_clustered) / 100
    n_non = math.floor(cell.area_um2 * scenario.density_per_um2 * non_share)
    centers = np.empty((0, 2))
    if n_clusters:
        centers = draw_centers(n_clusters, scenario.r_max_nm, cell, rng)
    numbers = np.repeat(np.arange(len(centers)), scenario.points_per_cluster)
    members = centers[numbers] + OFFSETS[scenario.law](len(numbers), scenario.r_max_nm, rng)
    others = draw_non_clustered(n_non, centers, scenario.r_max_nm, cell, rng)
    order = rng.permutation(len(members) + len(others))
    truth = np.concatenate([numbers, np.full(len(others), NO_CLUSTER)]).astype(np.int64)
    return Field(np.concatenate([members, others])[order], truth[order], centers, cell, scenario)
