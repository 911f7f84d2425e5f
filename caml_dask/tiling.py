"""A balanced partition of the plane into half-open boxes (DESIGN section 5).

Every localization belongs to the one box with ``lower <= (x, y) < upper``, compared exactly: no tolerance at the
edges. The sides of the image lie at infinity, so that a box at its rim is cut short by nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

_FILL = 0.95  # how full tiles are meant to be: grid lines cut a little off the mark
Stream = Callable[[], Iterable[np.ndarray]]
"""Starts a pass over the localizations: each array is (m, 2) float64, x and y in nm, all finite."""


@dataclass(frozen=True)
class Partition:
    """Boxes that tile the plane, and the cuts that made them.

    lower_nm, upper_nm : (t, 2) float64, corners of each tile; infinite at the sides of the image
    axis, at_nm, below, above : the k-d tree of cuts; a localization with coordinate[axis] < at goes to `below`, else to
        `above`; a negative child is the tile ``~child``
    """

    lower_nm: np.ndarray
    upper_nm: np.ndarray
    axis: np.ndarray
    at_nm: np.ndarray
    below: np.ndarray
    above: np.ndarray

    @property
    def n_tiles(self) -> int:
        """Number of tiles."""
        return len(self.lower_nm)

    def tile_of(self, xy_nm: np.ndarray) -> np.ndarray:
        """The tile that owns each localization: (n, 2) float64 to (n,) int64."""
        tiles = np.zeros(len(xy_nm), dtype=np.int64)
        if len(self.axis):
            _descend(np.ascontiguousarray(xy_nm), self.axis, self.at_nm, self.below, self.above, tiles)
        return tiles

    def distance_nm(self, tile: int, xy_nm: np.ndarray) -> np.ndarray:
        """Distance of each localization to the closed box of `tile`: (n, 2) float64 to (n,) float64, 0 inside."""
        apart = np.maximum(self.lower_nm[tile] - xy_nm, xy_nm - self.upper_nm[tile])
        return np.asarray(np.hypot(*np.maximum(apart, 0.0).T))

    def overlapping(self, lower_nm: np.ndarray, upper_nm: np.ndarray) -> np.ndarray:
        """Tiles that meet the closed box ``lower_nm..upper_nm``, ascending."""
        return np.flatnonzero(np.all((self.lower_nm <= upper_nm) & (self.upper_nm >= lower_nm), axis=1))

    def clearance_nm(self, lower_nm: np.ndarray, upper_nm: np.ndarray, xy_nm: np.ndarray) -> np.ndarray:
        """Distance to the nearest side of a window that is no side of the image (DESIGN law 3); (n, 2) to (n,), nm."""
        return np.asarray(np.minimum(xy_nm - lower_nm, upper_nm - xy_nm).min(axis=1))


@njit(cache=True, nogil=True)
def _descend(xy, axis, at, below, above, tiles):  # type: ignore[no-untyped-def]
    for i in range(len(xy)):
        node = 0
        while node >= 0:
            node = below[node] if xy[i, axis[node]] < at[node] else above[node]
        tiles[i] = ~node


class _Region:
    """A box under division, hanging at one side of a node of the cuts: exact bounds and counts on a grid of its own."""

    def __init__(self, lower: np.ndarray, upper: np.ndarray, node: int, side: int):
        self.lower, self.upper, self.node, self.side = lower, upper, node, side
        self.tight_lower = np.full(2, np.inf)
        self.tight_upper = np.full(2, -np.inf)
        self.n = 0
        self.edges: list[np.ndarray] = []
        self.counts = np.zeros((0, 0), dtype=np.int64)

    def stretch(self, xy_nm: np.ndarray) -> None:
        self.n += len(xy_nm)
        # column by column, which numpy does many times faster than along the rows
        self.tight_lower = np.minimum(self.tight_lower, [column.min() for column in xy_nm.T])
        self.tight_upper = np.maximum(self.tight_upper, [column.max() for column in xy_nm.T])

    def lay_grid(self, most: int) -> None:
        bins = _bins(self.n, most)
        self.edges = [np.linspace(low, high, bins + 1) for low, high in zip(self.tight_lower, self.tight_upper)]
        self.counts = np.zeros((bins, bins), dtype=np.int64)

    def count(self, xy_nm: np.ndarray) -> None:
        bins = len(self.counts)
        ix, iy = (_bin(edges, xy_nm[:, axis]) for axis, edges in enumerate(self.edges))
        self.counts += np.bincount(ix * bins + iy, minlength=bins**2).reshape(bins, bins)


def _bin(edges: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Bin of each value: ``edges[i] <= value < edges[i + 1]`` holds exactly; the last takes its upper edge too."""
    bins = len(edges) - 1
    width = (edges[-1] - edges[0]) / bins
    if not width > 0:
        return np.zeros(len(values), dtype=np.int64)
    index = np.clip(((values - edges[0]) / width).astype(np.int64), 0, bins - 1)
    index -= values < edges[index]
    index += (values >= edges[index + 1]) & (index < bins - 1)
    return index


