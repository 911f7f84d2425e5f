"""Ellipsoids in a slab: simulated clusters in 3D."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from caml_dask.errors import UsageError
from caml_dask.simulate.patterns import CENTER_ATTEMPTS, EDGE_RADII, MIN_FREE_SHARE, SPACING_RADII, ball_offsets
from caml_dask.simulate.scenarios import SLAB_DEPTH_NM, SLAB_SIDE_NM, SlabScenario

Points = NDArray[np.float64]


def draw_slab(scenario: SlabScenario, rng: np.random.Generator) -> tuple[Points, NDArray[np.int64], Points, Points]:
    """Draw the clusters and non-clustered points of a slab.

    Centers keep 2.1 r_max from the slab's sides and z_max from its faces, and from one another so that ellipsoids 1.1
    times as large do not meet; members follow the law of the plane's discs before its projection, stretched along z.

    Parameters
    ----------
    scenario : SlabScenario
        What to draw.
    rng : numpy.random.Generator
        The only source of chance.

    Returns
    -------
    members_nm : (m, 3) float64
        Members of clusters in nm.
    numbers : (m,) int64
        Cluster of each member, from 0.
    centers_nm : (k, 3) float64
        Centers of the clusters in nm.
    others_nm : (n, 3) float64
        Non-clustered points in nm.

    Raises
    ------
    UsageError
        The ellipsoids leave no room for the non-clustered points.
    """
    from scipy.spatial import cKDTree

    centers = _draw_centers(math.floor(scenario.area_um2 * scenario.clusters_per_um2), scenario, rng)
    numbers = np.repeat(np.arange(len(centers)), scenario.points_per_cluster)
    squeeze = _squeeze(scenario)
    members = centers[numbers] + ball_offsets(len(numbers), scenario.r_max_nm, rng) / squeeze
    n = math.floor(scenario.area_um2 * scenario.density_per_um2 * (100 - scenario.percent_clustered) / 100)
    if n and scenario.clustered_share > 1 - MIN_FREE_SHARE:
        raise UsageError(f"{scenario}: its clusters leave no room for {n} non-clustered points: take fewer or smaller")
    tree = cKDTree(centers * squeeze) if len(centers) else None
    kept, missing = [np.empty((0, 3))], n
    while missing > 0:
        drawn = rng.random((int(missing / (1 - scenario.clustered_share) * 1.05) + 16, 3)) * _size()
        if tree is not None:
            within = np.nextafter(scenario.r_max_nm, np.inf)
            drawn = drawn[~np.isfinite(tree.query(drawn * squeeze, distance_upper_bound=within)[0])]
        kept.append(drawn[:missing])
        missing -= len(kept[-1])
    return members, numbers, centers, np.concatenate(kept)


def _draw_centers(n: int, scenario: SlabScenario, rng: np.random.Generator) -> Points:
    """Centers of up to `n` clusters: (k, 3) float64; one that finds no place in 10 attempts is left out."""
    margin = np.array([EDGE_RADII * scenario.r_max_nm] * 2 + [scenario.z_max_nm])
    candidates = margin + rng.random((n, CENTER_ATTEMPTS, 3)) * (_size() - 2 * margin)
    squeezed = candidates * _squeeze(scenario)
    taken = np.empty((n, 3))
    places: list[Points] = []
    for i in range(n):
        gap = squeezed[i][:, None] - taken[: len(places)]
        free = ((gap * gap).sum(axis=2) > (SPACING_RADII * scenario.r_max_nm) ** 2).all(axis=1)
        if free.any():
            first = int(free.argmax())
            taken[len(places)] = squeezed[i, first]
            places.append(candidates[i, first])
    return np.array(places).reshape(-1, 3)


def _size() -> Points:
    return np.array([SLAB_SIDE_NM, SLAB_SIDE_NM, SLAB_DEPTH_NM])


def _squeeze(scenario: SlabScenario) -> Points:
    """Factors along x, y, z that make the ellipsoids spheres."""
    return np.array([1.0, 1.0, scenario.r_max_nm / scenario.z_max_nm])
