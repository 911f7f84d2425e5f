"""A balanced partition of the plane into half-open boxes (DESIGN section 5).

Every localization belongs to the one box with ``lower <= (x, y) < upper``, compared exactly: no tolerance at the
edges. The sides of the image lie at infinity, so that a box at its rim is cut short by nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from caml_dask.compiled import njit

_FILL = 0.95  # how full tiles are meant to be: grid lines cut a little off the mark
Stream = Callable[[], Iterable[np.ndarray]]
"""Starts a pass over the localizations: each array is (m, 2) float64, x and y in nm, all finite."""


@dataclass(frozen=True)
class Partition:
    """Boxes that tile the plane, and the cuts that made them.

    Attributes
    ----------
    lower_nm, upper_nm : (t, 2) float64
        Corners of each tile in nm; infinite at the sides of the image.
    axis, at_nm : (c,) int64, (c,) float64
        Axis and place in nm of each cut of a k-d tree, the root first.
    below, above : (c,) int64
        Children of each cut: a localization with coordinate[axis] < at goes to `below`, any other to `above`. A
        negative child is the tile ``~child``.
    """

    lower_nm: np.ndarray
    upper_nm: np.ndarray
    axis: np.ndarray
    at_nm: np.ndarray
    below: np.ndarray
    above: np.ndarray

    @property
    def n_tiles(self) -> int:
        """Number of tiles (int)."""
        return len(self.lower_nm)

    def tile_of(self, xy_nm: np.ndarray) -> np.ndarray:
        """The tile that owns each localization.

        Parameters
        ----------
        xy_nm : (n, 2) float64
            Coordinates in nm.

        Returns
        -------
        (n,) int64
            Tiles.
        """
        tiles = np.zeros(len(xy_nm), dtype=np.int64)
        if len(self.axis):
            _descend(np.ascontiguousarray(xy_nm), self.axis, self.at_nm, self.below, self.above, tiles)
        return tiles

    def distance_nm(self, tile: int, xy_nm: np.ndarray) -> np.ndarray:
        """Distance of each localization to the closed box of a tile.

        Parameters
        ----------
        tile : int
            The tile.
        xy_nm : (n, 2) float64
            Coordinates in nm.

        Returns
        -------
        (n,) float64
            Distances in nm, 0 inside.
        """
        apart = np.maximum(self.lower_nm[tile] - xy_nm, xy_nm - self.upper_nm[tile])
        return np.asarray(np.hypot(*np.maximum(apart, 0.0).T))

    def overlapping(self, lower_nm: np.ndarray, upper_nm: np.ndarray) -> np.ndarray:
        """Tiles that meet a closed box.

        Parameters
        ----------
        lower_nm, upper_nm : (2,) float64
            Corners of the box in nm.

        Returns
        -------
        (m,) int64
            Tiles, ascending.
        """
        return np.flatnonzero(np.all((self.lower_nm <= upper_nm) & (self.upper_nm >= lower_nm), axis=1))

    def clearance_nm(self, lower_nm: np.ndarray, upper_nm: np.ndarray, xy_nm: np.ndarray) -> np.ndarray:
        """Distance of each localization to the nearest side of a window that is no side of the image (DESIGN law 3).

        Parameters
        ----------
        lower_nm, upper_nm : (2,) float64
            Corners of the window in nm; infinite where its side is one of the image.
        xy_nm : (n, 2) float64
            Coordinates in nm.

        Returns
        -------
        (n,) float64
            Distances in nm; inf where no side counts.
        """
        return np.asarray(np.minimum(xy_nm - lower_nm, upper_nm - xy_nm).min(axis=1))


@njit()
def _descend(xy, axis, at, below, above, tiles):  # type: ignore[no-untyped-def]
    for i in range(len(xy)):
        node = 0
        while node >= 0:
            node = below[node] if xy[i, axis[node]] < at[node] else above[node]
        tiles[i] = ~node


class _Box:
    """A box under division, hanging at one side of a node of the cuts: exact bounds and counts on a grid of its own."""

    def __init__(self, lower: np.ndarray, upper: np.ndarray, node: int, side: int):
        self.lower, self.upper, self.node, self.side = lower, upper, node, side
        self.tight_lower = np.full(2, np.inf)
        self.tight_upper = np.full(2, -np.inf)
        self.n = 0
        self.edges: list[np.ndarray] = []
        self.counts = np.zeros((0, 0), dtype=np.int64)

    def stretch(self, xy_nm: np.ndarray) -> None:
        self.n += _stretch(xy_nm, self.lower, self.upper, self.tight_lower, self.tight_upper)

    def lay_grid(self, most: int) -> None:
        bins = _bins(self.n, most)
        self.edges = [np.linspace(low, high, bins + 1) for low, high in zip(self.tight_lower, self.tight_upper)]
        self.counts = np.zeros((bins, bins), dtype=np.int64)

    def count(self, xy_nm: np.ndarray) -> None:
        _count(xy_nm, self.lower, self.upper, *self.edges, self.counts)


@njit()
def _is_in(xy, i, lower, upper):  # type: ignore[no-untyped-def]
    return lower[0] <= xy[i, 0] < upper[0] and lower[1] <= xy[i, 1] < upper[1]


@njit()
def _stretch(xy, lower, upper, tight_lower, tight_upper):  # type: ignore[no-untyped-def]
    """Widen the tight bounds by the localizations in a box; returns how many those are."""
    n = 0
    for i in range(len(xy)):
        if _is_in(xy, i, lower, upper):
            n += 1
            for a in range(2):
                tight_lower[a] = min(tight_lower[a], xy[i, a])
                tight_upper[a] = max(tight_upper[a], xy[i, a])
    return n


@njit()
def _bin(edges, value):  # type: ignore[no-untyped-def]
    """Bin of a value: ``edges[i] <= value < edges[i + 1]`` holds exactly; the last takes its upper edge too."""
    bins = len(edges) - 1
    width = (edges[-1] - edges[0]) / bins
    if not width > 0:
        return 0
    index = min(max(int((value - edges[0]) / width), 0), bins - 1)
    index -= index > 0 and value < edges[index]
    index += value >= edges[index + 1] and index < bins - 1
    return index


@njit()
def _count(xy, lower, upper, edges_x, edges_y, counts):  # type: ignore[no-untyped-def]
    """Count the localizations in a box on its grid, (bins, bins)."""
    for i in range(len(xy)):
        if _is_in(xy, i, lower, upper):
            counts[_bin(edges_x, xy[i, 0]), _bin(edges_y, xy[i, 1])] += 1


def partition(stream: Stream, n: int, bounds_nm: Sequence[float], max_localizations: int) -> Partition:
    """Cut the plane into boxes of at most `max_localizations`, reading the localizations only as a stream.

    One pass counts on a fine grid, along whose lines the boxes are cut. Where a single bin still holds too many
    (a hot spot), it gets a grid of its own: a pass finds its bounds, and one more counts. Only localizations at
    one and the same place stay together beyond `max_localizations`.

    Parameters
    ----------
    stream : callable
        Starts a pass over the finite localizations, which come as (m, 2) float64 in nm.
    n : int
        Number of localizations.
    bounds_nm : sequence of 4 float
        Lowest x, lowest y, highest x and highest y of them, in nm.
    max_localizations : int
        Most localizations of a box.

    Returns
    -------
    Partition
        Boxes and cuts.
    """
    cuts = _Cuts()
    everything = _Box(np.full(2, -np.inf), np.full(2, np.inf), -1, 0)
    everything.n, everything.tight_lower, everything.tight_upper = n, np.array(bounds_nm[:2]), np.array(bounds_nm[2:])
    if n <= max_localizations:
        cuts.close(everything)
        return cuts.partition()
    open_boxes = [everything]
    while open_boxes:
        for box in open_boxes:
            box.lay_grid(max_localizations)
        _each_pass(stream, open_boxes, _Box.count)
        open_boxes = [rest for box in open_boxes for rest in _cut(box, cuts, max_localizations)]
        _each_pass(stream, open_boxes, _Box.stretch)
    return cuts.partition()


def _bins(n: int, max_localizations: int) -> int:
    """Grid bins a side: about a thousand bins a tile, so that boxes come out balanced, at most 2,048."""
    return int(np.clip(32 * np.ceil(np.sqrt(n / max_localizations)), 64, 2048))


class _Cuts:
    """The tree of cuts as it grows; an open box hangs at a node's side."""

    def __init__(self) -> None:
        self.axis: list[int] = []
        self.at: list[float] = []
        self.children: list[list[int]] = []
        self.boxes: list[tuple[np.ndarray, np.ndarray]] = []

    def attach(self, node: int, side: int, child: int) -> None:
        if node >= 0:
            self.children[node][side] = child

    def split(self, node: int, side: int, axis: int, at: float) -> int:
        self.axis.append(axis)
        self.at.append(at)
        self.children.append([0, 0])
        self.attach(node, side, len(self.axis) - 1)
        return len(self.axis) - 1

    def close(self, box: _Box) -> None:
        self.attach(box.node, box.side, ~len(self.boxes))
        self.boxes.append((box.lower, box.upper))

    def partition(self) -> Partition:
        lower, upper = (np.array([box[i] for box in self.boxes]) for i in (0, 1))
        children = np.array(self.children, dtype=np.int64).reshape(-1, 2)
        axis = np.array(self.axis, dtype=np.int64)
        at = np.array(self.at, dtype=np.float64)
        return Partition(
            lower,
            upper,
            axis,
            at,
            np.ascontiguousarray(children[:, 0]),
            np.ascontiguousarray(children[:, 1]),
        )


