"""What an estimate of drift is worth: two halves of the field, each estimated by itself, must agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from caml_dask.drift.curve import Curve
from caml_dask.drift.matches import STEPS_AN_NM

Method = Callable[[np.ndarray, np.ndarray], Curve]
"""Takes (n, d) int64 places in steps and their (n,) int64 frames, ascending."""
_SQUARES_NM = (250, 1_000)
"""Least and largest side of the squares that halves are made of."""
_TIMES = 4.0
"""Drift is real where it is so many times its own error, as variances: noise alone makes smooth curves too, two
of which are alike now and then, of few intervals more often."""
_IMMATERIAL_NM = 1.0
"""Standard error up to which a correction does no harm, whether the drift is real or not."""


@dataclass(frozen=True)
class Estimate:
    """Drift that was found.

    Attributes
    ----------
    curve : Curve
        Drift since the first frame; 0 on the axes where the halves do not agree.
    intervals : int
        Intervals of frames it was estimated of; fewer than two are no estimate.
    error_nm : (d,) float64
        Standard error of the estimate on each axis: half of how far the curves of the two halves are apart, root mean
        square over localizations; NaN where localizations are too few to tell.
    """

    curve: Curve
    intervals: int
    error_nm: np.ndarray


def estimated(method: Method, places: np.ndarray, frame: np.ndarray) -> Estimate:
    """Estimate drift by a method from all localizations, and its error from the halves of the field.

    The halves are squares by turns, as those of a chess board are black and white, so that few molecules are in both:
    of 1 um, or a quarter of a smaller field.

    Parameters
    ----------
    method : callable
        :func:`caml_dask.drift.aim.aim` or the like.
    places : (n, d) int64
        Localizations in steps (:data:`caml_dask.drift.matches.STEPS_AN_NM`).
    frame : (n,) int64
        Their frames, ascending.

    Returns
    -------
    Estimate
        The drift.
    """
    whole, axes = method(places, frame), places.shape[1]
    half = _halves(places[:, :2])
    curves = [method(places[half == color], frame[half == color]) for color in (0, 1)] if len(whole.knots) else []
    if not curves or not all(len(curve.knots) for curve in curves):
        none = Curve(np.zeros(0), np.zeros((0, axes)), whole.first, whole.last)
        return Estimate(none, 1, np.full(axes, np.nan))
    one, other = (_centered(curve.at(frame)) for curve in curves)
    error = np.sqrt(np.mean((one - other) ** 2, axis=0)) / 2
    alike = np.mean(one * other, axis=0)
    drift_nm = whole.drift_nm.copy()
    times = _TIMES * (1 + 4 / (min(len(curve.knots) for curve in curves) - 1))
    for together in ([0, 1], [2])[: axes - 1]:  # as the methods find them
        agree = alike[together].sum() > times * (error[together] ** 2).sum()
        if not agree and error[together].max() > _IMMATERIAL_NM:
            drift_nm[:, together] = 0.0
    return Estimate(replace(whole, drift_nm=drift_nm), len(whole.knots), error)


def _halves(places: np.ndarray) -> np.ndarray:
    """For each localization 0 or 1, by its square."""
    least, most = (nm * STEPS_AN_NM for nm in _SQUARES_NM)
    side = min(max(int(np.ptp(places, axis=0).max()) // 4, least), most)
    halves: np.ndarray = (places // side).sum(axis=1) & 1
    return halves


def _centered(drift_nm: np.ndarray) -> np.ndarray:
    return drift_nm - drift_nm.mean(axis=0)
