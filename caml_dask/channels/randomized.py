"""Channels as randomness would have them, and what is found of them beside what is found of the data."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from caml_dask.channels.cells import FloatArray
from caml_dask.channels.channel import Channel
from caml_dask.channels.domain import Domain, Torus
from caml_dask.channels.figures import Found, Measures, measure
from caml_dask.compiled import njit
from caml_dask.schema import NO_CLUSTER

SHIFT, PLACEMENT = "shift", "placement"
TESTS: Mapping[str, str] = {
    SHIFT: "B as a whole is shifted by a random way inside a rectangle whose opposite sides are joined",
    PLACEMENT: "the clusters of B, with their localizations, are put elsewhere in the region, each by itself",
}
"""The ways of randomization."""
_TRIES = 30  # places that a cluster is offered before it may overlap another

Aligned = Callable[[Channel, Channel, Domain], Channel]


@dataclass(frozen=True)
class Tested:
    """A figure beside what randomness gives.

    Attributes
    ----------
    figure, test : str
        Names of the figure and of the way of randomization.
    value : float
        The figure, in the part of the field and of the localizations that is randomized.
    expected, low, high : float
        Mean, and 2.5th and 97.5th percentile, of the randomizations.
    difference, ratio, z : float
        Value less expected, over expected, and the difference in standard deviations of the randomizations.
    p_value : float
        Two-sided, by the add-one rule: twice the smaller share of randomizations at least as extreme.
    randomizations : int
        How many.
    """

    figure: str
    test: str
    value: float
    expected: float
    low: float
    high: float
    difference: float
    ratio: float
    z: float
    p_value: float
    randomizations: int


def beside(figure: str, test: str, value: float, random: npt.ArrayLike) -> Tested:
    """Compare a value with those of randomizations.

    Parameters
    ----------
    figure, test : str
        Their names.
    value : float
        What the data give; NaN where there is none.
    random : (k,) array_like of float
        What randomizations give; NaN where one gives none.

    Returns
    -------
    Tested
        NaN throughout where there is nothing to compare.
    """
    found = np.asarray(random, dtype=np.float64)
    found = found[np.isfinite(found)]
    n = len(found)
    if n == 0 or not np.isfinite(value):
        nothing = np.nan
        return Tested(figure, test, value, nothing, nothing, nothing, nothing, nothing, nothing, nothing, n)
    expected, spread = float(found.mean()), float(found.std())
    low, high = np.percentile(found, [2.5, 97.5]).tolist()
    # what differs by rounding alone counts as equal
    hair = 1e-12 * max(abs(value), float(np.abs(found).max()))
    above, below = int((found >= value - hair).sum()), int((found <= value + hair).sum())
    p_value = min(1.0, 2.0 * (1 + min(above, below)) / (1 + n))
    ratio = value / expected if expected else np.nan
    z = (value - expected) / spread if spread > hair else np.nan
    return Tested(figure, test, value, expected, low, high, value - expected, ratio, z, p_value, n)


@dataclass(frozen=True, eq=False)
class Randomized:
    """All figures of a pair under one way of randomization.

    tests : of each figure
    observed : name to (rings,) float64, curves of the data
    curves : name to (randomizations, rings) float64
    """

    tests: tuple[Tested, ...]
    observed: Mapping[str, FloatArray]
    curves: Mapping[str, FloatArray]


def randomize(
    test: str,
    a: Channel,
    b: Channel,
    domain: Domain,
    measures: Measures,
    *,
    number: int,
    seed: int,
    most: int,
    degrees_of: int,
    aligned: Aligned | None = None,
) -> Randomized:
    """Compare the figures of a pair with those of randomizations of B.

    Parameters
    ----------
    test : str
        A key of ``TESTS``.
    a, b : Channel
        What of the channels lies in the domain.
    domain : Domain
        The region; for ``SHIFT`` a ``Torus``.
    measures : Measures
        Radii and numbers.
    number : int
        Randomizations.
    seed : int
        Of all chance; the names of the channels count as well.
    most, degrees_of : int
        Localizations as of :func:`measure`.
    aligned : callable, optional
        What B goes through after it is randomized, where the data's own shift was taken from B.

    Returns
    -------
    Randomized
        Tests and curves.
    """
    draw = _shifted if test == SHIFT else _placed
    observed = measure(a, b, domain, measures, most, degrees_of)
    found: list[Found] = []
    for k in range(number):
        rng = np.random.default_rng([seed, zlib.crc32(f"{test} {a.name} {b.name}".encode()), k])
        random = draw(b, domain, rng)
        if aligned is not None:
            random = aligned(a, random, domain)
        found.append(measure(a, random, domain, measures, most, degrees_of))
    tests = tuple(
        beside(name, test, value, [one.figures[name] for one in found]) for name, value in observed.figures.items()
    )
    curves = {name: np.array([one.curves[name] for one in found]) for name in observed.curves}
    return Randomized(tests, observed.curves, curves)


def _shifted(b: Channel, domain: Domain, rng: np.random.Generator) -> Channel:
    if not isinstance(domain, Torus):
        raise TypeError("a shift needs a rectangle with joined sides")
    by = np.zeros(b.axes)
    by[:2] = rng.uniform(0, 1, 2) * domain.sides_nm
    return b.moved(domain.wrapped(b.points_nm + by), domain.wrapped(b.centroids_nm + by))


def _placed(b: Channel, domain: Domain, rng: np.random.Generator) -> Channel:
    """Clusters at random, larger ones first, with room around them as large as they have in the data at least."""
    n = len(b.cluster_id)
    if n == 0:
        return b
    offered = _uniform(domain, n * _TRIES, rng).reshape(n, _TRIES, 2)
    room = np.sqrt(shapely.area(b.outlines) / np.pi)
    if n > 1:
        nearest = domain.tree(b.centroids_nm[:, :2]).tree.query(b.centroids_nm[:, :2], k=2)[0][:, 1]
        room = np.minimum(room, nearest / 2)
    order = np.argsort(-room, kind="stable")
    places = np.zeros((n, 2))
    x0, y0, x1, y1 = domain.shape.bounds
    side = max(2 * float(room.max(initial=0.0)), max(x1 - x0, y1 - y0) / 1000)
    _place(offered, room, order, x0, y0, side, int((x1 - x0) // side) + 1, int((y1 - y0) // side) + 1, places)
    centroids = b.centroids_nm.copy()
    centroids[:, :2] = places
    member = b.member_of != NO_CLUSTER
    points = b.points_nm.copy()
    points[member] += (centroids - b.centroids_nm)[b.member_of[member]]
    return b.moved(points, centroids)


def _uniform(domain: Domain, n: int, rng: np.random.Generator) -> FloatArray:
    """(n, 2) places, even over the region."""
    x0, y0, x1, y1 = domain.shape.bounds
    parts, found = [], 0
    while found < n:
        places = rng.uniform((x0, y0), (x1, y1), (2 * (n - found) + 16, 2))
        places = places[domain.holds(places)]
        parts.append(places)
        found += len(places)
    return np.concatenate(parts)[:n]


@njit()
def _place(offered, room, order, x0, y0, side, nx, ny, places):  # type: ignore[no-untyped-def]
    """Give each cluster the first place offered where no other's room is touched, or else the last."""
    head = np.full(nx * ny, -1, np.int64)
    after = np.full(len(room), -1, np.int64)
    for k in order:
        for t in range(offered.shape[1]):
            x, y = offered[k, t, 0], offered[k, t, 1]
            i, j = min(int((x - x0) / side), nx - 1), min(int((y - y0) / side), ny - 1)
            free = True
            for ci in range(max(0, i - 1), min(nx, i + 2)):
                for cj in range(max(0, j - 1), min(ny, j + 2)):
                    other = head[ci * ny + cj]
                    while other >= 0 and free:
                        apart = (places[other, 0] - x) ** 2 + (places[other, 1] - y) ** 2
                        free = apart >= (room[other] + room[k]) ** 2
                        other = after[other]
            if free or t + 1 == offered.shape[1]:
                places[k, 0], places[k, 1] = x, y
                after[k] = head[i * ny + j]
                head[i * ny + j] = k
                break
