"""The prior over fields: what is in one, and how much of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from caml_dask.errors import UsageError
from caml_dask.schema import CLUSTERED, FIBER, NO_CLUSTER, NON_CLUSTERED
from caml_dask.simulate.cells import draw_cell
from caml_dask.simulate.fields import simulate
from caml_dask.simulate.grids import slab_grid, training_grid
from caml_dask.simulate.scenarios import SLAB_SIDE_NM
from caml_dask.simulate.unknown.photophysics import detect
from caml_dask.simulate.unknown.regions import Region, draw_region
from caml_dask.simulate.unknown.shapes import SHAPES

KINDS = {"mixed": 0.68, "random": 0.08, "only clusters": 0.06, "one cluster": 0.04, "published": 0.14}
"""Kinds of field with their shares: clusters among others; CSR; nothing else; one large; Williamson et al. 2020."""
LEAST_MEMBERS = 3
"""Molecules below which a cluster is none."""
LEAST_MEAN = {True: 4.0, False: 8.0}
"""Least mean of the members of a family's clusters, by whether molecules re-blink.

Only a prior tells clusters of a few molecules, each seen once, from the re-blinks of one molecule. Microscopes record
detections, so such clusters are taken for re-blinks."""
MOST_COVERED = 0.6
"""Share of the region that clusters cover at most, were they not to overlap."""


@dataclass(frozen=True, eq=False)
class Sample:
    """A field with its truth.

    Attributes
    ----------
    points_nm : (n, d) float64
        Localizations in nm, in random order.
    truth : (n,) int64
        Number of the cluster, from 0; -1 for none.
    classes : (n,) int8
        As in schema.POINTS: 0 non-clustered, 1 clustered, 2 in a fiber.
    molecule : (n,) int64
        Number of the molecule; localizations that share it are re-blinks.
    scatter_nm : (n,) float64
        Standard deviation of the lateral coordinates in nm, 0 where molecules themselves are given.
    uncertainty_nm : (n,) float64
        What a fitter states of it.
    frame : (n,) int64
        Frame of the localization, from 0.
    kind : str
        One of KINDS.
    blinking : bool
        Whether molecules re-blink.
    """

    points_nm: NDArray[np.float64]
    truth: NDArray[np.int64]
    classes: NDArray[np.int8]
    molecule: NDArray[np.int64]
    scatter_nm: NDArray[np.float64]
    uncertainty_nm: NDArray[np.float64]
    frame: NDArray[np.int64]
    kind: str
    blinking: bool


def draw_field(
    rng: np.random.Generator,
    *,
    axes: int = 2,
    blinking: float = 0.75,
    least: int = 30,
    most: int = 6_000,
) -> Sample:
    """Draw a field of which nothing is known beforehand.

    Parameters
    ----------
    rng : numpy.random.Generator
        The only source of chance.
    axes : int
        2 or 3.
    blinking : float
        Chance that molecules re-blink.
    least, most : int
        Bounds of the number of localizations; within, their logarithm is near uniform.

    Returns
    -------
    Sample
        The field.

    Raises
    ------
    UsageError
        The bounds or the number of axes make no field.
    """
    if axes not in (2, 3) or not 10 <= least < most:
        raise UsageError(
            f"fields of {axes} axes, {least} to {most} localizations: give 2 or 3 axes, and 10 <= least < most"
        )
    while True:
        sample = _draw(rng, axes, rng.random() < blinking, least, most)
        if least <= len(sample.points_nm) <= most:
            return sample


def _draw(rng: np.random.Generator, axes: int, blinking: bool, least: int, most: int) -> Sample:
    """One attempt, whose number of localizations may be out of bounds."""
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    seen = math.exp(rng.uniform(math.log(2.5), math.log(6.0))) if blinking else 1.0
    wanted = max(int(math.exp(rng.uniform(math.log(least), math.log(most))) / seen), least // 3)
    per_nm = math.exp(rng.uniform(math.log(20.0), math.log(5_000.0))) ** (1 / 2) / 1e3  # of an axis
    if kind == "published":
        molecules, numbers, fibers = (_published if axes == 2 else _published_slab)(wanted, rng)
    else:
        least_mean = LEAST_MEAN[blinking]
        molecules, numbers, fibers = _clusters_and_others(kind, wanted, least_mean, per_nm, axes, rng)
    if rng.random() < 0.2 and len(molecules) > 2 * least:
        kept = _cut_out(molecules, rng)
        molecules, numbers = molecules[kept], numbers[kept]
    precision = _precision(per_nm, rng) if blinking or rng.random() < 0.4 else 0.0
    seen_of = detect(molecules, blinking=blinking, precision_nm=precision, rng=rng)
    order = rng.permutation(len(seen_of.molecule))
    molecule = seen_of.molecule[order]
    truth = _enough(numbers[molecule], molecule)
    shape = np.where(np.isin(numbers[molecule], fibers), FIBER, CLUSTERED)
    classes = np.where(truth == NO_CLUSTER, NON_CLUSTERED, shape)
    return Sample(
        seen_of.points_nm[order],
        truth,
        classes.astype(np.int8),
        molecule,
        seen_of.scatter_nm[order],
        seen_of.uncertainty_nm[order],
        seen_of.frame[order],
        kind,
        blinking,
    )


def _precision(per_nm: float, rng: np.random.Generator) -> float:
    """Mean precision in nm: from 3 to 35, for every other field the nearest to a tenth to once the molecules' spacing.

    Where it is of the order of the spacing, re-blinks look most like clusters.
    """
    if rng.random() < 0.5:
        return math.exp(rng.uniform(math.log(3.0), math.log(35.0)))
    spacing = math.exp(rng.uniform(math.log(0.1), 0.0)) / (2 * per_nm)
    return min(max(spacing, 3.0), 35.0)


_Molecules = tuple[NDArray[np.float64], NDArray[np.int64], list[int]]
"""Molecules in nm, the number of the cluster of each, and which numbers are fibers."""


def _published(wanted: int, rng: np.random.Generator) -> _Molecules:
    """A field of the published training grid, in a cell that holds about as many molecules as are wanted."""
    grid = training_grid()
    while True:
        scenario = grid[int(rng.integers(len(grid)))]
        radius = math.sqrt(wanted / scenario.density_per_um2 / math.pi) * 1e3 / 1.2
        cell = draw_cell(rng, base_radius_nm=radius, roughness_nm=0.4 * radius, field_nm=2.81 * radius)
        if cell.area_um2 * scenario.clusters_per_um2 < 1 or radius < 6 * scenario.r_max_nm:
            wanted = int(wanted * 1.3) + 1
            continue
        field = simulate(scenario, rng, cell=cell)
        return field.points_nm, field.truth, []


def _published_slab(wanted: int, rng: np.random.Generator) -> _Molecules:
    """A square cut out of a slab of the published kind in 3D, that holds about as many molecules as are wanted."""
    grid = slab_grid()
    while True:
        scenario = grid[int(rng.integers(len(grid)))]
        side_nm = min(math.sqrt(wanted / scenario.density_per_um2) * 1e3, SLAB_SIDE_NM)
        if side_nm < 6 * scenario.r_max_nm:
            wanted = int(wanted * 1.3) + 1
            continue
        field = simulate(scenario, rng)
        corner = rng.uniform(0, SLAB_SIDE_NM - side_nm, 2) if side_nm < SLAB_SIDE_NM else np.zeros(2)
        kept = ((field.points_nm[:, :2] >= corner) & (field.points_nm[:, :2] <= corner + side_nm)).all(axis=1)
        return field.points_nm[kept], field.truth[kept], []


def _clusters_and_others(
    kind: str, wanted: int, least_mean: float, per_nm: float, axes: int, rng: np.random.Generator
) -> _Molecules:
    """Families of clusters, each with a law of its own, among molecules that belong to none."""
    density = per_nm**axes
    region = draw_region(wanted / density, axes, rng)
    share = {"random": 0.0, "only clusters": 1.0}.get(kind, float(rng.beta(1.1, 1.1)))
    clustered = int(share * wanted)
    parts: list[NDArray[np.float64]] = []
    numbers: list[NDArray[np.int64]] = []
    fibers: list[int] = []
    first = 0
    if clustered >= LEAST_MEMBERS:
        families = 1 if kind == "one cluster" else int(rng.choice([1, 2, 3], p=[0.6, 0.27, 0.13]))
        for quota in clustered * rng.dirichlet(np.full(families, 2.0)):
            members, number, is_fiber = _family(int(quota), kind, wanted, least_mean, share, density, region, rng)
            if is_fiber:
                fibers.extend(range(first, first + int(number.max(initial=-1)) + 1))
            parts.append(members)
            numbers.append(number + first)
            first += int(number.max(initial=-1)) + 1
    others = region.sample(wanted - clustered, rng)
    parts.append(others)
    numbers.append(np.full(len(others), NO_CLUSTER))
    return np.concatenate(parts), np.concatenate(numbers), fibers


def _family(
    quota: int,
    kind: str,
    wanted: int,
    least_mean: float,
    share: float,
    density: float,
    region: Region,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.int64], bool]:
    """Clusters of one law that hold about `quota` molecules: members, the cluster of each from 0, whether fibers."""
    axes = len(region.size_nm)
    empty = np.empty((0, axes)), np.empty(0, np.int64), False
    if quota < LEAST_MEMBERS:
        return empty
    drawn = math.exp(rng.uniform(math.log(least_mean), math.log(500.0)))
    mean = float(quota) if kind == "one cluster" else min(drawn, quota)
    clusters = max(round(quota / mean), 1)
    sizes = _sizes(clusters, mean, rng)
    contrast = math.exp(rng.uniform(math.log(2.0), math.log(150.0)))
    around = density * max(1 - share, 0.03)
    # a cluster's extent is that of a disc or ball of its density, `contrast` times that of what is around it
    extent = mean / (contrast * around)
    extent = min(extent, MOST_COVERED * wanted / density * (0.5 if kind == "one cluster" else 1.0) / clusters)
    radius = (extent / math.pi) ** 0.5 / 1.41 if axes == 2 else (extent * 3 / 4 / math.pi) ** (1 / 3) / 1.29
    names = list(SHAPES)
    name = names[int(rng.choice(len(names), p=[share for _, share in SHAPES.values()]))]
    if name == "fiber":
        radius *= rng.uniform(1.5, 4.0)
    radii = radius * np.exp(rng.normal(scale=rng.choice([0.0, 0.15, 0.4]), size=clusters))
    if rng.random() < 0.5:  # larger clusters are wider
        radii *= (sizes / mean) ** (1 / axes)
    centers = _centers(radii, region, rng)
    draw = SHAPES[name][0]
    members = [
        center + radius * draw(int(size), axes, rng) for center, radius, size in zip(centers, radii, sizes, strict=True)
    ]
    number = np.repeat(np.arange(clusters), sizes)
    members_nm = np.concatenate(members)
    kept = region.thin(members_nm, rng) if rng.random() < 0.3 else np.ones(len(number), np.bool_)
    return members_nm[kept], number[kept], name == "fiber"


def _sizes(clusters: int, mean: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Members of each cluster: all alike, Poisson, uniform over a range, or log-normal."""
    law = rng.choice(["fixed", "poisson", "range", "log-normal"], p=[0.3, 0.25, 0.25, 0.2])
    if law == "fixed":
        sizes = np.full(clusters, mean)
    elif law == "poisson":
        sizes = rng.poisson(mean, clusters).astype(np.float64)
    elif law == "range":
        sizes = mean * (1 + rng.uniform(0.1, 0.9) * rng.uniform(-1, 1, clusters))
    else:
        width = rng.uniform(0.2, 0.8)
        sizes = mean * np.exp(rng.normal(-(width**2) / 2, width, clusters))
    return np.maximum(np.rint(sizes), LEAST_MEMBERS).astype(np.int64)


