"""Which detections may be of one molecule: the links that components are made of.

By the published rule two detections are linked if they are near in space and at most so many frames apart, but not in
one frame; a molecule is a connected component. A molecule may so last longer than the gap: frames are counted from the
last detection, not from the first. By the estimated rule two detections are linked if it is more likely that a molecule
returned than that another one began; components are then looked at in :mod:`caml_dask.blinking.refine`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from caml_dask.blinking.law import Law
from caml_dask.blinking.pairs import Medians
from caml_dask.settings import FixedRule
from caml_dask.spatial.labelled import LabelledIndex

FARTHEST = 4.5
"""Standard deviations of the distance of two detections of a molecule beyond which they are not linked."""
CROWD = 2.0
"""Radius within which detections are counted for the density around one, in spreads."""
_ALL = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Detections:
    """What the rules look at of detections.

    Attributes
    ----------
    points_nm : (n, d) float64
        Coordinates in nm.
    frame : (n,) int64
        Frames.
    spread_nm : (n, d) float64
        Standard deviation along each axis in nm; unused by a fixed rule.
    log_begin : (n,) float64
        Logarithm of how many molecules begin, and are not seen again, a nm2 (in 3D nm3) and frame; unused by a fixed
        rule.
    """

    points_nm: np.ndarray
    frame: np.ndarray
    spread_nm: np.ndarray
    log_begin: np.ndarray

    def take(self, rows: np.ndarray) -> Detections:
        """Some of them.

        Parameters
        ----------
        rows : (m,) int64 or bool
            Which.

        Returns
        -------
        Detections
            Those.
        """
        return Detections(self.points_nm[rows], self.frame[rows], self.spread_nm[rows], self.log_begin[rows])


def crowd_radii_nm(law: Law, medians: Medians, axes: int) -> np.ndarray:
    """Semi-axes of the disc or spheroid in which detections around one are counted.

    Parameters
    ----------
    law : Law
        What was estimated.
    medians : Medians
        Median precisions.
    axes : int
        2 or 3.

    Returns
    -------
    (axes,) float64
        In nm.
    """
    return CROWD * law.spreads(axes) * medians.scales_nm(axes)


def crowd(points_nm: np.ndarray, rows: np.ndarray, radii_nm: np.ndarray) -> np.ndarray:
    """Count the detections around some, themselves included.

    Parameters
    ----------
    points_nm : (n, d) float64
        Detections in nm.
    rows : (m,) int64
        Those asked about.
    radii_nm : (d,) float64
        Semi-axes in nm, closed.

    Returns
    -------
    (m,) int64
        Counts.
    """
    flat = _flattened(points_nm, radii_nm)
    index = LabelledIndex.build(flat, np.zeros(len(flat), np.int8))
    return index.count_same(flat[rows], np.zeros(len(rows), np.int8), np.full(len(rows), radii_nm[0]), _ALL)


def _flattened(points_nm: np.ndarray, radii_nm: np.ndarray) -> np.ndarray:
    """Coordinates in which a spheroid is a ball."""
    if points_nm.shape[1] == 2:
        return points_nm
    return np.column_stack([points_nm[:, :2], points_nm[:, 2] * (radii_nm[0] / radii_nm[2])])


def log_begin(counts: np.ndarray, frame: np.ndarray, law: Law, radii_nm: np.ndarray) -> np.ndarray:
    """How likely another molecule begins near a detection: the time gap that links allow so scales with density.

    As many begin as there are detections around it, and at its time in the whole image.

    Parameters
    ----------
    counts : (n,) int64
        Detections within the radii.
    frame : (n,) int64
        Frames.
    law : Law
        What was estimated.
    radii_nm : (d,) float64
        The semi-axes in nm.

    Returns
    -------
    (n,) float64
        Logarithm of molecules that begin a nm2, or nm3, and frame, times the chance that one is not detected again.
    """
    alone = 1.0 - law.returns
    volume = float(np.prod(radii_nm)) * (np.pi if len(radii_nm) == 2 else 4.0 / 3.0 * np.pi)
    molecules = np.maximum(counts * alone - 1.0, 0.0) + law.per_volume * alone * volume
    begin: np.ndarray = np.log(molecules / (volume * law.frames)) + np.log(alone) + law.log_active(frame)
    return begin


def longest_link_nm(rule: FixedRule | Law, widest_nm: float) -> float:
    """No link is longer.

    Parameters
    ----------
    rule : FixedRule or Law
        The rule.
    widest_nm : float
        Largest spread of a detection in the plane, in nm; unused by a fixed rule.

    Returns
    -------
    float
        In nm, in the plane.
    """
    return rule.radius_nm if isinstance(rule, FixedRule) else FARTHEST * np.sqrt(2.0) * widest_nm


def links(seen: Detections, rows: np.ndarray, rule: FixedRule | Law) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Links of some detections to all others, in batches; of two of the rows, from both.

    Parameters
    ----------
    seen : Detections
        All at hand.
    rows : (m,) int64
        Those whose links are wanted.
    rule : FixedRule or Law
        The rule.

    Yields
    ------
    (l,) int64, (l,) int64
        Rows at both ends; the first are of `rows`.
    """
    if not len(rows):
        return
    if isinstance(rule, FixedRule):
        points, reach = seen.points_nm, np.full(len(rows), rule.radius_nm)
        log_return = np.zeros(0)
    else:
        widest = seen.spread_nm.max(axis=0)
        points = _flattened(seen.points_nm, widest)
        furthest = (np.sqrt(seen.spread_nm[rows] ** 2 + widest**2) / widest).max(axis=1) * widest[0]
        reach = FARTHEST * furthest * (1 + 1e-9)
        log_return = rule.log_return()
    index = LabelledIndex.build(points, np.zeros(len(seen.frame), np.int8))
    for query, other in index.pairs_same(points[rows], np.zeros(len(rows), np.int8), reach):
        one = rows[query]
        gap = np.abs(seen.frame[one] - seen.frame[other])
        if isinstance(rule, FixedRule):
            linked = (gap > 0) & (gap <= rule.frames)
        else:
            linked = one != other
            one, other, gap = one[linked], other[linked], gap[linked]
            linked = log_odds(seen, one, other, gap, log_return) > 0
        yield one[linked], other[linked]


def log_odds(
    seen: Detections, one: np.ndarray, other: np.ndarray, gap: np.ndarray, log_return: np.ndarray
) -> np.ndarray:
    """How much likelier two detections are of one molecule than of two.

    Parameters
    ----------
    seen : Detections
        The detections.
    one, other : (l,) int64
        Rows of the pairs.
    gap : (l,) int64
        Frames between them.
    log_return : (t,) float64
        See :meth:`Law.log_return`.

    Returns
    -------
    (l,) float64
        Logarithms of odds; minus infinity beyond FARTHEST.
    """
    variance = seen.spread_nm[one] ** 2 + seen.spread_nm[other] ** 2
    apart2 = ((seen.points_nm[one] - seen.points_nm[other]) ** 2 / variance).sum(axis=1)
    odds = log_return[np.minimum(gap, len(log_return) - 1)] - apart2 / 2
    odds -= 0.5 * np.log(2 * np.pi * variance).sum(axis=1) + 0.5 * (seen.log_begin[one] + seen.log_begin[other])
    return np.where(apart2 <= FARTHEST**2, odds, -np.inf)
