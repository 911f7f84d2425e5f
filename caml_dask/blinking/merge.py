"""Merge the detections of an array to molecules, in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from caml_dask.blinking import pairs
from caml_dask.blinking.estimate import Counted, estimate
from caml_dask.blinking.law import Law
from caml_dask.blinking.links import Detections, crowd, crowd_radii_nm, log_begin
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
    uncertainty_z_nm: ArrayLike | None = None,
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
    uncertainty_z_nm : (n,) array_like of float, optional
        Axial precisions likewise; unused in 2D.
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
        Shapes that do not fit, or a rule that cannot be used.
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
    if not len(points):
        raise UsageError("there are no detections to merge: give at least one")
    frames = frames.astype(np.int64)
    n, ids = len(points), np.arange(len(points), dtype=np.uint64)
    axes = points.shape[1]
    lateral, axial = (
        None if stated is None else np.asarray(stated, dtype=np.float64)
        for stated in (uncertainty_nm, uncertainty_z_nm if axes == 3 else None)
    )
    medians = pairs.Medians(*(
        None if stated is None else pairs.median_precision_nm(pairs.precision_counts(stated), n)
        for stated in (lateral, axial)
    ))  # fmt: skip
    scale = pairs.scales(lateral, axial, medians, (n, axes))
    law = _estimated(points, frames, scale, medians) if chosen == "auto" else None
    group, seen = np.arange(n), Detections(points, frames, scale, np.zeros(n))
    if isinstance(chosen, FixedRule):
        group = fixed_groups(seen, chosen)
    elif law is not None and law.blinks:
        radii = crowd_radii_nm(law, medians, axes)
        begin = log_begin(crowd(points, np.arange(n), radii), frames, law, radii)
        seen = Detections(points, frames, scale * law.spreads(axes), begin)
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
        **precisions(lateral, axial, medians, law, seen.take(order), order),
    )
    return Merged(number, together, law)


def _estimated(points: np.ndarray, frames: np.ndarray, scale: np.ndarray, medians: pairs.Medians) -> Law:
    n, axes = points.shape
    longest = medians.longest(axes)
    centers = np.flatnonzero(pairs.are_centers(points, frames, n))
    distinct, counts = np.unique(frames, return_counts=True)
    counted = pairs.count_pairs(points, frames, scale, centers, longest)
    volume = max(float(np.prod(np.ptp(points, axis=0))), 1.0)
    return estimate(Counted(counted, longest, len(centers), distinct, counts, n / volume))


def precisions(
    lateral: np.ndarray | None,
    axial: np.ndarray | None,
    medians: pairs.Medians,
    law: Law | None,
    seen: Detections,
    rows: np.ndarray,
) -> dict[str, np.ndarray | None]:
    """Precisions of some detections: their own, else the median, else the estimated spread; None where none is known.

    Parameters
    ----------
    lateral, axial : (n,) float64 or None
        Precisions in nm as the table has them.
    medians : Medians
        Their medians.
    law : Law or None
        What was estimated.
    seen : Detections
        Some detections, with their estimated spreads.
    rows : (m,) int64
        Which they are.

    Returns
    -------
    dict of str to (m,) float64 or None
        In nm, positive: `uncertainty_nm`, and `uncertainty_z_nm`, which is None in 2D.
    """
    found: dict[str, np.ndarray | None] = {"uncertainty_nm": None, "uncertainty_z_nm": None}
    stated = ((lateral, medians.lateral_nm, 0), (axial, medians.axial_nm, 2))
    for name, (known, median, axis) in zip(found, stated, strict=True):
        if axis >= seen.points_nm.shape[1]:
            continue
        if known is not None and median is not None:
            valid = np.isfinite(known) & (known > 0)
            found[name] = np.where(valid, known, median)[rows]
        elif law is not None and law.blinks:
            found[name] = seen.spread_nm[:, axis]
    return found