def _centers(radii: NDArray[np.float64], region: Region, rng: np.random.Generator) -> NDArray[np.float64]:
    """Centers of clusters: anywhere, apart from one another, in groups, or in pairs that touch."""
    n, axes = len(radii), len(region.size_nm)
    law = rng.choice(["anywhere", "apart", "grouped", "touching"], p=[0.45, 0.25, 0.15, 0.15])
    if law == "apart":
        return _apart(region.sample(8 * n, rng), n, rng.uniform(2.0, 4.5) * float(np.median(radii)))
    if law == "grouped" and n > 5:
        parents = region.sample(max(n // int(rng.integers(3, 12)), 1), rng)
        spread = rng.uniform(0.03, 0.15) * region.size_nm[:2].max()
        centers = parents[rng.integers(len(parents), size=n)] + spread * rng.normal(size=(n, axes))
        return np.clip(centers, 0, region.size_nm)
    centers = region.sample(n, rng)
    if law == "touching":
        second = np.arange(1, n, 2)
        direction = rng.normal(size=(len(second), axes))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        gap = rng.uniform(1.2, 3.5, (len(second), 1)) * (radii[second] + radii[second - 1])[:, None] / 2
        centers[second] = centers[second - 1] + direction * gap
    return centers


def _apart(candidates_nm: NDArray[np.float64], n: int, gap_nm: float) -> NDArray[np.float64]:
    """`n` of the candidates, those first that are farther than the gap from all before them."""
    free = np.ones(len(candidates_nm), np.bool_)
    for i, j in sorted(cKDTree(candidates_nm).query_pairs(gap_nm)) if gap_nm > 0 else ():
        if free[i]:
            free[j] = False
    order = np.argsort(~free, kind="stable")
    return candidates_nm[order[:n]]


def _cut_out(molecules_nm: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which molecules lie in a rectangle cut out of the field, of a quarter to most of it."""
    lower, upper = molecules_nm.min(axis=0), molecules_nm.max(axis=0)
    side = rng.uniform(0.5, 0.9, 2)
    corner = lower[:2] + rng.random(2) * (1 - side) * (upper - lower)[:2]
    inside = (molecules_nm[:, :2] >= corner) & (molecules_nm[:, :2] < corner + side * (upper - lower)[:2])
    kept: NDArray[np.bool_] = inside.all(axis=1)
    return kept


def _enough(truth: NDArray[np.int64], molecule: NDArray[np.int64]) -> NDArray[np.int64]:
    """The truth without clusters of which fewer than LEAST_MEMBERS molecules are there, numbered anew from 0."""
    _, first = np.unique(molecule, return_index=True)
    seen = np.bincount(truth[first] + 1, minlength=int(truth.max(initial=-1)) + 2)
    kept = np.flatnonzero(seen[1:] >= LEAST_MEMBERS)
    renumbered = np.full(len(seen), NO_CLUSTER)
    renumbered[kept + 1] = np.arange(len(kept))
    return renumbered[truth + 1]
