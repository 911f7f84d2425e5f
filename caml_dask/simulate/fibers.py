"""Fibers: worm-like chains with points scattered across them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from caml_dask.errors import UsageError
from caml_dask.simulate.cells import Cell
from caml_dask.simulate.patterns import Keep
from caml_dask.simulate.scenarios import (
    FIBER_LENGTH_NM,
    FIBER_PERSISTENCE_NM,
    FIBER_SIGMA_NM,
    FIBER_WIDTH_SIGMAS,
    FiberScenario,
)

STEP_NM = 10.0
LEAST_POINTS = 10
ATTEMPTS = 200


@dataclass(frozen=True, eq=False)
class Fiber:
    """A drawn fiber.

    Parameters
    ----------
    chain_nm : (v, 2) float64
        Vertices of its center line in nm, at most 10 nm apart.
    sigma_nm : float
        Standard deviation of its points across the line, in nm.
    members_nm : (n, 2) float64
        Its points in nm.
    """

    chain_nm: NDArray[np.float64]
    sigma_nm: float
    members_nm: NDArray[np.float64]


def draw_fibers(scenario: FiberScenario, cell: Cell, rng: np.random.Generator) -> list[Fiber]:
    """Draw fibers until they hold their share of the clustered points; the last one is cut to what is missing.

    Center lines stay in the cell and may cross one another. A remainder of fewer than 10 points makes no fiber.

    Parameters
    ----------
    scenario : FiberScenario
        Density of the fibers, and their share of the points.
    cell : Cell
        The region.
    rng : numpy.random.Generator
        The only source of chance.

    Returns
    -------
    list of Fiber
        The fibers, in the order in which they were drawn.

    Raises
    ------
    UsageError
        No place for a fiber was found in the cell.
    """
    share = scenario.percent_clustered / 100 * scenario.percent_fiber / 100
    missing = math.floor(cell.area_um2 * scenario.density_per_um2 * share)
    fibers: list[Fiber] = []
    while missing >= LEAST_POINTS:
        fiber = _draw_fiber(scenario.fiber_density_per_um2 / 1e6, missing, cell, rng)
        fibers.append(fiber)
        missing -= len(fiber.members_nm)
    return fibers


def outside_fibers(fibers: Sequence[Fiber], margin_nm: float = 0.0) -> Keep | None:
    """Make the rule that keeps places out of fibers.

    The band of the nearest center line decides, as wide on each side as two of its sigmas.

    Parameters
    ----------
    fibers : sequence of Fiber
        The fibers.
    margin_nm : float
        Distance in nm to keep from each fiber's band.

    Returns
    -------
    callable or None
        Takes (n, 2) places in nm and returns (n,) bool, True outside all fibers; None where there are no fibers.
    """
    if not fibers:
        return None
    from scipy.spatial import cKDTree

    half = FIBER_WIDTH_SIGMAS / 2
    tree = cKDTree(np.concatenate([fiber.chain_nm for fiber in fibers]))
    band_nm = np.repeat([half * fiber.sigma_nm for fiber in fibers], [len(fiber.chain_nm) for fiber in fibers])

    def keep(places_nm: NDArray[np.float64]) -> NDArray[np.bool_]:
        distance, nearest = tree.query(places_nm)
        outside: NDArray[np.bool_] = distance > band_nm[nearest] + margin_nm
        return outside

    return keep


def _draw_fiber(density_per_nm2: float, most: int, cell: Cell, rng: np.random.Generator) -> Fiber:
    """One fiber of at most `most` points, shortened where its density asks for more."""
    sigma = rng.uniform(*FIBER_SIGMA_NM)
    per_nm = density_per_nm2 * FIBER_WIDTH_SIGMAS * sigma
    for _ in range(ATTEMPTS):
        length = rng.uniform(*FIBER_LENGTH_NM)
        n = min(max(round(per_nm * length), LEAST_POINTS), most)
        chain, turn = _worm_like_chain(min(length, n / per_nm), rng.uniform(*FIBER_PERSISTENCE_NM), rng)
        chain += cell.sample(1, rng)[0]
        if cell.contains(chain).all():
            place = rng.random(n) * (len(chain) - 1)
            step = np.minimum(place.astype(np.int64), len(chain) - 2)
            along = chain[step] + (place - step)[:, None] * (chain[step + 1] - chain[step])
            across = np.column_stack([-np.sin(turn[step]), np.cos(turn[step])]) * rng.normal(scale=sigma, size=(n, 1))
            return Fiber(chain, float(sigma), along + across)
    raise UsageError(f"a cell of {cell.area_um2:.3g} um2 held no fiber in {ATTEMPTS} attempts: take a larger cell")


def _worm_like_chain(
    length_nm: float, persistence_nm: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Vertices of a chain from the origin, (v, 2) float64, and the direction of each step, (v - 1,).

    In the plane the direction's variance grows by step / persistence length, so that its cosine decays with half of
    that rate along the chain: <cos> = exp(-s / 2 P).
    """
    steps = max(math.ceil(length_nm / STEP_NM), 1)
    turn = 2 * np.pi * rng.random() + np.cumsum(rng.normal(scale=math.sqrt(STEP_NM / persistence_nm), size=steps))
    moves = length_nm / steps * np.column_stack([np.cos(turn), np.sin(turn)])
    return np.concatenate([np.zeros((1, 2)), np.cumsum(moves, axis=0)]), turn
