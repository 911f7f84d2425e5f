"""What is counted of a region: pairs by distance, and nearest neighbors by theirs. All of it are integers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from caml_dask.describing.pairs import FloatArray, IntArray, Pairs, rings_of
from caml_dask.describing.window import Border


@dataclass(frozen=True, eq=False)
class Rings:
    """Rings of distance.

    Attributes
    ----------
    step_nm : float
        Width of a ring, in nm.
    number : int
        How many.
    """

    step_nm: float
    number: int

    @property
    def radii_nm(self) -> FloatArray:
        """(number,) float64 outer radius of each ring, in nm."""
        return np.arange(1, self.number + 1) * np.float64(self.step_nm)

    @property
    def most_nm(self) -> float:
        """The largest of them, in nm."""
        return self.number * self.step_nm

    def counted(self, distance_nm: FloatArray) -> IntArray:
        """(number + 1,) int64 distances in each ring, and beyond all."""
        return np.bincount(rings_of(distance_nm, self.step_nm, self.number), minlength=self.number + 1)


@dataclass(frozen=True, eq=False)
class Counts:
    """Counts of a region, or of a part of its localizations.

    Attributes
    ----------
    n : int
        Localizations.
    pairs : (rings,) int64
        Pairs of localizations, each once, by the ring of their distance.
    nearest : (rings + 1,) int64
        Localizations whose nearest neighbor is no farther than the border of the region, by the ring of its distance.
    seen : (rings + 1,) int64
        Localizations by the ring of the distance to the nearest neighbor or to the border, whichever is smaller.
    repeated : int
        Localizations that share their coordinates with another.
    """

    n: int
    pairs: IntArray
    nearest: IntArray
    seen: IntArray
    repeated: int

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.n + other.n,
            self.pairs + other.pairs,
            self.nearest + other.nearest,
            self.seen + other.seen,
            self.repeated + other.repeated,
        )


def nearest_among(points_nm: FloatArray) -> FloatArray:
    """Distance from each localization to the nearest other one.

    Parameters
    ----------
    points_nm : (n, 2) float64
        The localizations, in nm.

    Returns
    -------
    (n,) float64
        Distances in nm; infinite where there is no other.
    """
    if not len(points_nm):
        return np.zeros(0)
    found: FloatArray = cKDTree(points_nm, balanced_tree=False).query(points_nm, k=2)[0][:, 1]
    return found


def lower_to_others(nearest_nm: FloatArray, points_nm: FloatArray, others_nm: FloatArray) -> None:
    """Lower distances to the nearest neighbor where one of others is nearer.

    Parameters
    ----------
    nearest_nm : (n,) float64
        The distances in nm, which are changed.
    points_nm : (n, 2) float64
        The localizations, in nm.
    others_nm : (m, 2) float64
        The others, in nm.
    """
    if not (len(points_nm) and len(others_nm)):
        return
    beyond = np.maximum(np.maximum(others_nm.min(axis=0) - points_nm, points_nm - others_nm.max(axis=0)), 0.0)
    near = np.flatnonzero(np.hypot(*beyond.T) * (1 - 1e-9) <= nearest_nm)
    found = cKDTree(others_nm, balanced_tree=False).query(points_nm[near])[0]
    nearest_nm[near] = np.minimum(nearest_nm[near], found)


def counts_of(pairs: IntArray, nearest_nm: FloatArray, border_nm: FloatArray, rings: Rings) -> Counts:
    """Put what was found of localizations into rings.

    Parameters
    ----------
    pairs : (rings,) int64
        As :class:`Pairs` counts them.
    nearest_nm, border_nm : (n,) float64
        Distance from each localization to its nearest neighbor and to the border, in nm.
    rings : Rings
        Rings of distance.

    Returns
    -------
    Counts
        The counts.
    """
    whole = nearest_nm <= border_nm
    return Counts(
        len(nearest_nm),
        pairs,
        rings.counted(nearest_nm[whole]),
        rings.counted(np.minimum(nearest_nm, border_nm)),
        int(np.count_nonzero(nearest_nm == 0)),
    )


def counts_within(points_nm: FloatArray, border: Border, rings: Rings, near: Rings | None = None) -> Counts:
    """Counts of localizations that are all at hand.

    Parameters
    ----------
    points_nm : (n, 2) float64
        The localizations of a region, in nm.
    border : Border
        Its border.
    rings : Rings
        Rings of the distances of pairs.
    near : Rings, optional
        As many rings, of the distances of nearest neighbors, where they are others.

    Returns
    -------
    Counts
        The counts.
    """
    pairs = Pairs.build(points_nm, rings.step_nm, rings.number).among()
    return counts_of(pairs, nearest_among(points_nm), border.distances(points_nm), near or rings)
