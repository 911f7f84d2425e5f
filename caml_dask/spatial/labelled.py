"""A tree of localizations with their classes: the nearest of another class, those of one class within reach."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from caml_dask.spatial.blocks import BlockIndex
from caml_dask.spatial.searches import label_ranges, nearest_other, unite, within_reach

_ALL, _NONE = np.iinfo(np.int64).max, np.zeros(0, dtype=np.int64)
_PAIRS = 1 << 20  # pairs held at a time: where clusters are dense a reach holds very many


@dataclass(frozen=True)
class LabelledIndex:
    """Localizations in blocks, with their classes.

    Attributes
    ----------
    index : BlockIndex
        The blocks.
    labels : (n,) int8
        Class at each position.
    lowest, highest : (nodes,) int8
        Range of the classes below each node.
    """

    index: BlockIndex
    labels: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray

    @classmethod
    def build(cls, coordinates_nm: np.ndarray, labels: np.ndarray) -> LabelledIndex:
        """Sort localizations into blocks.

        Parameters
        ----------
        coordinates_nm : (n, d) float64
            Finite coordinates in nm, d of 2 or 3.
        labels : (n,) int8
            Class of each localization.

        Returns
        -------
        LabelledIndex
            The index.
        """
        return cls._over(BlockIndex.build(coordinates_nm), labels)

    @classmethod
    def of_sorted(cls, coordinates_nm: np.ndarray, labels: np.ndarray) -> LabelledIndex:
        """Index localizations that are in the order of an index built before, without sorting again.

        Parameters
        ----------
        coordinates_nm : (n, d) float64
            Finite coordinates in nm, in the order of positions of that index.
        labels : (n,) int8
            Class of each localization, in the same order.

        Returns
        -------
        LabelledIndex
            The index.
        """
        return cls._over(BlockIndex.of_sorted(coordinates_nm), labels)

    @classmethod
    def _over(cls, index: BlockIndex, labels: np.ndarray) -> LabelledIndex:
        by_position = np.asarray(labels, dtype=np.int8)[index.order]
        lowest = np.full(len(index.lower_nm), 127, dtype=np.int8)
        highest = np.full(len(index.lower_nm), -128, dtype=np.int8)
        label_ranges(by_position, index.depth, lowest, highest)
        return cls(index, by_position, lowest, highest)

    def _arrays(self) -> tuple[tuple[np.ndarray, ...], np.ndarray, np.ndarray, int, np.ndarray, np.ndarray, np.ndarray]:
        tree = self.index
        return (
            tuple(tree.points_nm),
            tree.lower_nm,
            tree.upper_nm,
            tree.depth,
            self.labels,
            self.lowest,
            self.highest,
        )

    def nearest_other_nm(self, points_nm: np.ndarray, labels: np.ndarray, bound_nm: np.ndarray) -> np.ndarray:
        """Distance to the nearest localization of another class.

        Parameters
        ----------
        points_nm : (m, d) float64
            Queries in nm.
        labels : (m,) int8
            Class of each query.
        bound_nm : (m,) float64
            Longest distance of interest in nm.

        Returns
        -------
        (m,) float64
            Distances in nm; inf where none is within the bound.
        """
        found = np.full(len(points_nm), np.inf)
        nearest_other(*self._arrays(), _by_axis(points_nm), labels, bound_nm, found)
        return found

    def count_same(self, points_nm: np.ndarray, labels: np.ndarray, reach_nm: np.ndarray, most: int) -> np.ndarray:
        """Count the localizations of a query's class within its reach, itself included where it is indexed.

        Parameters
        ----------
        points_nm : (m, d) float64
            Queries in nm.
        labels : (m,) int8
            Class of each query.
        reach_nm : (m,) float64
            Radius of each query in nm, closed; negative reaches nothing.
        most : int
            Counting stops early from there on: a count of `most` or more may be incomplete.

        Returns
        -------
        (m,) int64
            Counts.
        """
        counts = np.zeros(len(points_nm), dtype=np.int64)
        within_reach(*self._arrays(), _by_axis(points_nm), labels, reach_nm, most, counts, _NONE)
        return counts

    def pairs_same(
        self, points_nm: np.ndarray, labels: np.ndarray, reach_nm: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Every pair of a query and an indexed localization of its class within its reach, in batches.

        Parameters
        ----------
        points_nm : (m, d) float64
            Queries in nm.
        labels : (m,) int8
            Class of each query.
        reach_nm : (m,) float64
            Radius of each query in nm, closed; negative reaches nothing.

        Yields
        ------
        queries : (pairs,) int64
            Row of the query.
        rows : (pairs,) int64
            Row of the indexed localization.
        """
        counts = self.count_same(points_nm, labels, reach_nm, _ALL)
        batch = np.cumsum(counts) // _PAIRS
        for some in np.split(np.arange(len(counts)), np.flatnonzero(np.diff(batch)) + 1):
            queries = np.repeat(some, counts[some])
            positions = np.empty(len(queries), dtype=np.int64)
            asked = (_by_axis(points_nm[some]), labels[some], reach_nm[some])
            within_reach(*self._arrays(), *asked, _ALL, np.zeros_like(some), positions)
            yield queries, self.index.order[positions]

    def components(self, reach_nm: np.ndarray) -> np.ndarray:
        """Connected components of the links among the indexed localizations themselves.

        Parameters
        ----------
        reach_nm : (n,) float64
            Radius of each localization in nm, by row; negative where it links to nothing.

        Returns
        -------
        (n,) int64
            The smallest row of each localization's component.
        """
        parent = np.arange(self.index.n, dtype=np.int64)
        unite(*self._arrays(), reach_nm[self.index.order], parent)
        by_position = np.empty(self.index.n, dtype=np.int64)
        smallest = np.full(self.index.n, self.index.n, dtype=np.int64)
        np.minimum.at(smallest, parent, self.index.order)
        by_position[self.index.order] = smallest[parent]
        return by_position


def _by_axis(points_nm: np.ndarray) -> tuple[np.ndarray, ...]:
    """The columns of (n, d) localizations: kernels compiled for their number have loops over axes unrolled."""
    return tuple(np.ascontiguousarray(points_nm.T))
