"""What a simulated field holds: frozen values, each with a name that it can be made from again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

from caml_dask.errors import UsageError
from caml_dask.simulate.patterns import OFFSETS

FIBER_LENGTH_NM = (500.0, 3_000.0)
FIBER_PERSISTENCE_NM = (1_000.0, 5_000.0)
FIBER_SIGMA_NM = (10.0, 30.0)
FIBER_WIDTH_SIGMAS = 4.0
"""Width of the band, in lateral sigmas, over which a fiber's density is counted and which others keep out of."""
SLAB_SIDE_NM = 10_000.0
SLAB_DEPTH_NM = 1_000.0


@dataclass(frozen=True)
class Scenario:
    """Clusters in a cell, and what surrounds them.

    Parameters
    ----------
    points_per_cluster : int
        Members of every cluster.
    r_max_nm : float
        Largest distance of a member from its center in nm (2 sigma under the Gaussian law; half the length of a line).
    percent_clustered : float
        Share of the points that belong to clusters, 0 (CSR) to 100.
    density_per_um2 : float
        Points of both kinds per um2 of the cell.
    law : str
        "uniform", "gaussian", "line" or "ring": how members lie around their center.

    Raises
    ------
    UsageError
        A value is out of its range.
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
        """Complete spatial randomness: no clusters.

        Parameters
        ----------
        density_per_um2 : float
            Points per um2 of the cell.

        Returns
        -------
        Scenario
            A scenario of 0 % clustered.
        """
        return cls(1, 1.0, 0.0, density_per_um2)

    @property
    def name(self) -> str:
        """Name from which `scenario_named` makes the scenario (str)."""
        if self.percent_clustered == 0:
            return f"csr-d{self.density_per_um2:g}"
        return f"{self.law}-{_numbers(self)}"

    @property
    def clusters_per_um2(self) -> float:
        """Clusters per um2 of the cell (float)."""
        return self.density_per_um2 * self.percent_clustered / (100 * self.points_per_cluster)

    @property
    def clustered_share(self) -> float:
        """Share of the cell's area inside the clusters' discs (float)."""
        return self.clusters_per_um2 * math.pi * (self.r_max_nm / 1e3) ** 2

    @property
    def contrast(self) -> float:
        """Density inside the discs over the density outside; infinite where everything is clustered (float)."""
        if self.percent_clustered == 100:
            return math.inf
        inside = self.points_per_cluster / (math.pi * (self.r_max_nm / 1e3) ** 2)
        outside = self.density_per_um2 * (1 - self.percent_clustered / 100) / (1 - self.clustered_share)
        return inside / outside


@dataclass(frozen=True)
class FiberScenario:
    """Round clusters and fibers in one cell: for three classes.

    A fiber is a worm-like chain of length 0.5-3 um and persistence length 1-5 um, its points normal across it with a
    sigma of 10-30 nm. Within two sigmas of the chain it is as dense, on average, as the round clusters are in their
    discs.

    Parameters
    ----------
    round : Scenario
        The round clusters, and the density and clustered percentage of the field.
    percent_fiber : float
        Share of the clustered points that lie in fibers, above 0 to 100.

    Raises
    ------
    UsageError
        The share is out of its range.
    """

    round: Scenario
    percent_fiber: float

    def __post_init__(self) -> None:
        if not 0 < self.percent_fiber <= 100:
            raise UsageError(f"{self.percent_fiber} % of the clustered points in fibers: give above 0, to 100")

    @property
    def name(self) -> str:
        """Name from which `scenario_named` makes the scenario (str)."""
        return f"fiber-f{self.percent_fiber:g}-{_numbers(self.round)}"

    @property
    def points_per_cluster(self) -> int:
        """Members of every round cluster (int)."""
        return self.round.points_per_cluster

    @property
    def r_max_nm(self) -> float:
        """Largest distance of a member of a round cluster from its center, in nm (float)."""
        return self.round.r_max_nm

    @property
    def percent_clustered(self) -> float:
        """Share of the points in round clusters and fibers, 0 to 100 (float)."""
        return self.round.percent_clustered

    @property
    def density_per_um2(self) -> float:
        """Points of all classes per um2 of the cell (float)."""
        return self.round.density_per_um2

    @property
    def contrast(self) -> float:
        """Density inside the round clusters' discs, so in fibers too, over that outside (float)."""
        return self.round.contrast

    @property
    def clusters_per_um2(self) -> float:
        """Round clusters per um2 of the cell (float)."""
        return self.round.clusters_per_um2 * (100 - self.percent_fiber) / 100

    @property
    def fiber_density_per_um2(self) -> float:
        """Points of a fiber per um2 of its band, four sigmas wide (float)."""
        return self.round.points_per_cluster / (math.pi * (self.round.r_max_nm / 1e3) ** 2)

    @property
    def fibers_per_um2(self) -> float:
        """Fibers of mean length and width per um2 of the cell (float)."""
        area_um2 = sum(FIBER_LENGTH_NM) / 2 * FIBER_WIDTH_SIGMAS * sum(FIBER_SIGMA_NM) / 2 / 1e6
        points_per_um2 = self.density_per_um2 * self.percent_clustered / 100 * self.percent_fiber / 100
        return points_per_um2 / (self.fiber_density_per_um2 * area_um2)


