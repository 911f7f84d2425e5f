"""Point patterns: clusters, their centers, and non-clustered points around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from caml_dask.compiled import njit
from caml_dask.errors import UsageError
from caml_dask.simulate.cells import Cell

CENTER_ATTEMPTS = 10
EDGE_RADII = 2.1
SPACING_RADII = 2.2
GAUSSIAN_SIGMA_RADII = 0.5
THIN_SIGMA_RADII = 0.1
RING_RADII = 0.8
MIN_FREE_SHARE = 0.01


def disc_offsets(clusters: int, points: int, r_max_nm: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Offsets of members from their center under the "Uniform" law of Williamson et al. 2020, projected on the plane.

    The radius is r_max sqrt(U) along an isotropic direction in 3D, so centers are denser than rims, with a mean squared
    offset of r_max^2 / 3.

    Parameters
    ----------
    clusters : int
        Number of clusters.
    points : int
        Members of each.
    r_max_nm : float
        Largest offset in nm.
    rng : numpy.random.Generator
        The only source of chance.

    Returns
    -------
    (clusters x points, 2) float64
        Offsets in nm, cluster by cluster.
    """
    return ball_offsets(clusters * points, r_max_nm, rng)[:, :2]


def ball_offsets(n: int, r_max_nm: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """The "Uniform" law before its projection on the plane.

    Parameters
    ----------
    n : int
        Number of points.
    r_max_nm : float
        Largest offset in nm.
    rng : numpy.random.Generator
        The only source of chance.

    Returns
    -------
    (n, 3) float64
        Offsets in nm.
    """
    along = 2 * rng.random(n) - 1
    length = r_max_nm * np.sqrt(rng.random(n))
    radius = length * np.sqrt(1 - along * along)
    angle = 2 * np.pi * rng.random(n)
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle), length * along])


