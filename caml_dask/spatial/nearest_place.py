"""Distances to the boxes of a block index, and the localization nearest to a place: for kernels that search."""

from __future__ import annotations

import numpy as np

from caml_dask.compiled import njit
from caml_dask.spatial.blocks import BlockIndex


def arrays(index: BlockIndex) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """An index as kernels here take it.

    Parameters
    ----------
    index : BlockIndex
        The index.

    Returns
    -------
    points_nm : (n, d) float64
        Coordinates by position.
    lower_nm, upper_nm : (nodes, d) float64
        Boxes of its nodes.
    depth : int
        Levels below the root.
    """
    return np.ascontiguousarray(index.points_nm.T), index.lower_nm, index.upper_nm, index.depth


@njit()
def square(points, i, point):  # type: ignore[no-untyped-def]
    """Square of the distance of a localization from a point."""
    d2 = 0.0
    for a in range(points.shape[1]):
        apart = points[i, a] - point[a]
        d2 += apart * apart
    return d2


@njit()
def least_square(lower, upper, node, point):  # type: ignore[no-untyped-def]
    """Square of the distance from a point to a node's box: none of its localizations is nearer."""
    d2 = 0.0
    for a in range(lower.shape[1]):
        apart = max(lower[node, a] - point[a], point[a] - upper[node, a], 0.0)
        d2 += apart * apart
    return d2


@njit()
def comes_before(place, other):  # type: ignore[no-untyped-def]
    """Whether a place has the smaller x, or of equal ones y, then z."""
    for a in range(len(place)):
        if place[a] != other[a]:
            return place[a] < other[a]
    return False


@njit()
def nearest_place(points, lower, upper, depth, place, bound2, own, stack):  # type: ignore[no-untyped-def]
    """Position of the localization nearest to a place, and the square of its distance; -1 and `bound2` for none within.

    Of equally near ones it is the first by coordinates. `own` is left out, and `stack` holds at least depth + 2.
    """
    n = len(points)
    first_leaf = (1 << depth) - 1
    best, at = bound2, -1
    stack[0], top = 0, 1
    while top > 0:
        top -= 1
        node = stack[top]
        d2 = least_square(lower, upper, node, place)
        # of equally far ones none comes before the lower corner of their box
        if d2 > best or (d2 == best and at >= 0 and not comes_before(lower[node], points[at])):
            continue
        if node < first_leaf:
            near, far = 2 * node + 1, 2 * node + 2
            if least_square(lower, upper, far, place) < least_square(lower, upper, near, place):
                near, far = far, near
            stack[top], stack[top + 1] = far, near
            top += 2
            continue
        leaf = node - first_leaf
        for i in range((n * leaf) >> depth, (n * (leaf + 1)) >> depth):
            d2 = square(points, i, place)
            if i != own and (d2 < best or (d2 == best and (at < 0 or comes_before(points[i], points[at])))):
                best, at = d2, i
    return at, best
