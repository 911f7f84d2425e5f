"""Square regions of any size with disc clusters, drawn strip by strip: inputs for benchmarks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from caml_dask.errors import UsageError
from caml_dask.schema import NO_CLUSTER
from caml_dask.simulate.patterns import OFFSETS, SPACING_RADII
from caml_dask.simulate.scenarios import Scenario


class Chunk(NamedTuple):
    """Points of one strip of a square.

    Attributes
    ----------
    xy_nm : (n, 2) float64
        Coordinates in nm.
    truth : (n,) int64
        Number of the cluster in the whole square, -1 for none.
    """

    xy_nm: NDArray[np.float64]
    truth: NDArray[np.int64]


def simulate_square(
    scenario: Scenario, side_nm: float, rng: np.random.Generator, *, chunk_points: int = 1_000_000
) -> Iterator[Chunk]:
    """Draw a square strip by strip, in memory of about `chunk_points` points.

    The square is cut into equal plots with one cluster each, at a uniform place at least 1.1 r_max inside its plot, so
    that centers are farther than 2.2 r_max apart and a non-clustered point has one disc to avoid. Centers are therefore
    more even than in `simulate`; that serves speed measurements, not training. The numbers of clusters and of
    non-clustered points are the stated densities', to within the rounding to whole plots per side. Members under the
    Gaussian law may leave their plot, hence the square too.

    Parameters
    ----------
    scenario : Scenario
        What to draw; `percent_clustered` may be 0 (CSR).
    side_nm : float
        Side of the square in nm; its lower left corner is at (0, 0).
    rng : numpy.random.Generator
        The only source of chance; the same seed and `chunk_points` give the same points.
    chunk_points : int
        Number of points of a chunk, approximately; a strip of one plot's height at least.

    Yields
    ------
    Chunk
        Points in random order, strips from low y to high.

    Raises
    ------
    UsageError
        The clusters are too dense for one each plot, or the square is too small.
    """
    per_side = max(round(side_nm / 1e3 * math.sqrt(scenario.clusters_per_um2 or 1.0)), 1)
    plot_nm = side_nm / per_side
    if scenario.percent_clustered and plot_nm <= SPACING_RADII * scenario.r_max_nm:
        raise UsageError(
            f"plots of {plot_nm:.3g} nm cannot hold clusters of radius {scenario.r_max_nm:.3g} nm:"
            " take fewer or smaller clusters or a larger square"
        )
    row_points = side_nm * plot_nm / 1e6 * scenario.density_per_um2
    rows_per_chunk = max(int(chunk_points / max(row_points, 1.0)), 1)
    for first in range(0, per_side, rows_per_chunk):
        yield _strip(scenario, plot_nm, per_side, first, min(first + rows_per_chunk, per_side), rng)


def _strip(scenario: Scenario, plot_nm: float, per_side: int, first: int, stop: int, rng: np.random.Generator) -> Chunk:
    """Draw the rows `first` to `stop` of plots."""
    plots = (stop - first) * per_side
    clusters = plots if scenario.percent_clustered else 0
    radius = scenario.r_max_nm
    row, column = np.divmod(np.arange(clusters), per_side)
    corner = np.column_stack([column, row + first]) * plot_nm
    margin = SPACING_RADII / 2 * radius
    centers = corner + margin + rng.random((clusters, 2)) * (plot_nm - 2 * margin)
    numbers = np.repeat(np.arange(clusters), scenario.points_per_cluster)
    members = centers[numbers] + OFFSETS[scenario.law](clusters, scenario.points_per_cluster, radius, rng)

    per_row = scenario.density_per_um2 * (100 - scenario.percent_clustered) / 100 * per_side * (plot_nm / 1e3) ** 2
    n_non = math.floor(per_row * stop) - math.floor(per_row * first)
    low = np.array([0.0, first * plot_nm])
    size = np.array([per_side * plot_nm, (stop - first) * plot_nm])
    last = np.array([per_side - 1, stop - first - 1])
    kept = [np.empty((0, 2))]
    missing = n_non
    while missing > 0:
        drawn = rng.random((int(missing * 1.2) + 16, 2)) * size
        plot = np.minimum((drawn // plot_nm).astype(np.int64), last)
        drawn += low
        if clusters:
            gap = drawn - centers[plot[:, 1] * per_side + plot[:, 0]]
            drawn = drawn[(gap * gap).sum(axis=1) > radius * radius]
        kept.append(drawn[:missing])
        missing -= len(kept[-1])
    others = np.concatenate(kept)

    order = rng.permutation(len(members) + len(others))
    truth = np.concatenate([numbers + first * per_side, np.full(n_non, NO_CLUSTER)]).astype(np.int64)
    return Chunk(np.concatenate([members, others])[order], truth[order])
