"""Merge the detections of an array to molecules, in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from caml_dask.blinking import pairs
from caml_dask.blinking.choose import choose, compared, windows
from caml_dask.blinking.estimate import Law, estimates
from caml_dask.blinking.links import Detections, crowd, crowd_radius_nm, log_begin
from caml_dask.blinking.molecules import Molecules, canonical, combine, fixed_groups, refine
from caml_dask.errors import UsageError
from caml_dask.settings import FixedRule, merge_rule


@dataclass(frozen=True)
class Merged:
    """Detections merged to molecules.

    Attributes
    ----------
    molecule : (n,) int64
        Row of each detection's molecule, numbered by the first detection.
    molecules : Molecules
        What is known of each.
    law : Law or None
        What was estimated; None by a fixed rule.
    """

    molecule: np.ndarray
    molecules: Molecules
    law: Law | None


def merge_detections(
    points_nm: ArrayLike,
    frame: ArrayLike,
    *,
    uncertainty_nm: ArrayLike | None = None,
    photons: ArrayLike | None = None,
    rule: str = "auto",
) -> Merged:
    """Find which detections are of one molecule.

    Parameters
    ----------
    points_nm : (n, 2) or (n, 3) array_like of float
        Detections in nm, finite.
    frame : (n,) array_like of int
        Their frames.
    uncertainty_nm : (n,) array_like of float, optional
        Lateral precisions, one standard deviation; 0, negative and NaN are missing.
    photons : (n,) array_like of float, optional
        Photons.
    rule : str
        "auto", which estimates re-blinking from the detections, or a radius and a gap such as "50nm,25frames".

    Returns
    -------
    Merged
        The molecule of each detection, and the molecules.

    Raises
    ------
    UsageError
        Shapes that do not fit, a rule that cannot be used, or detections in 3D for "auto".
    """
    chosen = merge_rule(rule)
    points = np.asarray(points_nm, dtype=np.float64)
    frames = np.asarray(frame)
    if points.ndim != 2 or points.shape[1] not in (2, 3) or frames.shape != (len(points),):
        raise UsageError(
            f"points of shape {points.shape} and frames of shape {frames.shape}: give (n, 2) or (n, 3) coordinates "
            "and (n,) frames"
        )
    if not np.isfinite(points).all() or not np.array_equal(frames, np.rint(frames)):
        raise UsageError("coordinates must be finite and frames whole numbers: leave other rows out")
    if chosen == "auto" and points.shape[1] == 3:
        raise UsageError("auto estimates re-blinking in 2D: give a radius and a gap such as 50nm,25frames")
    if not len(points):
        raise UsageError("there are no detections to merge: give at least one")
    frames = frames.astype(np.int64)
    n, ids = len(points), np.arange(len(points), dtype=np.uint64)
    known = None if uncertainty_nm is None else np.asarray(uncertainty_nm, dtype=np.float64)
    median = None if known is None else pairs.median_precision_nm(pairs.precision_counts(known), n)
    scale = pairs.scales(known, median, n)
    law: Law | None = None
    if chosen == "auto":
        longest = pairs.longest_scaled(median)
        centers = np.flatnonzero(pairs.are_centers(points, frames, n))
        distinct, counts = np.unique(frames, return_counts=True)
        laws = estimates(
            pairs.count_pairs(points, frames, scale, centers, longest),
            pairs.independent_pairs(distinct, counts),
            longest=longest,
            centers=len(centers),
            frames=int(distinct[-1] - distinct[0]) + 1,
            per_nm2=n / max(float(np.prod(np.ptp(points, axis=0))), 1.0),
        )
        law = choose(laws, _windows(points, frames, scale, ids), median)
    group, seen = np.arange(n), Detections(points, frames, scale, np.zeros(n))
    if isinstance(chosen, FixedRule):
        group = fixed_groups(seen, chosen)
    elif law is not None and law.blinks:
        radius = crowd_radius_nm(law, median)
        begin = log_begin(crowd(points, np.arange(n), radius), law, radius)
        seen = Detections(points, frames, scale * law.spread, begin)
        group = fixed_groups(seen, law)
    order = canonical(group, seen, ids)
    molecule = np.empty(n, np.int64)
    if law is not None and law.blinks:
        refined, _ = refine(seen.take(order), group[order], law)
        molecule[order] = order[refined]
    else:
        molecule = group
    _, first, number = np.unique(molecule, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    number = rank[number]
    together = combine(
        number[order],
        points[order],
        frames[order],
        photons=None if photons is None else np.asarray(photons, dtype=np.float64)[order],
        uncertainty_nm=precisions(known, median, law, n, order),
    )
    return Merged(number, together, law)


def _windows(
    points: np.ndarray, frame: np.ndarray, scale: np.ndarray, ids: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    boxes = windows(lambda: [points], len(points), [*points.min(axis=0), *points.max(axis=0)])
    owner = boxes.tile_of(points)
    for box in compared(boxes):
        rows = np.flatnonzero(owner == box)
        yield points[rows], frame[rows], scale[rows], ids[rows]


def precisions(
    known: np.ndarray | None, median_nm: float | None, law: Law | None, n: int, rows: np.ndarray
) -> np.ndarray | None:
    """Precision of some detections: their own, else the median, else the estimated spread; None where none is known.

    Parameters
    ----------
    known : (n,) float64 or None
        Precisions in nm as the table has them.
    median_nm : float or None
        Their median.
    law : Law or None
        What was estimated.
    n : int
        Number of detections.
    rows : (m,) int64
        Which.

    Returns
    -------
    (m,) float64 or None
        In nm, positive.
    """
    if known is not None and median_nm is not None:
        valid = np.isfinite(known) & (known > 0)
        own: np.ndarray = np.where(valid, known, median_nm)[rows]
        return own
    if law is not None and law.blinks:
        return np.full(len(rows), law.spread)
    return None
