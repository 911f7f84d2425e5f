"""The figures of a pair: how two channels lie to each other, as numbers and curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from caml_dask.channels.cells import Cells, FloatArray, IntArray
from caml_dask.channels.channel import Channel
from caml_dask.channels.degree import degrees
from caml_dask.channels.domain import Domain, Nearest, expected_pairs
from caml_dask.errors import UsageError

_AT_A_TIME = 20_000  # localizations whose rings are held
A, B = "a", "b"

FIGURES: Mapping[str, str] = {
    "area_share": "share of the area (3D: volume) of the clusters of {0} that lies in clusters of {1}",
    "clusters_share": "share of the clusters of {0} whose outline overlaps one of {1}",
    "localizations_share": "share of the localizations of {0} that lie in clusters of {1}",
    "cluster_distance": "median distance from the centroid of a cluster of {0} to the nearest of {1}, in nm",
    "distance": "median distance from a localization of {0} to the nearest of {1}, in nm",
    "doc": "mean degree of colocalization (Clus-DoC) of the localizations of {0} with {1}",
    "doc_share": "share of the localizations of {0} with a degree of colocalization at or above the threshold",
    "cbc": "mean coordinate-based colocalization of the localizations of {0} with {1}",
}
"""Figures of either direction, with a sentence."""
CROSS = "pair_correlation"
CROSS_MEANING = "mean cross pair correlation of A and B up to the near distance (1: independent)"


@dataclass(frozen=True)
class Measures:
    """Radii and numbers that the figures depend on.

    Attributes
    ----------
    reach_nm, step_nm : float
        Largest radius of degrees of colocalization and of curves, and the step to it, in nm.
    close_nm : float
        Radius in which Clus-DoC asks for more localizations than randomness gives, in nm.
    threshold : float
        Degree of colocalization from which a localization counts as colocalized.
    near_nm : float
        Distance up to which the cross pair correlation is summed up, in nm.
    """

    reach_nm: float = 500.0
    step_nm: float = 10.0
    close_nm: float = 20.0
    threshold: float = 0.4
    near_nm: float = 50.0

    def __post_init__(self) -> None:
        for name, value in (("radius", self.reach_nm), ("step", self.step_nm), ("close", self.close_nm)):
            if not (np.isfinite(value) and value > 0):
                raise UsageError(f"--{name}-nm {value}: a distance is above 0")
        if not 3 <= self.reach_nm / self.step_nm <= 1000:
            raise UsageError(
                f"--radius-nm {self.reach_nm:g} has {self.reach_nm / self.step_nm:g} steps of {self.step_nm:g} nm: "
                "give 3 to 1,000"
            )
        if not -1 <= self.threshold <= 1:
            raise UsageError(f"--threshold {self.threshold}: a degree of colocalization is -1 to 1")
        if not self.step_nm <= self.near_nm <= self.reach_nm:
            raise UsageError(f"--near-nm {self.near_nm:g}: it is at least the step and at most the radius")

    @property
    def rings(self) -> int:
        """Number of steps to the largest radius."""
        return round(self.reach_nm / self.step_nm)

    @property
    def radii_nm(self) -> FloatArray:
        """(rings,) float64 radii, in nm."""
        return np.arange(1, self.rings + 1, dtype=np.float64) * np.float64(self.step_nm)

    @property
    def last_nm(self) -> float:
        """The last radius, in nm."""
        return self.rings * self.step_nm


@dataclass(frozen=True, eq=False)
class Localized:
    """What is found for localizations of one channel.

    rows : (m,) int64, which they are
    nearest_nm : (m,) float64, distance to the nearest of the other channel
    in_other : (m,) bool, whether they lie in a cluster of the other channel
    cbc, doc : (m,) float64; doc is NaN for those with no more around them than randomness gives
    """

    rows: IntArray
    nearest_nm: FloatArray
    in_other: npt.NDArray[np.bool_]
    cbc: FloatArray
    doc: FloatArray


@dataclass(frozen=True, eq=False)
class Overlapped:
    """What is found for the clusters of one channel.

    shared : (c,) float64, area (3D: volume) of each that lies in clusters of the other channel
    nearest_nm : (c,) float64, distance of its centroid to the nearest of the other channel
    """

    shared: FloatArray
    nearest_nm: FloatArray


@dataclass(frozen=True, eq=False)
class Found:
    """All figures of a pair, and what they are made of.

    figures : name to value, NaN where there is none
    curves : name to (rings,) float64 by the radii
    localized, overlapped : of A and of B
    """

    figures: dict[str, float]
    curves: dict[str, FloatArray]
    localized: dict[str, Localized]
    overlapped: dict[str, Overlapped]


@dataclass(frozen=True, eq=False)
class _Side:
    """One channel made ready for questions."""

    channel: Channel
    cells: Cells
    dense_cells: Cells
    dense: npt.NDArray[np.bool_]
    tree: Nearest
    dense_tree: Nearest
    centroids: Nearest


def measure(a: Channel, b: Channel, domain: Domain, measures: Measures, most: int, degrees_of: int) -> Found:
    """Find all figures of two channels in a domain.

    Parameters
    ----------
    a, b : Channel
        What of the channels lies in the domain.
    domain : Domain
        The region, or the rectangle with joined sides.
    measures : Measures
        Radii and numbers.
    most : int
        Localizations of each channel that distances, shares and the cross pair correlation are taken of, at most.
    degrees_of : int
        Localizations of each channel whose degrees of colocalization are computed, at most.

    Returns
    -------
    Found
        Figures and curves.
    """
    sides = dict(zip((A, B), _sides(a, b, domain, measures), strict=True))
    shared = _shared(a, b, domain)
    figures: dict[str, float] = {}
    curves: dict[str, FloatArray] = {}
    localized, overlapped = {}, {}
    for one, other in ((A, B), (B, A)):
        channel = sides[one].channel
        rows = channel.sample(most)
        found = _localized(sides[one], sides[other], rows, domain, measures, degrees_of)
        clusters = Overlapped(shared[one], sides[other].centroids.distances(channel.centroids_nm))
        localized[one], overlapped[one] = found, clusters
        figures |= {f"{name}_{one}": value for name, value in _figures(channel, found, clusters, measures).items()}
        curves[f"distances_{one}"] = _ecdf(found.nearest_nm, measures.radii_nm)
        curves[f"cluster_distances_{one}"] = _ecdf(clusters.nearest_nm, measures.radii_nm)
    rows = localized[A].rows
    pairs = _pairs(sides[B].cells, a.points_nm[rows], measures)
    expected = expected_pairs(domain, a.points_nm[rows], b.points_nm, np.append(0.0, measures.radii_nm))
    near = measures.radii_nm <= measures.near_nm * (1 + 1e-12)
    with np.errstate(invalid="ignore", divide="ignore"):
        curves[CROSS] = pairs / expected
        figures[CROSS] = float(pairs[near].sum() / expected[near].sum())
    return Found(figures, curves, localized, overlapped)


def _sides(a: Channel, b: Channel, domain: Domain, measures: Measures) -> list[_Side]:
    close = [domain.cells(c.points_nm, measures.close_nm) for c in (a, b)]
    bounds = [measures.close_nm**2 * np.pi / domain.area_nm2 * (len(a.lot) + len(b.lot))] * 2
    if a.axes == 3:
        z = np.concatenate([a.points_nm[:, 2], b.points_nm[:, 2]])
        height = max(float(np.ptp(z)) if len(z) else 0.0, 2 * measures.close_nm)
        bounds = [bound * 4 / 3 * measures.close_nm / height for bound in bounds]
    made = []
    for channel, bound in zip((a, b), bounds, strict=True):
        around = np.zeros(len(channel.lot), dtype=np.int64)
        for cells in close:
            around += cells.rings(channel.points_nm, measures.close_nm, 1)[:, 0]
        dense = around - 1 > bound  # without itself
        made.append(
            _Side(
                channel,
                domain.cells(channel.points_nm, measures.last_nm),
                domain.cells(channel.points_nm[dense], measures.last_nm),
                dense,
                domain.tree(channel.points_nm),
                domain.tree(channel.points_nm[dense]),
                domain.tree(channel.centroids_nm),
            )
        )
    return made


def _localized(
    one: _Side, other: _Side, rows: IntArray, domain: Domain, measures: Measures, degrees_of: int
) -> Localized:
    channel = one.channel
    points = channel.points_nm[rows]
    cbc, doc = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    asked = rows if degrees_of >= len(rows) else channel.sample(degrees_of)
    within = np.isin(asked, rows)
    places = np.searchsorted(rows, asked[within])
    cbc[places] = _degrees(points[places], asked[within], one.cells, other.cells, other.tree, measures)
    of_dense = channel.sample(degrees_of, one.dense)
    of_dense = of_dense[np.isin(of_dense, rows)]
    numbers = np.cumsum(one.dense) - 1
    doc[np.searchsorted(rows, of_dense)] = _degrees(
        channel.points_nm[of_dense],
        numbers[of_dense],
        one.dense_cells,
        other.dense_cells,
        other.dense_tree,
        measures,
    )
    return Localized(rows, other.tree.distances(points), _inside(points, other.channel, domain), cbc, doc)


def _degrees(
    points: FloatArray, own: IntArray, cells: Cells, others: Cells, tree: Nearest, measures: Measures
) -> FloatArray:
    """Degrees of localizations, whose names among `cells` are `own`."""
    found = np.zeros(len(points))
    for start in range(0, len(points), _AT_A_TIME):
        part = slice(start, start + _AT_A_TIME)
        mine = cells.rings(points[part], measures.step_nm, measures.rings, own[part])
        theirs = others.rings(points[part], measures.step_nm, measures.rings)
        nearest = tree.distances(points[part])
        found[part] = degrees(mine, theirs, nearest, measures.last_nm, points.shape[1])
    return found


def _pairs(cells: Cells, points: FloatArray, measures: Measures) -> IntArray:
    """(rings,) pairs in all by their distance."""
    total = np.zeros(measures.rings, dtype=np.int64)
    for start in range(0, len(points), _AT_A_TIME):
        total += cells.rings(points[start : start + _AT_A_TIME], measures.step_nm, measures.rings).sum(axis=0)
    return total


def _inside(points: FloatArray, other: Channel, domain: Domain) -> npt.NDArray[np.bool_]:
    """Which places lie in a cluster of the other channel; in 3D, within its outline and between its heights."""
    found = np.zeros(len(points), dtype=bool)
    outlines, of = domain.around(other.outlines, 0.0)
    if not len(outlines):
        return found
    tree = shapely.STRtree(outlines)
    for start in range(0, len(points), _AT_A_TIME):
        part = points[start : start + _AT_A_TIME]
        place, cluster = tree.query(shapely.points(part[:, :2]), predicate="intersects")
        if points.shape[1] == 3:
            low, high = other.heights_nm[of[cluster]].T
            place = place[(part[place, 2] >= low) & (part[place, 2] <= high)]
        found[start + place] = True
    return found


def _shared(a: Channel, b: Channel, domain: Domain) -> dict[str, FloatArray]:
    """Area, or volume, of each cluster that lies in clusters of the other channel."""
    found = {A: np.zeros(len(a.outlines)), B: np.zeros(len(b.outlines))}
    if not (len(a.outlines) and len(b.outlines)):
        return found
    bounds = shapely.bounds(a.outlines[~shapely.is_empty(a.outlines)]).reshape(-1, 4)
    outlines, of = domain.around(b.outlines, float((bounds[:, 2:] - bounds[:, :2]).max(initial=0.0)))
    first, second = shapely.STRtree(outlines).query(a.outlines, predicate="intersects")
    body = shapely.area(shapely.intersection(a.outlines[first], outlines[second]))
    second = of[second]
    low = np.maximum(a.heights_nm[first, 0], b.heights_nm[second, 0])
    high = np.minimum(a.heights_nm[first, 1], b.heights_nm[second, 1])
    body = body * np.maximum(high - low, 0.0)
    np.add.at(found[A], first, body)
    np.add.at(found[B], second, body)
    return found


def _figures(channel: Channel, found: Localized, clusters: Overlapped, measures: Measures) -> dict[str, float]:
    bodies = channel.bodies.sum() if len(channel.outlines) else 0.0
    doc = found.doc[~np.isnan(found.doc)]
    return {
        "area_share": float(clusters.shared.sum() / bodies) if bodies > 0 else np.nan,
        "clusters_share": float((clusters.shared > 0).mean()) if len(clusters.shared) else np.nan,
        "localizations_share": float(found.in_other.mean()) if len(found.rows) else np.nan,
        "cluster_distance": _median(clusters.nearest_nm),
        "distance": _median(found.nearest_nm),
        "doc": float(doc.mean()) if len(doc) else np.nan,
        "doc_share": float((doc >= measures.threshold).mean()) if len(doc) else np.nan,
        "cbc": float(np.nanmean(found.cbc)) if len(found.rows) else np.nan,
    }


def _median(distances: FloatArray) -> float:
    """The median; NaN where there are none, or nothing to be near to."""
    return float(np.median(distances)) if len(distances) and np.isfinite(distances).all() else np.nan


def _ecdf(distances: FloatArray, radii_nm: FloatArray) -> FloatArray:
    """Share of distances up to each radius."""
    if not len(distances):
        return np.full(len(radii_nm), np.nan)
    return np.searchsorted(np.sort(distances), radii_nm, side="right") / len(distances)
