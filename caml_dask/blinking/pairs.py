"""Pairs of detections by distance and by frames between them, and how many to expect of independent detections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from caml_dask.spatial.labelled import LabelledIndex

LAGS = np.unique(np.concatenate([[0, 1, 2, 3, 4, 6, 8], np.rint(2.0 ** np.arange(3.5, 40.0, 0.5)).astype(np.int64)]))
"""(lags,) int64, fewest frames between the detections of a pair in each bin."""
_OCTAVES_OF_RINGS = -8.0
_RING, _RING_3D = 0.25, 0.5  # octaves
CENTERS = 200_000
"""Detections whose pairs are counted; of more, about as many are taken, by their coordinates and frames alone."""
LONGEST_NM, LONGEST_SCALED = 256.0, 16.0
"""Longest distance counted in the plane: in nm, and where precisions are known in multiples of a pair's precision."""
AXIAL = 2.0
"""Longest distance counted along z, in multiples of that in the plane; unless axial precisions are known."""
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


def rings(groups: int) -> np.ndarray:
    """Edges of the bins of distance.

    Parameters
    ----------
    groups : int
        Distances of a pair that are counted: 1 in 2D; 2 in 3D, in the plane and along z.

    Returns
    -------
    (rings + 1,) float64
        Edges, as parts of the longest distance counted.
    """
    step = _RING if groups == 1 else _RING_3D
    return np.concatenate([[0.0], 2.0 ** np.arange(_OCTAVES_OF_RINGS, 0.01, step)])


@dataclass(frozen=True)
class Medians:
    """Median precisions.

    Attributes
    ----------
    lateral_nm, axial_nm : float or None
        In nm; None where they are not to be used.
    """

    lateral_nm: float | None = None
    axial_nm: float | None = None

    def scales_nm(self, axes: int) -> np.ndarray:
        """Scale along each axis of a detection whose precisions are the median.

        Parameters
        ----------
        axes : int
            2 or 3.

        Returns
        -------
        (axes,) float64
            In nm.
        """
        lateral = 1.0 if self.lateral_nm is None else self.lateral_nm
        return np.array([lateral, lateral, lateral if self.axial_nm is None else self.axial_nm][:axes])

    def longest(self, axes: int) -> tuple[float, ...]:
        """Longest distances that are counted, in multiples of a pair's root mean square scale.

        Parameters
        ----------
        axes : int
            2 or 3.

        Returns
        -------
        tuple of float
            In the plane, and in 3D along z.
        """
        lateral = LONGEST_NM if self.lateral_nm is None else min(LONGEST_SCALED, LONGEST_NM / self.lateral_nm)
        if axes == 2:
            return (lateral,)
        stated = self.axial_nm is not None and min(LONGEST_SCALED, AXIAL * LONGEST_NM / self.axial_nm)
        return lateral, stated or AXIAL * lateral

    def longest_nm(self) -> float:
        """Longest distance in the plane, in nm, at which a pair may be counted.

        Returns
        -------
        float
            In nm.
        """
        return LONGEST_NM if self.lateral_nm is None else self.longest(2)[0] * WIDEST * self.lateral_nm


def scales(
    uncertainty_nm: np.ndarray | None, uncertainty_z_nm: np.ndarray | None, medians: Medians, shape: tuple[int, int]
) -> np.ndarray:
    """Relative spread of each detection along each axis: its precision, or 1 nm for all where none are known.

    Where no axial precisions are known, the lateral ones stand in: what is badly seen is so along all axes.

    Parameters
    ----------
    uncertainty_nm, uncertainty_z_nm : (n,) float64 or None
        Precisions in nm; one that is missing, 0, negative or infinite counts as the median.
    medians : Medians
        Their medians.
    shape : tuple of 2 int
        Detections and axes.

    Returns
    -------
    (n, axes) float64
        In nm.
    """
    found = np.ones(shape)
    found[:] = _scale(uncertainty_nm, medians.lateral_nm, shape[0])[:, None]
    if shape[1] == 3 and medians.axial_nm is not None:
        found[:, 2] = _scale(uncertainty_z_nm, medians.axial_nm, shape[0])
    return found


def _scale(stated_nm: np.ndarray | None, median_nm: float | None, n: int) -> np.ndarray:
    if stated_nm is None or median_nm is None:
        return np.ones(n)
    known = np.isfinite(stated_nm) & (stated_nm > 0)
    return np.clip(np.where(known, stated_nm, median_nm), NARROWEST * median_nm, WIDEST * median_nm)


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
    points_nm: np.ndarray, frame: np.ndarray, scale_nm: np.ndarray, centers: np.ndarray, longest: tuple[float, ...]
) -> np.ndarray:
    """Count pairs by distance and lag, each from every center in it.

    Parameters
    ----------
    points_nm : (n, d) float64
        Detections in nm.
    frame : (n,) int64
        Their frames.
    scale_nm : (n, d) float64
        As :func:`scales` returns them.
    centers : (m,) int64
        Rows whose pairs are counted.
    longest : tuple of float
        As :meth:`Medians.longest` returns it.

    Returns
    -------
    (cells, lags) int64
        Counts; in 3D a cell is a ring in the plane and one along z, the latter running faster.
    """
    edges = rings(len(longest))
    n_rings = len(edges) - 1
    counts = np.zeros((n_rings ** len(longest), len(LAGS)), dtype=np.int64)
    if not len(centers):
        return counts
    plane, none = points_nm[:, :2], np.zeros(len(points_nm), np.int8)
    index = LabelledIndex.build(plane, none)
    reach = longest[0] * np.sqrt((scale_nm[centers, 0] ** 2 + scale_nm[:, 0].max() ** 2) / 2) * (1 + 1e-9)
    for query, row in index.pairs_same(plane[centers], none[centers], reach):
        center = centers[query]
        cell = np.zeros(len(row), np.int64)
        counted = center != row
        for axes, far in zip((slice(2), slice(2, 3)), longest, strict=False):
            apart = np.sqrt(((points_nm[center, axes] - points_nm[row, axes]) ** 2).sum(axis=1))
            axis = axes.stop - 1
            apart /= np.sqrt((scale_nm[center, axis] ** 2 + scale_nm[row, axis] ** 2) / 2)
            counted &= apart < far
            cell = cell * n_rings + np.searchsorted(edges * far, apart, side="right") - 1
        lag = np.searchsorted(LAGS, np.abs(frame[center] - frame[row])[counted], side="right") - 1
        counts += np.bincount(cell[counted] * len(LAGS) + lag, minlength=counts.size).reshape(counts.shape)
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
