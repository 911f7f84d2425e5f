"""From labels to clusters: reach, links, components, all free of any order (METHOD section 6).

For a clustered localization p, e(p) is the distance to the nearest localization of another class and w(p) the
distance to its N-th neighbor. Its reach is the closed ball that holds what is nearer than e(p) and within w(p); where
at least three of its class lie in it, p links to them all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from caml_dask.blocks import BlockIndex

LEAST_NEIGHBORS = 3
CUT_FACTOR = 2.0 * np.sqrt(3.0)
OUTLINE_FACTOR = 1.2


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
        index = BlockIndex.build(coordinates_nm)
        by_position = np.asarray(labels, dtype=np.int8)[index.order]
        lowest = np.full(len(index.lower_nm), 127, dtype=np.int8)
        highest = np.full(len(index.lower_nm), -128, dtype=np.int8)
        _label_ranges(by_position, index.depth, lowest, highest)
        return cls(index, by_position, lowest, highest)

    def _arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, int, np.ndarray, np.ndarray, np.ndarray]:
        tree = self.index
        return (
            tree.points_nm,
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
        _nearest_other(*self._arrays(), np.ascontiguousarray(points_nm), labels, bound_nm, found)
        return found

    def count_same(self, points_nm: np.ndarray, labels: np.ndarray, reach_nm: np.ndarray, most: int) -> np.ndarray:
        """Localizations of the same class within reach, itself included where it is indexed; counting stops at `most`.

        points_nm (m, d), labels (m,) and reach_nm (m,) to (m,) int64.
        """
        counts = np.zeros(len(points_nm), dtype=np.int64)
        _count_same(*self._arrays(), np.ascontiguousarray(points_nm), labels, reach_nm, most, counts)
        return counts

    def pairs_same(
        self, points_nm: np.ndarray, labels: np.ndarray, reach_nm: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Every (query, indexed row) of one class within the query's reach: two (pairs,) int64."""
        counts = self.count_same(points_nm, labels, reach_nm, np.iinfo(np.int64).max)
        queries = np.repeat(np.arange(len(points_nm)), counts)
        positions = np.empty(len(queries), dtype=np.int64)
        _pairs_same(*self._arrays(), np.ascontiguousarray(points_nm), labels, reach_nm, positions)
        return queries, self.index.order[positions]

    def components(self, reach_nm: np.ndarray) -> np.ndarray:
        """Connected components of the links among the indexed localizations themselves.

        reach_nm : (n,) float64 by row; negative where a localization links to nothing.
        Returns (n,) int64: the smallest row of each one's component.
        """
        parent = np.arange(self.index.n, dtype=np.int64)
        _unite(*self._arrays(), reach_nm[self.index.order], parent)
        by_position = np.empty(self.index.n, dtype=np.int64)
        smallest = np.full(self.index.n, self.index.n, dtype=np.int64)
        np.minimum.at(smallest, parent, self.index.order)
        by_position[self.index.order] = smallest[parent]
        return by_position


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


@njit(cache=True, nogil=True)
def _label_ranges(labels, depth, lowest, highest):  # type: ignore[no-untyped-def]
    n = len(labels)
    first_leaf = (1 << depth) - 1
    for leaf in range(1 << depth):
        for i in range((n * leaf) >> depth, (n * (leaf + 1)) >> depth):
            lowest[first_leaf + leaf] = min(lowest[first_leaf + leaf], labels[i])
            highest[first_leaf + leaf] = max(highest[first_leaf + leaf], labels[i])
    for node in range(first_leaf - 1, -1, -1):
        lowest[node] = min(lowest[2 * node + 1], lowest[2 * node + 2])
        highest[node] = max(highest[2 * node + 1], highest[2 * node + 2])


@njit(cache=True, nogil=True)
def _box_distance(lower, upper, node, point):  # type: ignore[no-untyped-def]
    """Distance from a point to a node's box, a hair too short, so that rounding never hides a localization."""
    d2 = 0.0
    for a in range(len(point)):
        apart = max(lower[node, a] - point[a], point[a] - upper[node, a], 0.0)
        d2 += apart * apart
    return np.sqrt(d2) * (1 - 1e-12)


@njit(cache=True, nogil=True)
def _distance(points, i, point):  # type: ignore[no-untyped-def]
    d2 = 0.0
    for a in range(len(point)):
        d2 += (points[a, i] - point[a]) ** 2
    return np.sqrt(d2)


