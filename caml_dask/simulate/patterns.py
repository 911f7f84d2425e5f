"""Point patterns: clusters, their centers, and non-clustered points around them."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from caml_dask.errors import UsageError
from caml_dask.simulate.cells import Cell

CENTER_ATTEMPTS = 10
EDGE_RADII = 2.1
SPACING_RADII = 2.2
GAUSSIAN_SIGMA_RADII = 0.5
MIN_FREE_SHARE = 0.01


def disc_offsets(n: int, r_max_nm: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Offsets of `n` members from their center under the "Uniform" law of Williamson et al. 2020: (n, 2) float64, nm.

    The radius is r_max sqrt(U) along an isotropic direction in 3D, projected; centers come out denser than rims,
    with a mean squared offset of r_max^2 / 3.
    """
    along = 2 * rng.random(n) - 1
    radius = r_max_nm * np.sqrt(rng.random(n)) * np.sqrt(1 - along * along)
    angle = 2 * np.pi * rng.random(n)
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])


def gaussian_offsets(n: int, r_max_nm: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Offsets of `n` members from their center, normal with sigma 0.5 r_max along each axis: (n, 2) float64, nm."""
    return rng.normal(scale=GAUSSIAN_SIGMA_RADII * r_max_nm, size=(n, 2))


OFFSETS = {"uniform": disc_offsets, "gaussian": gaussian_offsets}


def draw_centers(n: int, r_max_nm: float, cell: Cell, rng: np.random.Generator) -> NDArray[np.float64]:
    """Centers of up to `n` clusters, apart from one another and from the outline: (k, 2) float64, nm, k <= n.

    Uniform in the cell shrunk by 2.1 r_max, farther than 2.2 r_max from every earlier center; a cluster that finds no
    place in 10 attempts is left out (Williamson et al. 2020).
    """
    candidates = cell.sample_shrunk(n * CENTER_ATTEMPTS, EDGE_RADII * r_max_nm, rng)
    chosen = _first_apart(candidates.reshape(n, CENTER_ATTEMPTS, 2), SPACING_RADII * r_max_nm)
    return candidates[chosen[chosen >= 0]]


def draw_non_clustered(
    n: int, centers_nm: NDArray[np.float64], r_max_nm: float, cell: Cell, rng: np.random.Generator
) -> NDArray[np.float64]:
    """`n` points uniform in the cell outside every cluster's disc: (n, 2) float64, nm.

    Raises
    ------
    UsageError : the discs leave less than 1 % of the cell.
    """
    covered = len(centers_nm) * np.pi * r_max_nm**2 / (cell.area_um2 * 1e6)
    if covered > 1 - MIN_FREE_SHARE and n > 0:
        raise UsageError(
            f"clusters cover {covered:.0%} of the cell and leave no room for {n} non-clustered points:"
            " take fewer or smaller clusters, or 100 % clustered"
        )
    discs = cKDTree(centers_nm) if len(centers_nm) else None
    kept = [np.empty((0, 2))]
    missing = n
    while missing > 0:
        drawn = cell.sample(int(missing / (1 - covered) * 1.05) + 16, rng)
        if discs is not None:
            drawn = drawn[~np.isfinite(discs.query(drawn, distance_upper_bound=np.nextafter(r_max_nm, np.inf))[0])]
        drawn = drawn[:missing]
        kept.append(drawn)
        missing -= len(drawn)
    return np.concatenate(kept)


@numba.njit(cache=True, nogil=True)
def _first_apart(candidates, spacing):  # type: ignore[no-untyped-def]
    """For each row of `candidates`, (n, attempts, 2), the flat index of its first candidate farther than `spacing`
    from all chosen before, or -1: (n,) int64.

    Chosen points hang in linked lists on a grid of squares at least `spacing` wide, so that nine squares decide.
    """
    n, attempts = candidates.shape[0], candidates.shape[1]
    chosen = np.full(n, -1, np.int64)
    if n == 0:
        return chosen
    x0, y0 = candidates[:, :, 0].min(), candidates[:, :, 1].min()
    width = max(candidates[:, :, 0].max() - x0, candidates[:, :, 1].max() - y0)
    side = max(spacing, width / np.sqrt(n), 1e-300)
    columns = int(width / side) + 1
    head = np.full((columns, columns), -1, np.int64)
    below = np.full(n, -1, np.int64)
    for i in range(n):
        for a in range(attempts):
            x, y = candidates[i, a, 0], candidates[i, a, 1]
            cx, cy = int((x - x0) / side), int((y - y0) / side)
            free = True
            for gx in range(max(cx - 1, 0), min(cx + 2, columns)):
                for gy in range(max(cy - 1, 0), min(cy + 2, columns)):
                    j = head[gx, gy]
                    while j >= 0 and free:
                        c = chosen[j]
                        dx = candidates[j, c - j * attempts, 0] - x
                        dy = candidates[j, c - j * attempts, 1] - y
                        free = dx * dx + dy * dy > spacing * spacing
                        j = below[j]
            if free:
                chosen[i] = i * attempts + a
                below[i] = head[cx, cy]
                head[cx, cy] = i
                break
    return chosen
