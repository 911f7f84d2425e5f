"""From labels to clusters: reach, links, components, all free of any order (METHOD section 6).

For a clustered localization p, e(p) is the distance to the nearest localization of another class and w(p) the
distance to its N-th neighbor. Its reach is the closed ball that holds what is nearer than e(p) and within w(p); where
at least three of its class lie in it, p links to them all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numba import njit
from numba.extending import overload

from caml_dask.blocks import BlockIndex

LEAST_NEIGHBORS = 3
CUT_FACTOR = 2.0 * np.sqrt(3.0)
OUTLINE_FACTOR = 1.2
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
        _label_ranges(by_position, index.depth, lowest, highest)
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
        _nearest_other(*self._arrays(), _by_axis(points_nm), labels, bound_nm, found)
        return found

    def count_same(self, points_nm: np.ndarray, labels: np.ndarray, reach_nm: np.ndarray, most: int) -> np.ndarray:
        """Localizations of the same class within reach, itself included where it is indexed; counting stops at `most`.

        points_nm (m, d), labels (m,) and reach_nm (m,) to (m,) int64.
        """
        counts = np.zeros(len(points_nm), dtype=np.int64)
        _count_same(*self._arrays(), _by_axis(points_nm), labels, reach_nm, most, counts)
        return counts

    def pairs_same(
        self, points_nm: np.ndarray, labels: np.ndarray, reach_nm: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Every (query, indexed row) of one class within the query's reach: two (pairs,) int64, some at a time."""
        counts = self.count_same(points_nm, labels, reach_nm, np.iinfo(np.int64).max)
        batch = np.cumsum(counts) // _PAIRS
        for some in np.split(np.arange(len(counts)), np.flatnonzero(np.diff(batch)) + 1):
            queries = np.repeat(some, counts[some])
            positions = np.empty(len(queries), dtype=np.int64)
            _pairs_same(*self._arrays(), _by_axis(points_nm[some]), labels[some], reach_nm[some], positions)
            yield queries, self.index.order[positions]

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


def _at(points: tuple[np.ndarray, ...], i: int) -> tuple[np.floating, ...]:
    """Coordinates of localization `i` as a tuple, of columns x, y or x, y, z."""
    return tuple(column[i] for column in points)


@overload(_at)
def _at_compiled(points, i):  # type: ignore[no-untyped-def]
    if len(points) == 2:
        return lambda points, i: (points[0][i], points[1][i])
    return lambda points, i: (points[0][i], points[1][i], points[2][i])


@njit(cache=True, nogil=True)
def _box_d2(lower, upper, node, point):  # type: ignore[no-untyped-def]
    """Squared distance from a point to a node's box, a hair too short, so that rounding never hides a localization."""
    d2 = 0.0
    for a in range(len(point)):
        apart = max(lower[node, a] - point[a], point[a] - upper[node, a], 0.0)
        d2 += apart * apart
    return d2 * (1 - 1e-12)


@njit(cache=True, nogil=True)
def _holds_box(lower, upper, node, point, reach):  # type: ignore[no-untyped-def]
    """Whether a ball holds the whole of a node's box, with a hair to spare."""
    d2 = 0.0
    for a in range(len(point)):
        apart = max(point[a] - lower[node, a], upper[node, a] - point[a])
        d2 += apart * apart
    return d2 * (1 + 1e-12) < reach * reach


@njit(cache=True, nogil=True)
def _distance(points, i, point):  # type: ignore[no-untyped-def]
    d2 = 0.0
    for a in range(len(point)):
        d2 += (points[a][i] - point[a]) ** 2
    return np.sqrt(d2)


@njit(cache=True, nogil=True)
def _push_children(lower, upper, node, point, stack, top):  # type: ignore[no-untyped-def]
    """Put both children of a node on the stack, the one nearer to the point on top."""
    near, far = 2 * node + 1, 2 * node + 2
    if _box_d2(lower, upper, far, point) < _box_d2(lower, upper, near, point):
        near, far = far, near
    stack[top] = far
    stack[top + 1] = near
    return top + 2


@njit(cache=True, nogil=True)
def _nearest_other(points, lower, upper, depth, labels, lowest, highest, queries, query_labels, bound, found):  # type: ignore[no-untyped-def]
    n = len(labels)
    first_leaf = (1 << depth) - 1
    stack = np.empty(depth + 2, np.int64)
    for q in range(len(query_labels)):
        point, label = _at(queries, q), query_labels[q]
        best = bound[q]
        if q > 0 and query_labels[q - 1] == label and found[q - 1] < np.inf:
            # no farther than by way of the query before, which mostly lies close by
            best = min(best, (found[q - 1] + _distance(queries, q - 1, point)) * (1 + 1e-12))
        stack[0] = 0
        top = 1
        while top > 0:
            top -= 1
            node = stack[top]
            if lowest[node] == label and highest[node] == label:
                continue
            if _box_d2(lower, upper, node, point) > best * best:
                continue
            if node < first_leaf:
                top = _push_children(lower, upper, node, point, stack, top)
                continue
            leaf = node - first_leaf
            for i in range((n * leaf) >> depth, (n * (leaf + 1)) >> depth):
                if labels[i] != label:
                    d = _distance(points, i, point)
                    if d <= best:
                        best = d
                        found[q] = d


