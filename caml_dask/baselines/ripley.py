"""Ripley's K, L(r) - r and the pair correlation g(r) of a rectangular field: curves, not labels.

References
----------
Ripley, Journal of the Royal Statistical Society B 39 (1977), 172. Edges are corrected by translation (Ohser,
Mathematische Operationsforschung und Statistik 14 (1983), 63): a pair at (dx, dy) counts by the area of the field over
the area in which its first localization could lie with the second one still inside.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from caml_dask.baselines.checks import FloatArray, at_least, checked, positive
from caml_dask.baselines.graph import pairs_within
from caml_dask.errors import InputError, UsageError


@dataclass(frozen=True)
class Ripley:
    """Settings of the curves.

    Parameters
    ----------
    r_max_nm : float
        Largest distance in nm; at most half of the field's shorter side.
    steps : int
        Number of distances, evenly spaced up to `r_max_nm`, and of rings of the pair correlation.
    bounds_nm : tuple of 4 float or None
        Lowest x, lowest y, highest x and highest y of the field in nm; None takes the bounding box of the
        localizations.
    edge_correction : bool
        Weigh pairs by translation.

    Raises
    ------
    UsageError
        A value is out of its range.
    """

    r_max_nm: float = 500.0
    steps: int = 50
    bounds_nm: tuple[float, float, float, float] | None = None
    edge_correction: bool = True

    def __post_init__(self) -> None:
        positive(r_max_nm=self.r_max_nm)
        at_least(1, steps=self.steps)
        if self.bounds_nm is not None:
            x0, y0, x1, y1 = self.bounds_nm
            if not (-math.inf < x0 < x1 < math.inf and -math.inf < y0 < y1 < math.inf):
                raise UsageError(f"bounds_nm={self.bounds_nm}: give x from, y from, x to, y to, the latter larger")


@dataclass(frozen=True, eq=False)
class RipleyCurves:
    """Curves of a field's pairs of localizations.

    Attributes
    ----------
    r_nm : (steps,) float64
        Distances in nm.
    k_nm2 : (steps,) float64
        K(r) in nm2; pi r^2 under complete randomness.
    l_minus_r_nm : (steps,) float64
        sqrt(K / pi) - r in nm; 0 under complete randomness.
    ring_nm : (steps,) float64
        Middles of the rings between the distances, in nm.
    g : (steps,) float64
        Pair correlation in the rings; 1 under complete randomness.
    """

    r_nm: FloatArray
    k_nm2: FloatArray
    l_minus_r_nm: FloatArray
    ring_nm: FloatArray
    g: FloatArray


def ripley(xy_nm: npt.ArrayLike, settings: Ripley) -> RipleyCurves:
    """K(r), L(r) - r and g(r) of a field.

    Parameters
    ----------
    xy_nm : (n, 2) array_like of float
        Coordinates in nm.
    settings : Ripley
        Distances, bounds and edge correction.

    Returns
    -------
    RipleyCurves
        The three curves.

    Raises
    ------
    InputError
        The input is not (n, 2) finite coordinates of at least 2 localizations, some lie outside the bounds, or the
        field is narrower than twice `r_max_nm`.
    """
    xy = checked(xy_nm, "Ripley's K", 2)
    low, high = _bounds(xy, settings)
    sides = high - low
    edges = np.linspace(0.0, settings.r_max_nm, settings.steps + 1)
    weight = np.zeros(settings.steps)
    for i, j, d in pairs_within(xy, settings.r_max_nm):
        # searchsorted puts d = r into the ring that ends at r, since K counts pairs within r, r included.
        ring = np.maximum(np.searchsorted(edges, d, side="left") - 1, 0)
        each = None
        if settings.edge_correction:
            overlap = sides - np.abs(xy[i] - xy[j])
            each = sides.prod() / overlap.prod(axis=1)
        weight += np.bincount(ring, each, settings.steps)
    n = len(xy)
    per_ring = 2 * sides.prod() / (n * (n - 1)) * weight
    r, k = edges[1:], np.cumsum(per_ring)
    return RipleyCurves(
        r_nm=r,
        k_nm2=k,
        l_minus_r_nm=np.sqrt(k / math.pi) - r,
        ring_nm=(edges[1:] + edges[:-1]) / 2,
        g=per_ring / (math.pi * np.diff(edges**2)),
    )


def _bounds(xy: FloatArray, settings: Ripley) -> tuple[FloatArray, FloatArray]:
    """Lower and upper corner of the field: (2,), (2,)."""
    low, high = xy.min(axis=0), xy.max(axis=0)
    if settings.bounds_nm is not None:
        given = np.array(settings.bounds_nm, dtype=np.float64)
        if (low < given[:2]).any() or (high > given[2:]).any():
            raise InputError(f"localizations lie outside {settings.bounds_nm}: widen bounds_nm or crop them")
        low, high = given[:2], given[2:]
    shorter = float((high - low).min())
    if shorter < 2 * settings.r_max_nm:
        raise InputError(
            f"the field is {shorter:g} nm wide, less than twice r_max_nm={settings.r_max_nm:g}: give at most"
            f" {shorter / 2:g}"
        )
    return low, high