def _each_pass(stream: Stream, boxes: list[_Box], act: Callable[[_Box, np.ndarray], None]) -> None:
    for xy in stream() if boxes else ():
        for box in boxes:
            act(box, xy)


def _cut(box: _Box, cuts: _Cuts, most: int) -> list[_Box]:
    """Divide a counted box along its grid lines; returns the single bins that still hold more than `most`."""
    if np.array_equal(box.tight_lower, box.tight_upper):
        cuts.close(box)
        return []
    rest: list[_Box] = []
    work = [(box.lower, box.upper, 0, len(box.counts), 0, len(box.counts), box.node, box.side)]
    while work:
        lower, upper, x0, x1, y0, y1, node, side = work.pop()
        counts = box.counts[x0:x1, y0:y1]
        piece = _Box(lower, upper, node, side)
        best = _best_line(counts, box.edges, x0, y0, most) if counts.sum() > most else None
        if best is None:
            if counts.sum() <= most:
                cuts.close(piece)
            elif counts.size < box.counts.size:
                rest.append(piece)
            else:
                rest += _cut_off_last(box, cuts)
            continue
        axis, line = best
        at = box.edges[axis][line]
        middle_upper, middle_lower = upper.copy(), lower.copy()
        middle_upper[axis] = middle_lower[axis] = at
        node = cuts.split(node, side, axis, at)
        below, above = (
            ((x0, line, y0, y1), (line, x1, y0, y1)) if axis == 0 else ((x0, x1, y0, line), (x0, x1, line, y1))
        )
        work.append((middle_lower, upper, *above, node, 1))
        work.append((lower, middle_upper, *below, node, 0))
    return rest


