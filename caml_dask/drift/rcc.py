"""Drift by redundant cross-correlation (Wang et al. 2014, Optics Express), as a check of another kind."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np

from caml_dask.drift.aim import LEAST, interval_of
from caml_dask.drift.curve import Curve, interval_starts, middles
from caml_dask.drift.matches import STEPS_AN_NM

_INTERVALS = 20
_PIXEL = 20 * STEPS_AN_NM
_SIDE = 1024
"""Pixels of a picture on each axis. Wider fields are folded onto it: shifts stay what they are."""
_COLUMNS, _DEEP = 4096, 256
_FARTHEST = 20  # pixels that two intervals may lie apart
_NARROW, _ROUNDS = 1.5, 20
_OUTLIER = 3.0


def rcc(places: np.ndarray, frame: np.ndarray) -> Curve:
    """Estimate drift by the peaks of the cross-correlations of all pairs of intervals.

    Parameters
    ----------
    places : (n, d) int64
        Localizations in steps (:data:`caml_dask.drift.matches.STEPS_AN_NM`).
    frame : (n,) int64
        Their frames, ascending.

    Returns
    -------
    Curve
        The drift, with a knot for each interval; none where localizations are too few.
    """
    starts = interval_starts(frame, min(_INTERVALS, len(frame) // LEAST))
    axes = places.shape[1]
    first, last = int(frame[0]), int(frame[-1])
    if len(starts) < 3:
        return Curve(np.zeros(0), np.zeros((0, axes)), first, last)
    drift = _solved([_picture(places[a:b, :2]) for a, b in pairwise(starts)], 2)
    if axes == 3:
        flat = places[:, :2] - np.rint(drift * _PIXEL).astype(np.int64)[interval_of(starts)]
        columns = [_depths(flat[a:b], places[a:b, 2]) for a, b in pairwise(starts)]
        drift = np.hstack([drift, _solved(columns, 1)])
    return Curve(middles(frame, starts), drift * _PIXEL / STEPS_AN_NM, first, last).begun_at(first)


def _picture(places: np.ndarray) -> np.ndarray:
    x, y = (places // _PIXEL % _SIDE).T
    counts = np.bincount(x * _SIDE + y, minlength=_SIDE * _SIDE)
    return np.fft.rfft2(counts.reshape(_SIDE, _SIDE).astype(np.float32))


def _depths(flat: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Columns of 40 nm, folded, by depth."""
    x, y = (flat // (2 * _PIXEL) % 64).T
    counts = np.bincount((x * 64 + y) * _DEEP + z // _PIXEL % _DEEP, minlength=_COLUMNS * _DEEP)
    return np.fft.rfft(counts.reshape(_COLUMNS, _DEEP).astype(np.float32))


def _solved(spectra: list[np.ndarray], axes: int) -> np.ndarray:
    """Drift of each interval in pixels, (k, axes), by least squares over all pairs."""
    pairs = np.array(list(combinations(range(len(spectra)), 2)))
    apart = np.array([_apart(spectra[i], spectra[j], axes) for i, j in pairs])
    design = np.zeros((len(pairs), len(spectra)))
    design[np.arange(len(pairs)), pairs[:, 0]], design[np.arange(len(pairs)), pairs[:, 1]] = -1.0, 1.0
    found = np.linalg.lstsq(design, apart, rcond=None)[0]
    off = np.sqrt(((apart - design @ found) ** 2).sum(axis=1))
    kept = off <= max(_OUTLIER * float(np.median(off)), 0.05)
    if np.linalg.matrix_rank(design[kept]) == len(spectra) - 1:
        design, apart = design[kept], apart[kept]
        found = np.linalg.lstsq(design, apart, rcond=None)[0]
    return found


def _apart(one: np.ndarray, other: np.ndarray, axes: int) -> np.ndarray:
    """How far another interval lies from one, in pixels: the center of the peak of their correlation."""
    if axes == 2:
        rows = np.fft.ifft(np.conj(one) * other, axis=0).take(np.arange(-_FARTHEST, _FARTHEST + 1), axis=0)
        whole = np.fft.irfft(rows, n=_SIDE)
    else:
        whole = np.fft.irfft((np.conj(one) * other).sum(axis=0), n=_DEEP)
    near = whole.take(np.arange(-_FARTHEST, _FARTHEST + 1), axis=-1)
    near = np.rint(near) - np.median(near)  # counts, which the transform leaves a little off
    ways = np.indices(near.shape).reshape(axes, -1).astype(np.float64)
    tops = ways[:, np.flatnonzero(near == near.max())]
    at = tops[:, int(np.argmin(((tops - _FARTHEST) ** 2).sum(axis=0)))]
    for _ in range(_ROUNDS):
        weight = np.exp(-((ways - at[:, None]) ** 2).sum(axis=0) / (2 * _NARROW**2)) * near.ravel()
        if weight.sum() <= 0:
            break
        at = ways @ weight / weight.sum()
    return at - _FARTHEST