@dataclass(frozen=True)
class SlabScenario:
    """Spheres in 3D, stretched along z, in a slab of 10 x 10 x 1 um.

    Parameters
    ----------
    points_per_cluster : int
        Members of every cluster.
    r_max_nm : float
        Semi-axis of a cluster's ellipsoid in the plane, in nm.
    z_max_nm : float
        Its semi-axis along z in nm, at least `r_max_nm` and at most half of the slab's depth.
    percent_clustered : float
        Share of the points that belong to clusters, 0 (CSR) to 100.
    density_per_um2 : float
        Points of both kinds per um2 of the slab, seen along z.

    Raises
    ------
    UsageError
        A value is out of its range.
    """

    points_per_cluster: int
    r_max_nm: float
    z_max_nm: float
    percent_clustered: float
    density_per_um2: float

    def __post_init__(self) -> None:
        Scenario(self.points_per_cluster, self.r_max_nm, self.percent_clustered, self.density_per_um2)
        if not self.r_max_nm <= self.z_max_nm <= SLAB_DEPTH_NM / 2:
            raise UsageError(
                f"z_max of {self.z_max_nm} nm: give at least r_max ({self.r_max_nm} nm) and at most half of the"
                f" slab's depth ({SLAB_DEPTH_NM / 2:.0f} nm)"
            )

    @classmethod
    def csr(cls, density_per_um2: float) -> SlabScenario:
        """Complete spatial randomness: no clusters.

        Parameters
        ----------
        density_per_um2 : float
            Points per um2 of the slab, seen along z.

        Returns
        -------
        SlabScenario
            A scenario of 0 % clustered.
        """
        return cls(1, 1.0, 1.0, 0.0, density_per_um2)

    @property
    def name(self) -> str:
        """Name from which `scenario_named` makes the scenario (str)."""
        if self.percent_clustered == 0:
            return f"slabcsr-d{self.density_per_um2:g}"
        return f"slab-z{self.z_max_nm:g}-{_numbers(self)}"

    @property
    def area_um2(self) -> float:
        """Area of the slab seen along z, in um2 (float)."""
        return (SLAB_SIDE_NM / 1e3) ** 2

    @property
    def clusters_per_um2(self) -> float:
        """Clusters per um2 of the slab (float)."""
        return self.density_per_um2 * self.percent_clustered / (100 * self.points_per_cluster)

    @property
    def clustered_share(self) -> float:
        """Share of the slab's volume inside the clusters' ellipsoids (float)."""
        return self.clusters_per_um2 * self._ellipsoid_um3() / (SLAB_DEPTH_NM / 1e3)

    @property
    def contrast(self) -> float:
        """Density inside the ellipsoids over the density outside; infinite where everything is clustered (float)."""
        if self.percent_clustered == 100:
            return math.inf
        outside = self.density_per_um2 * (1 - self.percent_clustered / 100) / (SLAB_DEPTH_NM / 1e3)
        return self.points_per_cluster / self._ellipsoid_um3() / (outside / (1 - self.clustered_share))

    def _ellipsoid_um3(self) -> float:
        return 4 / 3 * math.pi * (self.r_max_nm / 1e3) ** 2 * (self.z_max_nm / 1e3)


AnyScenario: TypeAlias = Scenario | FiberScenario | SlabScenario


def _numbers(scenario: Scenario | SlabScenario) -> str:
    """The part of a name that all kinds share."""
    return (
        f"p{scenario.points_per_cluster}-r{scenario.r_max_nm:g}-c{scenario.percent_clustered:g}"
        f"-d{scenario.density_per_um2:g}"
    )
