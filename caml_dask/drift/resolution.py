"""How sharp localizations are: by Fourier ring correlation (Nieuwenhuizen 2013) and by NeNA (Endesfelder 2014)."""

from __future__ import annotations

import numpy as np

from caml_dask.compiled import njit
from caml_dask.drift.curve import interval_starts
from caml_dask.drift.matches import STEPS_AN_NM

_SIDE = 2048
_PIXEL = 5 * STEPS_AN_NM
_BLOCKS = 50
_RESOLVED = 1 / 7
_RINGS = 8  # by which the curve is smoothed
_FARTHEST_NM = 150
_BIN = STEPS_AN_NM
_LEAST = 200


def ring_correlation_nm(places: np.ndarray, frame: np.ndarray) -> float | None:
    """Resolution by Fourier ring correlation: where that of two halves, of frames by turns, falls below 1/7.

    Parameters
    ----------
    places : (n, 2) or (n, 3) int64
        Localizations in steps (:data:`caml_dask.drift.matches.STEPS_AN_NM`); of x and y alone.
    frame : (n,) int64
        Their frames, ascending.

    Returns
    -------
    float or None
        In nm, of the 10 um with the most localizations; None where the halves never agree, or always.
    """
    if len(places) < _LEAST:
        return None
    view = _SIDE * _PIXEL
    blocks, where, counts = np.unique(places[:, :2] // view, axis=0, return_inverse=True, return_counts=True)
    inside = where.ravel() == int(np.argmax(counts))
    pixel = (places[inside, :2] - blocks[int(np.argmax(counts))] * view) // _PIXEL
    starts = interval_starts(frame, _BLOCKS)
    half = (np.searchsorted(starts, np.flatnonzero(inside), side="right") - 1) & 1
    flat = pixel[:, 0] * _SIDE + pixel[:, 1]
    edge = np.hanning(_SIDE).astype(np.float32)
    spectra = []
    for which in (0, 1):
        picture = np.bincount(flat[half == which], minlength=_SIDE * _SIDE).reshape(_SIDE, _SIDE).astype(np.float32)
        spectra.append(np.fft.rfft2(picture * edge[:, None] * edge))
    x, y = np.fft.fftfreq(_SIDE, 1 / _SIDE), np.arange(_SIDE // 2 + 1)
    ring = np.rint(np.hypot(x[:, None], y)).astype(np.int64).ravel()
    both: np.ndarray = np.bincount(ring, (spectra[0] * np.conj(spectra[1])).real.ravel())
    one, other = (np.bincount(ring, (np.abs(s) ** 2).ravel()).astype(np.float64) for s in spectra)
    number = _SIDE // 2
    window = np.ones(_RINGS) / _RINGS
    both, one, other = (np.convolve(values[1:number], window, mode="valid") for values in (both, one, other))
    with np.errstate(invalid="ignore", divide="ignore"):
        curve = both / np.sqrt(one * other)
    below = np.flatnonzero(~(curve >= _RESOLVED))
    if not len(below) or below[0] == 0:
        return None
    at = int(below[0])
    rings = at + (1 + _RINGS) / 2 - (_RESOLVED - curve[at]) / max(curve[at - 1] - curve[at], 1e-12)
    return float(_SIDE * _PIXEL / STEPS_AN_NM / rings)


def nena_nm(places: np.ndarray, frame: np.ndarray) -> float | None:
    """Localization precision by the distances to the nearest localization in the next frame.

    Parameters
    ----------
    places : (n, 2) or (n, 3) int64
        Localizations in steps; of x and y alone.
    frame : (n,) int64
        Their frames, ascending.

    Returns
    -------
    float or None
        Standard deviation of x and of y in nm; None where too few are detected in two successive frames.
    """
    order = np.lexsort((places[:, 1], places[:, 0], frame))
    counts = np.zeros(_FARTHEST_NM, np.int64)
    _nearest_next(places[order, 0], places[order, 1], frame[order], _FARTHEST_NM * STEPS_AN_NM, _BIN, counts)
    return None if counts.sum() < _LEAST else _fitted(counts)


def _fitted(counts: np.ndarray) -> float | None:
    """Fit p(r) of one molecule, r exp(-r2 / 4 s2), beside that of others, r exp(-r2 / 4 w2) and r."""
    r = np.arange(len(counts)) + 0.5
    spreads = 2.0 ** np.arange(0, 5.01, 0.05)
    best, found = -np.inf, None
    for spread in spreads:
        for wide in (None, 2.0, 4.0):
            shapes = [r * np.exp(-(r**2) / (4 * spread**2)), r]
            if wide is not None:
                shapes.append(r * np.exp(-(r**2) / (4 * (wide * spread) ** 2)))
            parts = np.stack([shape / shape.sum() for shape in shapes])
            share = np.full(len(parts), 1 / len(parts))
            for _ in range(60):
                mixed = share @ parts
                share = share * (parts @ (counts / mixed)) / counts.sum()
            likely = float(counts @ np.log(share @ parts))
            if likely > best and share[0] > 0.02:
                best, found = likely, float(spread)
    return found


@njit()
def _nearest_next(x, y, frame, farthest, step, counts):  # type: ignore[no-untyped-def]
    """Distances to the nearest in the next frame, counted; of each frame, x ascends."""
    n = len(x)
    begin = 0
    while begin < n:
        end = begin
        while end < n and frame[end] == frame[begin]:
            end += 1
        stop = end
        while stop < n and frame[stop] == frame[begin] + 1:
            stop += 1
        low = end
        for i in range(begin, end):
            while low < stop and x[low] < x[i] - farthest:
                low += 1
            nearest = farthest * farthest
            j = low
            while j < stop and x[j] <= x[i] + farthest:
                far = (x[j] - x[i]) ** 2 + (y[j] - y[i]) ** 2
                nearest = min(nearest, far)
                j += 1
            if nearest < farthest * farthest:
                counts[int(np.sqrt(nearest)) // step] += 1
        begin = end
