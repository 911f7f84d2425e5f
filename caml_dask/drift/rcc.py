"""Drift by redundant cross-correlation (Wang et al. 2014, Optics Express), as a check of another kind."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np

from caml_dask.drift.aim import LEAST, Estimate, interval_of
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


def rcc(places: np.ndarray, frame: np.ndarray) -> Estimate:
    """Estimate drift by the peaks of the cross-correlations of all pairs of intervals.

    Parameters
    ----------
    places : (n, d) int64
        Localizations in steps (:data:`caml_dask.drift.matches.STEPS_AN_NM`).
    frame : (n,) int64
        Their frames, ascending.

    Returns
    -------
    Estimate
        The drift; its error is that of fitting all pairs by one curve.
    """
    starts = interval_starts(frame, min(_INTERVALS, len(frame) // LEAST))
    axes = places.shape[1]
    first, last = int(frame[0]), int(frame[-1])
    if len(starts) < 3:
        return Estimate(Curve(np.zeros(0), np.zeros((0, axes)), first, last), len(starts) - 1, np.full(axes, np.nan))
    drift, error = _solved([_picture(places[a:b, :2]) for a, b in pairwise(starts)], 2)
    if axes == 3:
        flat = places[:, :2] - np.rint(drift * _PIXEL).astype(np.int64)[interval_of(starts)]
        columns = [_depths(flat[a:b], places[a:b, 2]) for a, b in pairwise(starts)]
        deep, deep_error = _solved(columns, 1)
        drift, error = np.hstack([drift, deep]), np.concatenate([error, deep_error])
    nm = _PIXEL / STEPS_AN_NM
    curve = Curve(middles(frame, starts), drift * nm, first, last).begun_at(first)
    return Estimate(curve, len(starts) - 1, error * nm)


def _picture(places: np.ndarray) -> np.ndarray:
    x, y = (places // _PIXEL % _SIDE).T
    counts = np.bincount(x * _SIDE + y, minlength=_SIDE * _SIDE)
    return np.fft.rfft2(counts.reshape(_SIDE, _SIDE).astype(np.float32))


def _depths(flat: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Columns of 40 nm, folded, by depth."""
    x, y = (flat // (2 * _PIXEL) % 64).T
    counts = np.bincount((x * 64 + y) * _DEEP + z // _PIXEL % _DEEP, minlength=_COLUMNS * _DEEP)
    return np.fft.rfft(counts.reshape(_COLUMNS, _DEEP).astype(np.float32))


def _solved(spectra: list[np.ndarray], axes: int) -> tuple[np.ndarray, np.ndarray]:
    """Drift of each interval in pixels, (k, axes), by least squares over all pairs, and its standard error."""
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
    residual = np.sqrt(np.mean((apart - design @ found) ** 2, axis=0))
    return found, residual / np.sqrt(max(1, len(spectra) - 1))


def _apart(one: np.ndarray, other: np.ndarray, axes: int) -> np.ndarray:
    """How far another interval lies from one, in pixels: the center of the peak of their correlation."""
    if axes == 2:
        rows = np.fft.ifft(np.conj(one) * other, axis=0).take(np.arange(-_FARTHEST, _FARTHEST + 1), axis=0)
        whole = np.fft.irfft(rows, n=_SIDE)
    else:
        whole = np.fft.irfft((np.conj(one) * other).sum(axis=0), n=_DEEP)
    near = whole.take(np.arange(-_FARTHEST, _FARTHEST + 1), axis=-1)
    near = near - np.median(near)
    ways = np.indices(near.shape).reshape(axes, -1).astype(np.float64)
    at = ways[:, int(np.argmax(near))]
    for _ in range(_ROUNDS):
        weight = np.exp(-((ways - at[:, None]) ** 2).sum(axis=0) / (2 * _NARROW**2)) * near.ravel()
        if weight.sum() <= 0:
            break
        at = ways @ weight / weight.sum()
    return at - _FARTHEST
