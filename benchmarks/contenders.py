"""Who is compared: CAML's networks, the methods that run in their place, and the Bayesian analysis, with defaults and
grids of parameters."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from contest_fields import Localized
from own_methods import OwnSpec, label_own, own_method

from caml_dask import CAML, baselines
from caml_dask.baselines import Bayesian
from caml_dask.baselines.checks import hull_area_nm2
from caml_dask.errors import InputError
from caml_dask.methods import DBSCAN, HDBSCAN, DominantSets, GetisFranklin, Method, ToMATo, Voronoi, method_as_kept
from caml_dask.networks import load
from caml_dask.settings import network_named

BAYESIAN_LIMIT_S = 60.0
"""Seconds a field that the Bayesian analysis may take where accuracy is compared."""


@dataclass(frozen=True)
class NetworkSpec:
    """A CAML network: it has nothing to choose."""

    network: str


@dataclass(frozen=True)
class MethodSpec:
    """A method with its parameters, and the localizations of the smallest cluster; None takes what the method says."""

    method: Method
    min_points: int | None = None


@dataclass(frozen=True)
class Spacing:
    """What parameters are relative to: the density of a field on the convex hull of its localizations.

    nm : 1 / sqrt(density), the side of the square that holds one localization on average
    per_um2 : the density
    """

    nm: float
    per_um2: float

    @classmethod
    def of(cls, xy_nm: np.ndarray) -> Spacing:
        area_nm2 = hull_area_nm2(xy_nm)
        return cls(math.sqrt(area_nm2 / len(xy_nm)), 1e6 * len(xy_nm) / area_nm2)


@dataclass(frozen=True)
class Contender:
    """A method that is compared.

    name : as figures and tables have it
    label : (xy_nm, settings) to labels
    default : what a user takes who knows nothing of the field
    grid : settings tried in a search, in the units of a field; the same number, in the same order, for all fields
    """

    name: str
    label: Callable[[np.ndarray, Any], np.ndarray]
    default: Any
    grid: Callable[[Spacing], list[Any]] = lambda spacing: []


def _network(xy_nm: np.ndarray, settings: NetworkSpec) -> np.ndarray:
    needed = load(settings.network).least_localizations
    if len(xy_nm) < needed:
        raise InputError(f"{settings.network} needs {needed} localizations; the field has {len(xy_nm)}")
    return CAML(network=settings.network, n_jobs=1).fit_predict(xy_nm)


def _method(xy_nm: np.ndarray, settings: MethodSpec) -> np.ndarray:
    return CAML(method=settings.method, min_points=settings.min_points, n_jobs=1).fit_predict(xy_nm)


def _own(xy_nm: np.ndarray, settings: OwnSpec) -> np.ndarray:
    return label_own(Localized("", xy_nm, np.empty(0), {}), settings)


def labels_of(contender: Contender, given: Localized, settings: Any) -> np.ndarray:
    """Labels of a field, (n,) int64."""
    own = isinstance(settings, OwnSpec)
    return label_own(given, settings) if own else contender.label(given.points_nm, settings)


def _of(kind: type[Method], *values: Sequence[Any]) -> list[Any]:
    return [MethodSpec(kind(*chosen)) for chosen in itertools.product(*values)]


def _dbscan(d: Spacing) -> list[Any]:
    eps = [d.nm * x for x in (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75, 0.9, 1.1, 1.4)]
    return _of(DBSCAN, eps, (3, 5, 8, 12, 20, 30))


def _hdbscan(d: Spacing) -> list[Any]:
    return _of(HDBSCAN, (5, 8, 12, 20, 35, 60), (3, 8, 15), (False, True))


def _getis_franklin(d: Spacing) -> list[Any]:
    radii, factors = (0.25, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0), (1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.5)
    return [
        MethodSpec(GetisFranklin(r * d.nm, f * r * d.nm, link * r * d.nm), points)
        for r, f, link, points in itertools.product(radii, factors, (0.7, 1.0), (3, 8))
    ]


def _sr_tesseler(d: Spacing) -> list[Any]:
    factors = (0.7, 1.0, 1.3, 1.6, 2.0, 2.5, 3.0, 4.0, 5.5, 8.0)
    return [
        MethodSpec(Voronoi(factor, rank), points)
        for factor, rank, points in itertools.product(factors, (0, 1), (3, 5, 10))
    ]


def _tomato(d: Spacing) -> list[Any]:
    links, peaks, floors = (0.3, 0.5, 0.8), (1.0, 3.0, 10.0, 30.0), (0.0, 2.0, 4.0)
    return [
        MethodSpec(ToMATo(link * d.nm, peak * d.per_um2, k, floor * d.per_um2))
        for k, link, peak, floor in itertools.product((5, 10, 20), links, peaks, floors)
    ]


def _dominant_sets(d: Spacing) -> list[Any]:
    sigmas = [d.nm * x for x in (0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.5)]
    return _of(DominantSets, sigmas, (0.3, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95))


CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender("CAML XPILJZ", _network, NetworkSpec("XPILJZ")),
        Contender("CAML 07VEJJ", _network, NetworkSpec("07VEJJ")),
        Contender("CAML 87B144", _network, NetworkSpec("87B144")),
        Contender("CAML field-2d", _network, NetworkSpec("field-2d")),
        Contender("DBSCAN", _method, MethodSpec(DBSCAN(20.0, 3)), _dbscan),
        Contender("HDBSCAN", _method, MethodSpec(HDBSCAN()), _hdbscan),
        Contender("Getis-Franklin", _method, MethodSpec(GetisFranklin(50.0)), _getis_franklin),
        Contender("SR-Tesseler", _method, MethodSpec(Voronoi()), _sr_tesseler),
        Contender("ToMATo", _method, MethodSpec(ToMATo(50.0, 1_000.0)), _tomato),
        Contender("Dominant sets", _method, MethodSpec(DominantSets(200.0)), _dominant_sets),
        Contender("Bayesian", baselines.bayesian, Bayesian(time_limit_s=BAYESIAN_LIMIT_S)),
    )
}


def contender_named(method: str) -> Contender:
    """The contender of that name; any other text is a method of others, as :mod:`own_methods` has them, or a network:
    its folder or its name, after "CAML " or without.

    Raises
    ------
    UsageError : none of them.
    """
    if method in CONTENDERS:
        return CONTENDERS[method]
    own = own_method(method)
    if own is not None:
        return Contender(f"{own.name} (own)" if own.name in CONTENDERS else own.name, _own, own)
    network = network_named(method.removeprefix("CAML "))
    name = f"CAML {load(network).name}"
    return Contender(f"{name} (own)" if name in CONTENDERS else name, _network, NetworkSpec(network))


def method(text: str) -> str:
    """A method as the command line names it, in a spelling that holds in every process."""
    default = contender_named(text).default
    if text in CONTENDERS:
        return text
    return default.source if isinstance(default, OwnSpec) else f"CAML {default.network}"


def candidates(contender: Contender, spacing: Spacing, smoke: bool) -> list[Any]:
    """The default, then the grid; a few of it in a smoke test."""
    default, grid = contender.default, contender.grid(spacing)
    if smoke and isinstance(default, Bayesian):
        default = replace(default, r_nm=(20.0, 80.0, 20.0), threshold_nm=(20.0, 140.0, 20.0))
    return [default, *(grid[:: max(len(grid) // 4, 1)] if smoke else grid)]


def written(settings: Any) -> str:
    """Settings as text, which :func:`read` takes back."""
    values = asdict(settings)
    if isinstance(settings, MethodSpec):
        values = {**settings.method.as_dict(), "min_points": settings.min_points}
    return json.dumps({name: round(v, 6) if isinstance(v, float) else v for name, v in values.items()})


def read(contender: Contender, text: str) -> Any:
    """Settings of a contender from text."""
    values = json.loads(text)
    if isinstance(contender.default, MethodSpec):
        return MethodSpec(min_points=values.pop("min_points"), method=method_as_kept(values))
    return type(contender.default)(**values)
