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

from caml_dask.blinking.estimate import Law
from caml_dask.settings import FixedRule
from caml_dask.spatial.labelled import LabelledIndex

FARTHEST = 4.5
"""Standard deviations of the distance of two detections of a molecule beyond which they are not linked."""
CROWD = 10.0
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
    spread_nm : (n,) float64
        Standard deviation along an axis in nm; unused by a fixed rule.
    log_begin : (n,) float64
        Logarithm of how many molecules begin, and are not seen again, a nm2 and frame; unused by a fixed rule.
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


def crowd_radius_nm(law: Law, median_nm: float | None) -> float:
    """Radius of the disc in which detections around one are counted.

    Parameters
    ----------
    law : Law
        What was estimated.
    median_nm : float or None
        Median precision; None where scales are 1 nm.

    Returns
    -------
    float
        In nm.
    """
    return CROWD * law.spread * (1.0 if median_nm is None else median_nm)


def crowd(points_nm: np.ndarray, rows: np.ndarray, radius_nm: float) -> np.ndarray:
    """Count the detections around some, themselves included.

    Parameters
    ----------
    points_nm : (n, d) float64
        Detections in nm.
    rows : (m,) int64
        Those asked about.
    radius_nm : float
        Radius in nm, closed.

    Returns
    -------
    (m,) int64
        Counts.
    """
    index = LabelledIndex.build(points_nm, np.zeros(len(points_nm), np.int8))
    radii = np.full(len(rows), radius_nm)
    return index.count_same(points_nm[rows], np.zeros(len(rows), np.int8), radii, _ALL)


def log_begin(counts: np.ndarray, law: Law, radius_nm: float) -> np.ndarray:
    """How likely another molecule begins near a detection: the time gap that links allow so scales with density.

    Parameters
    ----------
    counts : (n,) int64
        Detections within the radius.
    law : Law
        What was estimated.
    radius_nm : float
        The radius in nm.

    Returns
    -------
    (n,) float64
        Logarithm of molecules that begin a nm2 and frame, times the chance that one is not detected again.
    """
    alone = 1.0 - law.returns
    area = np.pi * radius_nm**2
    molecules = np.maximum(counts * alone - 1.0, 0.0) + law.per_nm2 * alone * area
    begin: np.ndarray = np.log(molecules / (area * law.frames)) + np.log(alone)
    return begin


def longest_link_nm(rule: FixedRule | Law, widest_nm: float) -> float:
    """No link is longer.

    Parameters
    ----------
    rule : FixedRule or Law
        The rule.
    widest_nm : float
        Largest spread of a detection in nm; unused by a fixed rule.

    Returns
    -------
    float
        In nm.
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
    index = LabelledIndex.build(seen.points_nm, np.zeros(len(seen.frame), np.int8))
    if isinstance(rule, FixedRule):
        reach = np.full(len(rows), rule.radius_nm)
        log_return = np.zeros(0)
    else:
        widest = float(seen.spread_nm.max())
        reach = FARTHEST * np.sqrt(seen.spread_nm[rows] ** 2 + widest**2) * (1 + 1e-9)
        log_return = rule.log_return()
    for query, other in index.pairs_same(seen.points_nm[rows], np.zeros(len(rows), np.int8), reach):
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
    apart2 = ((seen.points_nm[one] - seen.points_nm[other]) ** 2).sum(axis=1)
    variance = seen.spread_nm[one] ** 2 + seen.spread_nm[other] ** 2
    odds = log_return[np.minimum(gap, len(log_return) - 1)] - apart2 / (2 * variance) - np.log(2 * np.pi * variance)
    odds -= 0.5 * (seen.log_begin[one] + seen.log_begin[other])
    return np.where(apart2 <= FARTHEST**2 * variance, odds, -np.inf)
