"""Compiled searches among localizations in labelled blocks: the kernels of ``LabelledIndex``.

They take the arrays of the index, then localizations to ask for. Coordinates come as a column an axis, so that a kernel
is compiled for 2 or 3 of them and its loops over axes are unrolled; boxes and ranges of classes come a node.
"""

from __future__ import annotations

import numpy as np
from numba.extending import overload

from caml_dask.compiled import njit


@njit()
def label_ranges(labels, depth, lowest, highest):  # type: ignore[no-untyped-def]
    """Find the lowest and the highest class below each node (compiled).

    Parameters
    ----------
    labels : (n,) int8
        Class at each position.
    depth : int
        Levels below the root.
    lowest, highest : (nodes,) int8
        Input: the highest and the lowest int8; output: range of the classes below each node.
    """
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


@njit()
def _box_d2(lower, upper, node, point):  # type: ignore[no-untyped-def]
    """Squared distance from a point to a node's box, a hair too short, so that rounding never hides a localization."""
    d2 = 0.0
    for a in range(len(point)):
        apart = max(lower[node, a] - point[a], point[a] - upper[node, a], 0.0)
        d2 += apart * apart
    return d2 * (1 - 1e-12)


@njit()
def _holds_box(lower, upper, node, point, reach):  # type: ignore[no-untyped-def]
    """Whether a ball holds the whole of a node's box, with a hair to spare."""
    d2 = 0.0
    for a in range(len(point)):
        apart = max(point[a] - lower[node, a], upper[node, a] - point[a])
        d2 += apart * apart
    return d2 * (1 + 1e-12) < reach * reach


@njit()
def _distance(points, i, point):  # type: ignore[no-untyped-def]
    d2 = 0.0
    for a in range(len(point)):
        d2 += (points[a][i] - point[a]) ** 2
    return np.sqrt(d2)


@njit()
def _push_children(lower, upper, node, point, stack, top):  # type: ignore[no-untyped-def]
    """Put both children of a node on the stack, the one nearer to the point on top."""
    near, far = 2 * node + 1, 2 * node + 2
    if _box_d2(lower, upper, far, point) < _box_d2(lower, upper, near, point):
        near, far = far, near
    stack[top] = far
    stack[top + 1] = near
    return top + 2


@njit()
def nearest_other(points, lower, upper, depth, labels, lowest, highest, queries, query_labels, bound, found):  # type: ignore[no-untyped-def]
    """Find the distance from each query to the nearest localization of another class (compiled).

    Parameters
    ----------
    points, lower, upper, depth, labels, lowest, highest
        Arrays of a :class:`LabelledIndex`, coordinates a column an axis.
    queries : tuple of d (m,) float64
        Coordinates of the queries in nm.
    query_labels : (m,) int8
        Class of each query.
    bound : (m,) float64
        Longest distance of interest in nm.
    found : (m,) float64
        Input: inf; output: distance in nm, where one is within the bound.
    """
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


@njit()
def within_reach(  # type: ignore[no-untyped-def]
    points, lower, upper, depth, labels, lowest, highest, queries, query_labels, reach, most, counts, positions
):
    """Count and list the localizations of a query's class within its reach (compiled).

    Parameters
    ----------
    points, lower, upper, depth, labels, lowest, highest
        Arrays of a :class:`LabelledIndex`, coordinates a column an axis.
    queries : tuple of d (m,) float64
        Coordinates of the queries in nm.
    query_labels : (m,) int8
        Class of each query.
    reach : (m,) float64
        Radius of each query in nm, closed; negative reaches nothing.
    most : int
        The search of a query ends once its count reaches it.
    counts : (m,) int64
        Input: 0; output: the counts.
    positions : (p,) int64
        Output: positions found, query by query, as many as it can hold.
    """
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
                    if k < len(positions):
                        positions[k] = i
                        k += 1


@njit()
def _root(parent, i):  # type: ignore[no-untyped-def]
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit()
def unite(points, lower, upper, depth, labels, lowest, highest, reach, parent):  # type: ignore[no-untyped-def]
    """Find components by disjoint sets, in near-linear time even where a reach holds many localizations (compiled).

    A node of one class whose localizations are known to share a component is never entered again: its first
    localization represents all.

    Parameters
    ----------
    points, lower, upper, depth, labels, lowest, highest
        Arrays of a :class:`LabelledIndex`, coordinates a column an axis.
    reach : (n,) float64
        Radius of each position in nm, closed; negative links to nothing.
    parent : (n,) int64
        Input: 0 to n - 1; output: one position of the component of each position.
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