def partition(stream: Stream, n: int, max_localizations: int, bounds_nm: Sequence[float] | None = None) -> Partition:
    """Cut the plane into boxes of at most `max_localizations`, reading the localizations only as a stream.

    A first pass finds the bounds, where they are not known, a second counts on a fine grid from which the boxes are cut
    along its lines. Where a single bin still holds too many (a hot spot), it gets a grid of its own in two passes more.
    Only localizations at one and the same place stay together beyond `max_localizations`.

    Parameters
    ----------
    stream : starts a pass over the finite localizations.
    n : how many there are.
    max_localizations : most a box may hold.
    bounds_nm : lowest x and y, then highest x and y of all, where they are known.
    """
    cuts = _Cuts()
    open_regions = [_Region(np.full(2, -np.inf), np.full(2, np.inf), -1, 0)]
    if n <= max_localizations:
        cuts.close(open_regions.pop())
    while open_regions:
        if bounds_nm is not None and not cuts.axis:
            open_regions[0].n = n
            open_regions[0].tight_lower, open_regions[0].tight_upper = np.array(bounds_nm).reshape(2, 2)
        else:
            _each_pass(stream, open_regions, _Region.stretch)
        for region in open_regions:
            region.lay_grid(max_localizations)
        _each_pass(stream, open_regions, _Region.count)
        open_regions = [rest for region in open_regions for rest in _cut(region, cuts, max_localizations)]
    return cuts.partition()


def _bins(n: int, max_localizations: int) -> int:
    """Grid bins a side: about a thousand bins a tile, so that boxes come out balanced, at most 2,048."""
    return int(np.clip(32 * np.ceil(np.sqrt(n / max_localizations)), 64, 2048))


class _Cuts:
    """The tree of cuts as it grows; an open region hangs at a node's side."""

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

    def close(self, region: _Region) -> None:
        self.attach(region.node, region.side, ~len(self.boxes))
        self.boxes.append((region.lower, region.upper))

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


def _each_pass(stream: Stream, regions: list[_Region], act: Callable[[_Region, np.ndarray], None]) -> None:
    for xy in stream():
        for region in regions:
            if region.node < 0:  # the whole plane
                act(region, xy)
                continue
            inside = np.all((xy >= region.lower) & (xy < region.upper), axis=1)
            if inside.any():
                act(region, xy[inside])


def _cut(region: _Region, cuts: _Cuts, most: int) -> list[_Region]:
    """Divide a counted region along its grid lines; returns the single bins that still hold more than `most`."""
    if np.array_equal(region.tight_lower, region.tight_upper):
        cuts.close(region)
        return []
    rest: list[_Region] = []
    work = [(region.lower, region.upper, 0, len(region.counts), 0, len(region.counts), region.node, region.side)]
    while work:
        lower, upper, x0, x1, y0, y1, node, side = work.pop()
        counts = region.counts[x0:x1, y0:y1]
        piece = _Region(lower, upper, node, side)
        best = _best_line(counts, region.edges, x0, y0, most) if counts.sum() > most else None
        if best is None:
            if counts.sum() <= most:
                cuts.close(piece)
            elif counts.size < region.counts.size:
                rest.append(piece)
            else:
                rest += _cut_off_last(region, cuts)
            continue
        axis, line = best
        at = region.edges[axis][line]
        middle_upper, middle_lower = upper.copy(), lower.copy()
        middle_upper[axis] = middle_lower[axis] = at
        node = cuts.split(node, side, axis, at)
        below, above = (
            ((x0, line, y0, y1), (line, x1, y0, y1)) if axis == 0 else ((x0, x1, y0, line), (x0, x1, line, y1))
        )
        work.append((middle_lower, upper, *above, node, 1))
        work.append((lower, middle_upper, *below, node, 0))
    return rest


def _cut_off_last(region: _Region, cuts: _Cuts) -> list[_Region]:
    """Divide a region whose places lie too close for a grid: those at its upper bound from all below."""
    axis = int(np.argmax(region.tight_upper - region.tight_lower))
    if region.tight_lower[axis] == region.tight_upper[axis]:
        axis = 1 - axis
    at = float(region.tight_upper[axis])
    upper, lower = region.upper.copy(), region.lower.copy()
    upper[axis] = lower[axis] = at
    node = cuts.split(region.node, region.side, axis, at)
    return [_Region(region.lower, upper, node, 0), _Region(lower, region.upper, node, 1)]


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
