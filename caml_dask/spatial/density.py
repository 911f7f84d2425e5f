"""Dense localizations and their links within one radius: the searches of DBSCAN and its kin, exact and bounded.

A distance counts as within the radius if its square, as float64 sums it axis by axis, is at most that of the radius.
The squares for the corners of a box are sums of the same form, and rounding keeps order: what they say of all
localizations in a box holds for each of them to the bit, with no margin. So a node of the tree that lies within the
radius is counted whole, and one whose box is no wider is a clique that is linked at once: a hot spot costs no more than
its surroundings.
"""

from __future__ import annotations

import numpy as np

from caml_dask.compiled import njit
from caml_dask.spatial.blocks import BlockIndex
from caml_dask.spatial.nearest_place import arrays, least_square, nearest_place, square


def dense(index: BlockIndex, asked: int, radius_nm: float, least: int) -> np.ndarray:
    """Which localizations have at least so many within the radius, themselves among them.

    Parameters
    ----------
    index : BlockIndex
        All localizations that may be within the radius of those asked for.
    asked : int
        The first so many rows of the index are asked for.
    radius_nm : float
        Radius in nm, closed.
    least : int
        Localizations; counting stops there.

    Returns
    -------
    (asked,) bool
        Whether each row is dense.
    """
    found = np.zeros(asked, np.bool_)
    clique = cliques(index, radius_nm)
    _dense(*arrays(index), index.order, clique, np.bincount(clique, minlength=index.n), radius_nm**2, least, found)
    return found


def cliques(index: BlockIndex, radius_nm: float) -> np.ndarray:
    """Groups of localizations that all lie within the radius of each other: the largest nodes of the tree that do.

    Parameters
    ----------
    index : BlockIndex
        The localizations.
    radius_nm : float
        Radius in nm, closed.

    Returns
    -------
    (n,) int64
        By position, the first position of its group; a localization may be alone in it.
    """
    clique = np.arange(index.n, dtype=np.int64)
    _cliques(*arrays(index), radius_nm**2, clique, np.zeros(len(index.lower_nm), np.bool_))
    return clique


def linked(index: BlockIndex, radius_nm: float) -> np.ndarray:
    """Connected components of localizations that are linked within the radius.

    Parameters
    ----------
    index : BlockIndex
        The localizations.
    radius_nm : float
        Radius in nm, closed.

    Returns
    -------
    (n,) int64
        By row, the smallest row of its component.
    """
    parent = np.arange(index.n, dtype=np.int64)
    unite_dense(*arrays(index), radius_nm**2, parent)
    smallest = np.full(index.n, index.n, dtype=np.int64)
    np.minimum.at(smallest, parent, index.order)
    component = np.empty(index.n, dtype=np.int64)
    component[index.order] = smallest[parent]
    return component


def nearest_within(index: BlockIndex, points_nm: np.ndarray, radius_nm: float) -> np.ndarray:
    """The nearest localization within the radius; of those equally far, the one with the smallest x, then y, then z.

    Parameters
    ----------
    index : BlockIndex
        The localizations.
    points_nm : (m, d) float64
        Places in nm to look around.
    radius_nm : float
        Radius in nm, closed.

    Returns
    -------
    (m,) int64
        Its row, that of any of those at one place; -1 where none is within the radius.
    """
    found = np.full(len(points_nm), -1, dtype=np.int64)
    _nearest(*arrays(index), np.ascontiguousarray(points_nm), radius_nm**2, found)
    found[found >= 0] = index.order[found[found >= 0]]
    return found


@njit()
def _most_square(lower, upper, node, point):  # type: ignore[no-untyped-def]
    """Square of the distance from a point to the farthest corner of a node's box: none is farther."""
    d2 = 0.0
    for a in range(lower.shape[1]):
        apart = max(point[a] - lower[node, a], upper[node, a] - point[a])
        d2 += apart * apart
    return d2