def gaussian_offsets(clusters: int, points: int, r_max_nm: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Offsets under the normal law, with sigma 0.5 r_max along each axis.

    Parameters
    ----------
    clusters, points, r_max_nm, rng
        As :func:`disc_offsets`; an offset may exceed `r_max_nm`.

    Returns
    -------
    (clusters x points, 2) float64
        Offsets in nm, cluster by cluster.
    """
    return rng.normal(scale=GAUSSIAN_SIGMA_RADII * r_max_nm, size=(clusters * points, 2))


def line_offsets(clusters: int, points: int, r_max_nm: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Offsets along straight lines of length 2 r_max, each in its own direction; normal across, with sigma 0.1 r_max.

    Parameters
    ----------
    clusters, points, r_max_nm, rng
        As :func:`disc_offsets`; `r_max_nm` is half the length of a line.

    Returns
    -------
    (clusters x points, 2) float64
        Offsets in nm, cluster by cluster.
    """
    turn = np.repeat(2 * np.pi * rng.random(clusters), points)
    along = r_max_nm * (2 * rng.random(clusters * points) - 1)
    across = rng.normal(scale=THIN_SIGMA_RADII * r_max_nm, size=clusters * points)
    cos, sin = np.cos(turn), np.sin(turn)
    return np.column_stack([along * cos - across * sin, along * sin + across * cos])


def ring_offsets(clusters: int, points: int, r_max_nm: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Offsets on rings of radius 0.8 r_max; normal across, with sigma 0.1 r_max.

    Parameters
    ----------
    clusters, points, r_max_nm, rng
        As :func:`disc_offsets`; an offset may exceed `r_max_nm`.

    Returns
    -------
    (clusters x points, 2) float64
        Offsets in nm, cluster by cluster.
    """
    n = clusters * points
    radius = r_max_nm * (RING_RADII + THIN_SIGMA_RADII * rng.normal(size=n))
    angle = 2 * np.pi * rng.random(n)
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])


OFFSETS = {"uniform": disc_offsets, "gaussian": gaussian_offsets, "line": line_offsets, "ring": ring_offsets}


Keep: TypeAlias = Callable[[NDArray[np.float64]], NDArray[np.bool_]]
"""Which of (n, 2) places in nm may be taken: (n,) bool."""


def draw_centers(
    n: int, r_max_nm: float, cell: Cell, rng: np.random.Generator, keep: Keep | None = None
) -> NDArray[np.float64]:
    """Draw centers of clusters, apart from one another and from the outline.

    They are uniform in the cell shrunk by 2.1 r_max, farther than 2.2 r_max from every earlier center. A cluster that
    finds no place in 10 attempts is left out (Williamson et al. 2020).

    Parameters
    ----------
    n : int
        Number of clusters wanted.
    r_max_nm : float
        Radius of a cluster in nm.
    cell : Cell
        The region.
    rng : numpy.random.Generator
        The only source of chance.
    keep : callable or None
        Takes (n, 2) places in nm and returns (n,) bool, True for places that may be taken; None allows all.

    Returns
    -------
    (k, 2) float64
        Centers in nm, k <= n.

    Raises
    ------
    UsageError
        The cell is too small to hold a center.
    """
    candidates = cell.sample_shrunk(n * CENTER_ATTEMPTS, EDGE_RADII * r_max_nm, rng)
    free = np.ones(len(candidates), dtype=np.bool_) if keep is None else keep(candidates)
    shape = n, CENTER_ATTEMPTS
    chosen = _first_apart(candidates.reshape(*shape, 2), free.reshape(shape), SPACING_RADII * r_max_nm)
    return candidates[chosen[chosen >= 0]]


def draw_non_clustered(
    n: int,
    centers_nm: NDArray[np.float64],
    r_max_nm: float,
    cell: Cell,
    rng: np.random.Generator,
    keep: Keep | None = None,
) -> NDArray[np.float64]:
    """Draw points uniform in the cell outside every cluster's disc.

    Parameters
    ----------
    n : int
        Number of points.
    centers_nm : (k, 2) float64
        Centers of the discs in nm.
    r_max_nm : float
        Radius of the discs in nm.
    cell : Cell
        The region.
    rng : numpy.random.Generator
        The only source of chance.
    keep : callable or None
        Takes (n, 2) places in nm and returns (n,) bool, True for places that may be taken; None allows all.

    Returns
    -------
    (n, 2) float64
        Points in nm.

    Raises
    ------
    UsageError
        The discs leave less than 1 % of the cell.
    """
    from scipy.spatial import cKDTree

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
        if keep is not None:
            drawn = drawn[keep(drawn)]
        drawn = drawn[:missing]
        kept.append(drawn)
        missing -= len(drawn)
    return np.concatenate(kept)


@njit()
def _first_apart(candidates, usable, spacing):  # type: ignore[no-untyped-def]
    """For each row of `candidates`, (n, attempts, 2), the flat index of its first `usable` candidate farther than
    `spacing` from all chosen before, or -1: (n,) int64.

    Chosen points hang in linked lists on a grid of squares at least `spacing` wide, so that nine squares decide.
    """
    n, attempts = candidates.shape[0], candidates.shape[1]
    chosen = np.full(n, -1, np.int64)
    if n == 0:
        return chosen
    x0, y0, x1, y1 = np.inf, np.inf, -np.inf, -np.inf
    for i in range(n):
        for a in range(attempts):
            x0, x1 = min(x0, candidates[i, a, 0]), max(x1, candidates[i, a, 0])
            y0, y1 = min(y0, candidates[i, a, 1]), max(y1, candidates[i, a, 1])
    width = max(x1 - x0, y1 - y0)
    side = max(spacing, width / np.sqrt(n), 1e-300)
    columns = int(width / side) + 1
    head = np.full((columns, columns), -1, np.int64)
    below = np.full(n, -1, np.int64)
    for i in range(n):
        for a in range(attempts):
            x, y = candidates[i, a, 0], candidates[i, a, 1]
            cx, cy = int((x - x0) / side), int((y - y0) / side)
            free = usable[i, a]
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
