"""Localizations sorted into small blocks of equal count: the leaves of a balanced k-d tree, stored as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from caml_dask.compiled import njit

LEAF_LOCALIZATIONS = 48


@dataclass(frozen=True)
class BlockIndex:
    """Localizations in blocks: the leaves of a balanced k-d tree stored as arrays.

    Node i has the children 2i + 1 and 2i + 2; the leaves are the last ``2**depth`` nodes. Leaf j holds positions
    ``n * j >> depth`` up to ``n * (j + 1) >> depth``.

    Attributes
    ----------
    points_nm : (d, n) float64
        Coordinates by position, in nm.
    order : (n,) int64
        The caller's row at each position.
    lower_nm, upper_nm : (nodes, d) float64
        Bounding box of each node's localizations, in nm.
    depth : int
        Levels below the root.
    """

    points_nm: np.ndarray
    order: np.ndarray
    lower_nm: np.ndarray
    upper_nm: np.ndarray
    depth: int

    @classmethod
    def build(cls, coordinates_nm: np.ndarray) -> BlockIndex:
        """Sort localizations into blocks.

        Parameters
        ----------
        coordinates_nm : (n, d) float64
            Finite coordinates in nm, d of 2 or 3; n may be 0.

        Returns
        -------
        BlockIndex
            The index.
        """
        index = cls._empty(coordinates_nm)
        _build(index.points_nm, index.order, index.lower_nm, index.upper_nm, index.depth)
        return index

    @classmethod
    def of_sorted(cls, coordinates_nm: np.ndarray) -> BlockIndex:
        """Index localizations that are in the `order` of an index built before, without sorting again.

        Parameters
        ----------
        coordinates_nm : (n, d) float64
            Finite coordinates in nm, in the order of positions of that index.

        Returns
        -------
        BlockIndex
            The index, whose rows are positions of the one before.
        """
        index = cls._empty(coordinates_nm)
        _bound(index.points_nm, index.lower_nm, index.upper_nm, index.depth)
        return index

    @classmethod
    def _empty(cls, coordinates_nm: np.ndarray) -> BlockIndex:
        """Localizations in the caller's order, with boxes still to find."""
        points = np.array(np.asarray(coordinates_nm, dtype=np.float64).T, order="C")
        axes, count = points.shape
        depth = 0
        while count >> depth > LEAF_LOCALIZATIONS:
            depth += 1
        nodes = 2 ** (depth + 1) - 1
        lower, upper = np.full((nodes, axes), np.inf), np.full((nodes, axes), -np.inf)
        return cls(points, np.arange(count, dtype=np.int64), lower, upper, depth)

    @property
    def n(self) -> int:
        """Number of localizations in the index (int)."""
        return int(self.points_nm.shape[1])


@njit()
def _swap(points, order, i, j):  # type: ignore[no-untyped-def]
    for a in range(points.shape[0]):
        points[a, i], points[a, j] = points[a, j], points[a, i]
    order[i], order[j] = order[j], order[i]


@njit()
def _select(points, order, axis, low, high, middle):  # type: ignore[no-untyped-def]
    """Hoare's quickselect: nothing before `middle` is then larger than what stands there, nothing after it smaller."""
    high -= 1
    while low < high:
        pivot = points[axis, (low + high) >> 1]
        i, j = low, high
        while i <= j:
            while points[axis, i] < pivot:
                i += 1
            while points[axis, j] > pivot:
                j -= 1
            if i <= j:
                _swap(points, order, i, j)
                i += 1
                j -= 1
        if middle <= j:
            high = j
        elif middle >= i:
            low = i
        else:
            return


@njit()
def _build(points, order, lower, upper, depth):  # type: ignore[no-untyped-def]
    """Halve every node at its middle position along its longest side, from the root down."""
    axes, n = points.shape
    for level in range(depth + 1):
        for j in range(1 << level):
            node = (1 << level) - 1 + j
            start, stop = (n * j) >> level, (n * (j + 1)) >> level
            axis, longest = 0, -1.0
            for a in range(axes):
                for i in range(start, stop):
                    lower[node, a] = min(lower[node, a], points[a, i])
                    upper[node, a] = max(upper[node, a], points[a, i])
                if upper[node, a] - lower[node, a] > longest:
                    axis, longest = a, upper[node, a] - lower[node, a]
            if level < depth:
                _select(points, order, axis, start, stop, (n * (2 * j + 1)) >> (level + 1))


@njit()
def _bound(points, lower, upper, depth):  # type: ignore[no-untyped-def]
    """Boxes of the nodes from the leaves up."""
    axes, n = points.shape
    first_leaf = (1 << depth) - 1
    for leaf in range(1 << depth):
        for a in range(axes):
            for i in range((n * leaf) >> depth, (n * (leaf + 1)) >> depth):
                lower[first_leaf + leaf, a] = min(lower[first_leaf + leaf, a], points[a, i])
                upper[first_leaf + leaf, a] = max(upper[first_leaf + leaf, a], points[a, i])
    for node in range(first_leaf - 1, -1, -1):
        for a in range(axes):
            lower[node, a] = min(lower[2 * node + 1, a], lower[2 * node + 2, a])
            upper[node, a] = max(upper[2 * node + 1, a], upper[2 * node + 2, a])
