"""From labels to clusters: reach, links, components, all free of any order (DESIGN section 6).

For a clustered localization p, e(p) is the distance to the nearest localization of another class and w(p) the
distance to its N-th neighbor. Its reach is the closed ball that holds what is nearer than e(p) and within w(p); where
at least three of its class lie in it, p links to them all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numba import njit

from caml_dask.blocks import BlockIndex
from caml_dask.searches import label_ranges, nearest_other, unite, within_reach

LEAST_NEIGHBORS = 3
CUT_FACTOR = 2.0 * np.sqrt(3.0)
OUTLINE_FACTOR = 1.2
_ALL, _NONE = np.iinfo(np.int64).max, np.zeros(0, dtype=np.int64)
_PAIRS = 1 << 20  # pairs held at a time: where clusters are dense a reach holds very many


@dataclass(frozen=True)
class LabelledIndex:
    """Localizations in blocks, with their classes.

    index : the blocks
    labels : (n,) int8 by position
    lowest, highest : (nodes,) int8, range of the classes below a node
    """

    index: BlockIndex
    labels: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray

    @classmethod
    def build(cls, coordinates_nm: np.ndarray, labels: np.ndarray) -> LabelledIndex:
        """Sort localizations, (n, d) float64 with classes (n,) int8, into blocks."""
        return cls._over(BlockIndex.build(coordinates_nm), labels)

    @classmethod
    def of_sorted(cls, coordinates_nm: np.ndarray, labels: np.ndarray) -> LabelledIndex:
        """As :meth:`build`, of localizations that stand in the order of an index built before."""
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
        """Distance to the nearest localization of another class, where no longer than the bound; else inf.

        points_nm (m, d), labels (m,) and bound_nm (m,) to (m,) float64.
        """
        found = np.full(len(points_nm), np.inf)
        nearest_other(*self._arrays(), _by_axis(points_nm), labels, bound_nm, found)
        return found

    def count_same(self, points_nm: np.ndarray, labels: np.ndarray, reach_nm: np.ndarray, most: int) -> np.ndarray:
        """Localizations of the same class within reach, itself included where it is indexed; counting stops at `most`.

        points_nm (m, d), labels (m,) and reach_nm (m,) to (m,) int64.
        """
        counts = np.zeros(len(points_nm), dtype=np.int64)
        within_reach(*self._arrays(), _by_axis(points_nm), labels, reach_nm, most, counts, _NONE)
        return counts

    def pairs_same(
        self, points_nm: np.ndarray, labels: np.ndarray, reach_nm: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Every (query, indexed row) of one class within the query's reach: two (pairs,) int64, some at a time."""
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

        reach_nm : (n,) float64 by row; negative where a localization links to nothing.
        Returns (n,) int64: the smallest row of each one's component.
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


def reach_nm(other_nm: np.ndarray, window_nm: np.ndarray) -> np.ndarray:
    """Radius of the closed ball that is a localization's reach: just below e(p), or w(p) where the window is saturated.

    other_nm : (n,) float64, e(p), inf where no localization of another class lies within w(p)
    window_nm : (n,) float64, w(p)
    """
    return np.where(other_nm <= window_nm, np.nextafter(other_nm, -np.inf), window_nm)


def merge(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Connected components of an edge list between ids.

    first, second : (m,) uint64, the ids at the ends of each edge.
    Returns the distinct ids, ascending, and for each the smallest id of its component.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ids, ends = np.unique(np.concatenate([first, second]), return_inverse=True)
    a, b = ends[: len(first)], ends[len(first) :]
    graph = coo_array((np.ones(len(a), dtype=np.int8), (a, b)), shape=(len(ids), len(ids)))
    count, component = connected_components(graph, directed=False)
    smallest = np.full(count, len(ids), dtype=np.int64)
    np.minimum.at(smallest, component, np.arange(len(ids)))
    return ids, ids[smallest[component]]


def exact_sums(values: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums of groups without rounding, each as a few floats whose exact sum it is (Shewchuk 1997).

    values : (n,) float64, finite; starts : (g + 1,) int64, group i is ``values[starts[i]:starts[i + 1]]``.
    Returns the floats of all groups one after another, and the (g + 1,) offsets of each group's. ``math.fsum`` over
    the floats of several parts of one cluster gives the same bits however the cluster was parted.
    """
    partials = np.empty(len(values) + 1)
    offsets = np.zeros(len(starts), dtype=np.int64)
    used = _exact_sums(np.asarray(values, dtype=np.float64), starts, partials, offsets)
    return partials[:used].copy(), offsets


@njit(cache=True, nogil=True)
def _exact_sums(values, starts, partials, offsets):  # type: ignore[no-untyped-def]
    used = 0
    for g in range(len(starts) - 1):
        first = used
        for i in range(starts[g], starts[g + 1]):
            x = values[i]
            kept = first
            for j in range(first, used):
                y = partials[j]
                if abs(x) < abs(y):
                    x, y = y, x
                high = x + y
                low = y - (high - x)
                if low != 0.0:
                    partials[kept] = low
                    kept += 1
                x = high
            partials[kept] = x
            used = kept + 1
        offsets[g + 1] = used
    return used