def _cut_off_last(box: _Box, cuts: _Cuts) -> list[_Box]:
    """Divide a box whose places lie too close for a grid: those at its upper bound from all below."""
    axis = int(np.argmax(box.tight_upper - box.tight_lower))
    if box.tight_lower[axis] == box.tight_upper[axis]:
        axis = 1 - axis
    at = float(box.tight_upper[axis])
    upper, lower = box.upper.copy(), box.lower.copy()
    upper[axis] = lower[axis] = at
    node = cuts.split(box.node, box.side, axis, at)
    return [_Box(box.lower, upper, node, 0), _Box(lower, box.upper, node, 1)]


def _best_line(counts: np.ndarray, edges: list[np.ndarray], x0: int, y0: int, most: int) -> tuple[int, int] | None:
    """Axis and line that halve `counts` best, across the longer side where both can be cut; None where neither can."""
    total = int(counts.sum())
    tiles = math.ceil(total / (_FILL * most))
    target = total * (tiles // 2) / tiles
    found = []
    for axis, first in ((0, x0), (1, y0)):
        along = counts.sum(axis=1 - axis)
        used = np.flatnonzero(along)
        if len(used) < 2:
            continue
        running = np.cumsum(along)[used[0] : used[-1]]
        step = int(np.argmin(np.abs(running - target)))
        length = edges[axis][first + used[-1] + 1] - edges[axis][first + used[0]]
        line = first + int(used[0]) + step + 1
        if edges[axis][line] > edges[axis][first + used[0]]:
            found.append((length, -axis, line))
    if not found:
        return None
    _, axis, line = max(found)
    return -axis, line