@njit(cache=True, nogil=True)
def _nearest_other(points, lower, upper, depth, labels, lowest, highest, queries, query_labels, bound, found):  # type: ignore[no-untyped-def]
    n = len(labels)
    first_leaf = (1 << depth) - 1
    stack = np.empty(depth + 2, np.int64)
    for q in range(len(queries)):
        point, label = queries[q], query_labels[q]
        best = bound[q]
        stack[0] = 0
        top = 1
        while top > 0:
            top -= 1
            node = stack[top]
            if lowest[node] == label and highest[node] == label:
                continue
            if _box_distance(lower, upper, node, point) > best:
                continue
            if node < first_leaf:
                near, far = 2 * node + 1, 2 * node + 2
                if _box_distance(lower, upper, far, point) < _box_distance(lower, upper, near, point):
                    near, far = far, near
                stack[top] = far
                stack[top + 1] = near
                top += 2
                continue
            leaf = node - first_leaf
            for i in range((n * leaf) >> depth, (n * (leaf + 1)) >> depth):
                if labels[i] != label:
                    d = _distance(points, i, point)
                    if d <= best:
                        best = d
                        found[q] = d


@njit(cache=True, nogil=True)
def _within(lower, upper, depth, lowest, highest, point, label, reach, leaves):  # type: ignore[no-untyped-def]
    """Leaves that may hold localizations of `label` within `reach` of `point`; how many."""
    first_leaf = (1 << depth) - 1
    stack = np.empty(depth + 2, np.int64)
    stack[0] = 0
    top, m = 1, 0
    while top > 0:
        top -= 1
        node = stack[top]
        if lowest[node] > label or highest[node] < label:
            continue
        if _box_distance(lower, upper, node, point) > reach:
            continue
        if node < first_leaf:
            stack[top] = 2 * node + 2
            stack[top + 1] = 2 * node + 1
            top += 2
        else:
            leaves[m] = node - first_leaf
            m += 1
    return m


@njit(cache=True, nogil=True)
def _count_same(points, lower, upper, depth, labels, lowest, highest, queries, query_labels, reach, most, counts):  # type: ignore[no-untyped-def]
    n = len(labels)
    leaves = np.empty(1 << depth, np.int64)
    for q in range(len(queries)):
        if reach[q] < 0.0:
            continue
        m = _within(lower, upper, depth, lowest, highest, queries[q], query_labels[q], reach[q], leaves)
        for leaf in leaves[:m]:
            for i in range((n * leaf) >> depth, (n * (leaf + 1)) >> depth):
                if labels[i] == query_labels[q] and _distance(points, i, queries[q]) <= reach[q]:
                    counts[q] += 1
            if counts[q] >= most:
                break


@njit(cache=True, nogil=True)
def _pairs_same(points, lower, upper, depth, labels, lowest, highest, queries, query_labels, reach, positions):  # type: ignore[no-untyped-def]
    n = len(labels)
    leaves = np.empty(1 << depth, np.int64)
    k = 0
    for q in range(len(queries)):
        if reach[q] < 0.0:
            continue
        m = _within(lower, upper, depth, lowest, highest, queries[q], query_labels[q], reach[q], leaves)
        for leaf in leaves[:m]:
            for i in range((n * leaf) >> depth, (n * (leaf + 1)) >> depth):
                if labels[i] == query_labels[q] and _distance(points, i, queries[q]) <= reach[q]:
                    positions[k] = i
                    k += 1


@njit(cache=True, nogil=True)
def _root(parent, i):  # type: ignore[no-untyped-def]
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit(cache=True, nogil=True)
def _unite(points, lower, upper, depth, labels, lowest, highest, reach, parent):  # type: ignore[no-untyped-def]
    n = len(labels)
    leaves = np.empty(1 << depth, np.int64)
    point = np.empty(points.shape[0])
    for p in range(n):
        if reach[p] < 0.0:
            continue
        for a in range(len(point)):
            point[a] = points[a, p]
        m = _within(lower, upper, depth, lowest, highest, point, labels[p], reach[p], leaves)
        own = _root(parent, p)
        for leaf in leaves[:m]:
            for i in range((n * leaf) >> depth, (n * (leaf + 1)) >> depth):
                if labels[i] == labels[p] and parent[i] != own and _distance(points, i, point) <= reach[p]:
                    other = _root(parent, i)
                    if other < own:
                        own, other = other, own
                    parent[other] = own
    for p in range(n):
        parent[p] = _root(parent, p)
