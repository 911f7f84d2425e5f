"""Pairs of detections by distance and by frames between them, and how many to expect of independent detections."""

from __future__ import annotations

import numpy as np

from caml_dask.spatial.labelled import LabelledIndex

LAGS = np.unique(np.concatenate([[0, 1, 2, 3, 4, 6, 8], np.rint(2.0 ** np.arange(3.5, 40.0, 0.5)).astype(np.int64)]))
"""(lags,) int64, fewest frames between the detections of a pair in each bin."""
RINGS = np.concatenate([[0.0], 2.0 ** np.arange(-8.0, 0.01, 0.25)])
"""(rings + 1,) float64, edges of the bins of distance, as parts of the longest distance counted."""
CENTERS = 200_000
"""Detections whose pairs are counted; of more, about as many are taken, by their coordinates and frames alone."""
LONGEST_NM, LONGEST_SCALED = 256.0, 16.0
"""Longest distance counted: in nm, and where precisions are known in multiples of a pair's precision."""
NARROWEST, WIDEST = 0.25, 4.0
"""Precisions beyond these multiples of the median are taken to be it."""
_OCTAVES, _BINS_AN_OCTAVE = 40, 32


def precision_counts(uncertainty_nm: np.ndarray) -> np.ndarray:
    """Count precisions in bins of a 32nd of an octave; what is missing, 0, negative or infinite is not counted.

    Parameters
    ----------
    uncertainty_nm : (n,) float64
        Precisions in nm.

    Returns
    -------
    (bins,) int64
        Counts.
    """
    known = uncertainty_nm[np.isfinite(uncertainty_nm) & (uncertainty_nm > 0)]
    octave = (np.log2(known) + _OCTAVES / 2) * _BINS_AN_OCTAVE
    bins = np.clip(octave, 0, _OCTAVES * _BINS_AN_OCTAVE - 1).astype(np.int64)
    return np.bincount(bins, minlength=_OCTAVES * _BINS_AN_OCTAVE)


def median_precision_nm(counts: np.ndarray, n: int) -> float | None:
    """Median precision; None where fewer than half of the detections have one.

    Parameters
    ----------
    counts : (bins,) int64
        As :func:`precision_counts` returns them, added up.
    n : int
        Number of detections.

    Returns
    -------
    float or None
        In nm, to 2 %.
    """
    known = int(counts.sum())
    if not known or 2 * known < n:
        return None
    middle = int(np.searchsorted(np.cumsum(counts), (known + 1) // 2))
    return float(2.0 ** ((middle + 0.5) / _BINS_AN_OCTAVE - _OCTAVES / 2))


def scales(uncertainty_nm: np.ndarray | None, median_nm: float | None, n: int) -> np.ndarray:
    """Relative spread of each detection: its precision, or 1 nm for all where precisions are not known.

    Parameters
    ----------
    uncertainty_nm : (n,) float64 or None
        Precisions in nm; one that is missing, 0, negative or infinite counts as the median.
    median_nm : float or None
        Their median; None where they are not to be used.
    n : int
        Number of detections.

    Returns
    -------
    (n,) float64
        In nm.
    """
    if uncertainty_nm is None or median_nm is None:
        return np.ones(n)
    known = np.isfinite(uncertainty_nm) & (uncertainty_nm > 0)
    return np.clip(np.where(known, uncertainty_nm, median_nm), NARROWEST * median_nm, WIDEST * median_nm)


def longest_scaled(median_nm: float | None) -> float:
    """Longest distance that is counted, in multiples of a pair's root mean square scale."""
    return LONGEST_NM if median_nm is None else min(LONGEST_SCALED, LONGEST_NM / median_nm)


def longest_nm(median_nm: float | None) -> float:
    """Longest distance in nm at which a pair may be counted."""
    return LONGEST_NM if median_nm is None else longest_scaled(median_nm) * WIDEST * median_nm


def are_centers(points_nm: np.ndarray, frame: np.ndarray, n: int) -> np.ndarray:
    """Which detections have their pairs counted: all, or a share that depends on no order.

    Parameters
    ----------
    points_nm : (m, d) float64
        Detections in nm.
    frame : (m,) int64
        Their frames.
    n : int
        Detections of the whole image.

    Returns
    -------
    (m,) bool
        True for those.
    """
    if n <= CENTERS:
        return np.ones(len(points_nm), dtype=bool)
    mixed = frame.astype(np.uint64)
    for axis in points_nm.T:
        mixed = (mixed ^ np.ascontiguousarray(axis).view(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    mixed = mixed * np.uint64(0xBF58476D1CE4E5B9)
    kept: np.ndarray = (mixed >> np.uint64(11)).astype(np.float64) < CENTERS / n * 2.0**53
    return kept


def count_pairs(
    points_nm: np.ndarray, frame: np.ndarray, scale_nm: np.ndarray, centers: np.ndarray, longest: float
) -> np.ndarray:
    """Count pairs by distance and lag, each from every center in it.

    Parameters
    ----------
    points_nm : (n, d) float64
        Detections in nm.
    frame : (n,) int64
        Their frames.
    scale_nm : (n,) float64
        As :func:`scales` returns them.
    centers : (m,) int64
        Rows whose pairs are counted.
    longest : float
        Longest distance, in multiples of a pair's root mean square scale.

    Returns
    -------
    (rings, lags) int64
        Counts.
    """
    counts = np.zeros((len(RINGS) - 1, len(LAGS)), dtype=np.int64)
    if not len(centers):
        return counts
    index = LabelledIndex.build(points_nm, np.zeros(len(points_nm), np.int8))
    reach = longest * np.sqrt((scale_nm[centers] ** 2 + scale_nm.max() ** 2) / 2) * (1 + 1e-9)
    edges = RINGS * longest
    for query, row in index.pairs_same(points_nm[centers], np.zeros(len(centers), np.int8), reach):
        center = centers[query]
        apart = np.sqrt(((points_nm[center] - points_nm[row]) ** 2).sum(axis=1))
        apart /= np.sqrt((scale_nm[center] ** 2 + scale_nm[row] ** 2) / 2)
        counted = (center != row) & (apart < edges[-1])
        ring = np.searchsorted(edges, apart[counted], side="right") - 1
        lag = np.searchsorted(LAGS, np.abs(frame[center] - frame[row])[counted], side="right") - 1
        counts += np.bincount(ring * len(LAGS) + lag, minlength=counts.size).reshape(counts.shape)
    return counts


def independent_pairs(frames: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Share of the pairs of all detections in each bin of lags: what independent detections would have.

    Parameters
    ----------
    frames : (t,) int64
        Distinct frames, ascending.
    counts : (t,) int64
        Detections in each.

    Returns
    -------
    (lags,) float64
        Shares, 1 in all.
    """
    before = np.concatenate([[0], np.cumsum(counts)]).astype(np.float64)
    within = []
    for lag in LAGS:  # pairs less than `lag` frames apart, those of a frame with itself counted once
        later = before[np.searchsorted(frames, frames + lag)] - before[1:]
        same = counts * (counts - 1.0) / 2
        within.append(float((counts * np.maximum(later, 0.0) + same).sum()) if lag else 0.0)
    n = before[-1]
    pairs = np.diff([*within, n * (n - 1) / 2])
    return np.maximum(pairs, 0.0) / max(pairs.sum(), 1.0)