@njit(cache=True, nogil=True)
def _count_same(points, lower, upper, depth, labels, lowest, highest, queries, query_labels, reach, most, counts):  # type: ignore[no-untyped-def]
    n = len(labels)
    first_leaf = (1 << depth) - 1
    stack = np.empty(depth + 2, np.int64)
    for q in range(len(query_labels)):
        if reach[q] < 0.0:
            continue
        point, label, reach2 = _at(queries, q), query_labels[q], reach[q] * reach[q]
        stack[0] = 0
        top = 1
        while top > 0 and counts[q] < most:
            top -= 1
            node = stack[top]
            if lowest[node] > label or highest[node] < label or _box_d2(lower, upper, node, point) > reach2:
                continue
            if node < first_leaf:
                top = _push_children(lower, upper, node, point, stack, top)
                continue
            leaf = node - first_leaf
            for i in range((n * leaf) >> depth, (n * (leaf + 1)) >> depth):
                if labels[i] == label and _distance(points, i, point) <= reach[q]:
                    counts[q] += 1


@njit(cache=True, nogil=True)
def _pairs_same(points, lower, upper, depth, labels, lowest, highest, queries, query_labels, reach, positions):  # type: ignore[no-untyped-def]
    n = len(labels)
    first_leaf = (1 << depth) - 1
    stack = np.empty(depth + 2, np.int64)
    k = 0
    for q in range(len(query_labels)):
        if reach[q] < 0.0:
            continue
        point, label, reach2 = _at(queries, q), query_labels[q], reach[q] * reach[q]
        stack[0] = 0
        top = 1
        while top > 0:
            top -= 1
            node = stack[top]
            if lowest[node] > label or highest[node] < label or _box_d2(lower, upper, node, point) > reach2:
                continue
            if node < first_leaf:
                top = _push_children(lower, upper, node, point, stack, top)
                continue
            leaf = node - first_leaf
            for i in range((n * leaf) >> depth, (n * (leaf + 1)) >> depth):
                if labels[i] == label and _distance(points, i, point) <= reach[q]:
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
    """Components by disjoint sets; in time near-linear also where a reach holds very many.

    A node of one class whose localizations are known to share a component is never entered again: its first
    localization stands for all.
    """
    n = len(labels)
    first_leaf = (1 << depth) - 1
    one = np.zeros(len(lower), np.bool_)  # nodes whose localizations share a component
    stack = np.empty(depth + 2, np.int64)
    starts = np.empty(len(lower), np.int64)
    for level in range(depth + 1):
        for j in range(1 << level):
            starts[(1 << level) - 1 + j] = (n * j) >> level
    for p in range(n):
        if reach[p] < 0.0:
            continue
        point, label, reach2 = _at(points, p), labels[p], reach[p] * reach[p]
        own = _root(parent, p)
        stack[0] = 0
        top = 1
        while top > 0:
            top -= 1
            node = stack[top]
            if lowest[node] > label or highest[node] < label or _box_d2(lower, upper, node, point) > reach2:
                continue
            pure = lowest[node] == highest[node]
            if one[node]:
                other = _root(parent, starts[node])
                if other == own:
                    continue
                if _holds_box(lower, upper, node, point, reach[p]):
                    own, other = min(own, other), max(own, other)
                    parent[other] = own
                    continue
            if node < first_leaf:
                left, right = 2 * node + 1, 2 * node + 2
                if pure and one[left] and one[right] and not one[node]:
                    one[node] = _root(parent, starts[left]) == _root(parent, starts[right])
                stack[top] = right
                stack[top + 1] = left
                top += 2
                continue
            leaf = node - first_leaf
            whole = pure
            for i in range(starts[node], (n * (leaf + 1)) >> depth):
                if labels[i] == label and parent[i] != own:
                    other = _root(parent, i)
                    if other != own:
                        if _distance(points, i, point) <= reach[p]:
                            own, other = min(own, other), max(own, other)
                            parent[other] = own
                        else:
                            whole = False
            one[node] = one[node] or whole
    for p in range(n):
        parent[p] = _root(parent, p)