@njit()
def _cliques(points, lower, upper, depth, radius2, clique, whole):  # type: ignore[no-untyped-def]
    """Mark nodes no wider than the radius, and give their positions the first one of the uppermost of them."""
    n = len(points)
    for level in range(depth + 1):
        for j in range(1 << level):
            node = (1 << level) - 1 + j
            if node > 0 and whole[(node - 1) >> 1]:
                whole[node] = True
            elif square(upper, node, lower[node]) <= radius2:
                whole[node] = True
                start = (n * j) >> level
                for i in range(start, (n * (j + 1)) >> level):
                    clique[i] = start


@njit()
def _dense(points, lower, upper, depth, order, clique, size, radius2, least, found):  # type: ignore[no-untyped-def]
    n = len(points)
    first_leaf = (1 << depth) - 1
    nodes, levels = np.empty(depth + 2, np.int64), np.empty(depth + 2, np.int64)
    for p in range(n):
        if order[p] >= len(found):
            continue
        count = 0
        if size[clique[p]] >= least:
            count = least
        point = points[p]
        nodes[0], levels[0], top = 0, 0, 1
        while top > 0 and count < least:
            top -= 1
            node, level = nodes[top], levels[top]
            if least_square(lower, upper, node, point) > radius2:
                continue
            j = node + 1 - (1 << level)
            start, stop = (n * j) >> level, (n * (j + 1)) >> level
            if _most_square(lower, upper, node, point) <= radius2:
                count += stop - start
            elif node < first_leaf:
                for child in (2 * node + 1, 2 * node + 2):
                    nodes[top], levels[top] = child, level + 1
                    top += 1
            else:
                for i in range(start, stop):
                    count += square(points, i, point) <= radius2
        found[order[p]] = count >= least


@njit()
def _root(parent, i):  # type: ignore[no-untyped-def]
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit()
def unite_dense(points, lower, upper, depth, radius2, parent):  # type: ignore[no-untyped-def]
    """Disjoint sets of linked positions. A node whose localizations are known to share a set is entered by those of
    others alone, and only where a part of it is within their radius."""
    n = len(points)
    first_leaf = (1 << depth) - 1
    one = np.zeros(len(lower), np.bool_)
    _cliques(points, lower, upper, depth, radius2, parent, one)
    nodes, levels = np.empty(depth + 2, np.int64), np.empty(depth + 2, np.int64)
    for p in range(n):
        point, own = points[p], _root(parent, p)
        nodes[0], levels[0], top = 0, 0, 1
        while top > 0:
            top -= 1
            node, level = nodes[top], levels[top]
            j = node + 1 - (1 << level)
            start, stop = (n * j) >> level, (n * (j + 1)) >> level
            # a link is found from its first position
            if stop <= p + 1 or least_square(lower, upper, node, point) > radius2:
                continue
            if one[node]:
                other = _root(parent, start)
                if other == own:
                    continue
                if _most_square(lower, upper, node, point) <= radius2:
                    own, other = min(own, other), max(own, other)
                    parent[other] = own
                    continue
            if node < first_leaf:
                left, right = 2 * node + 1, 2 * node + 2
                if one[left] and one[right] and not one[node]:
                    middle = (n * (2 * j + 1)) >> (level + 1)
                    one[node] = _root(parent, start) == _root(parent, middle)
                for child in (right, left):
                    nodes[top], levels[top] = child, level + 1
                    top += 1
                continue
            whole = True
            for i in range(start, stop):
                other = _root(parent, i)
                if other != own:
                    if i > p and square(points, i, point) <= radius2:
                        own, other = min(own, other), max(own, other)
                        parent[other] = own
                    else:
                        whole = False
            one[node] = one[node] or whole
    for p in range(n):
        parent[p] = _root(parent, p)


@njit()
def _nearest(points, lower, upper, depth, queries, radius2, found):  # type: ignore[no-untyped-def]
    stack = np.empty(depth + 2, np.int64)
    for q in range(len(queries)):
        found[q], _ = nearest_place(points, lower, upper, depth, queries[q], radius2, -1, stack)
