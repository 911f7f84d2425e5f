"""Counts of localizations that share a cell of a grid with others under every small shift (Ma et al. 2024).

All is counted in integers, so that neither the order of localizations nor the chunks they came in change a bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from caml_dask.compiled import njit
from caml_dask.errors import InputError

STEPS_AN_NM = 8
"""Coordinates are whole steps of an eighth of a nm."""
_MOST_KEYS = 1 << 62


def matches(
    places: np.ndarray,
    interval: np.ndarray,
    shift: np.ndarray,
    cell: Sequence[int],
    reach: Sequence[int],
) -> np.ndarray:
    """Count the localizations of other intervals that share a cell with those of an interval, under every shift.

    Parameters
    ----------
    places : (n, d) int64
        Localizations in steps.
    interval : (n,) int64
        Interval of each.
    shift : (intervals, d) int64
        Steps that are taken from the places of each interval first.
    cell, reach : sequence of int
        Side of a cell in steps, and the largest shift in cells, on each axis.

    Returns
    -------
    (intervals, 2 reach + 1, ...) int64
        Matches of each interval, by shift on each axis.

    Raises
    ------
    InputError
        A field so wide that its cells cannot be numbered.
    """
    moved = places - shift[interval]
    grid = _Grid(moved.min(axis=0), moved.max(axis=0), cell, reach, len(shift))
    keys = grid.keys(moved)
    found = np.zeros((len(shift), grid.shifts), np.int64)
    for own, sign in ((0, 1), (grid.cells, -1)):  # all, less those of the same interval
        order = np.argsort(keys + own * interval, kind="stable")
        mine = (keys + own * interval)[order]
        cells, counts = np.unique(mine, return_counts=True)
        _look(cells, counts, mine, interval[order], grid.rows, reach[-1], sign, found)
    return found.reshape(len(shift), *grid.sides)


def track(
    places: np.ndarray,
    starts: np.ndarray,
    cell: Sequence[int],
    reach: Sequence[int],
    choose: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Follow the intervals one after another, each beside all before it as these are shifted.

    Parameters
    ----------
    places : (n, d) int64
        Localizations in steps, interval by interval.
    starts : (intervals + 1,) int64
        Where intervals begin.
    cell, reach : sequence of int
        As of :func:`matches`.
    choose : callable
        Takes the matches of an interval by shift, (2 reach + 1, ...), and returns its shift in steps, (d,) int64.

    Returns
    -------
    (intervals, d) int64
        Steps of each interval from the first one.
    """
    found = np.zeros((len(starts) - 1, places.shape[1]), np.int64)
    room = np.array(cell) * np.array(reach) * len(found)  # farther no interval comes
    grid = _Grid(places.min(axis=0) - room, places.max(axis=0) + room, cell, reach, 1)
    before = np.zeros(0, np.int64)
    for at, (start, stop) in enumerate(pairwise(starts)):
        mine = places[start:stop]
        if at:
            found[at] = found[at - 1]
            none, seen = np.zeros(len(mine), np.int64), np.zeros((1, grid.shifts), np.int64)
            cells, counts = np.unique(before, return_counts=True)
            _look(cells, counts, np.sort(grid.keys(mine - found[at])), none, grid.rows, reach[-1], 1, seen)
            found[at] += choose(seen.reshape(grid.sides))
        before = np.concatenate([before, grid.keys(mine - found[at])])
    return found


class _Grid:
    """Numbers of the cells between two corners, in steps, with room for every shift around them."""

    def __init__(self, low: np.ndarray, high: np.ndarray, cell: Sequence[int], reach: Sequence[int], copies: int):
        self._low, self._cell, self._reach = low, np.array(cell), np.array(reach)
        self.sides = [2 * r + 1 for r in reach]
        across = [int(n) for n in (high - low) // self._cell + 1 + 2 * self._reach]
        self.cells = 1
        strides = []
        for n in reversed(across):
            strides.append(self.cells)
            self.cells *= n
        if self.cells > _MOST_KEYS // max(1, copies):
            raise InputError(
                f"the localizations span {', '.join(f'{n:,}' for n in across)} cells of some 20 nm, too many to "
                "estimate drift: are the coordinates nm? Convert them, or leave --drift out"
            )
        self._strides = np.array(strides[::-1], np.int64)
        self.shifts = int(np.prod(self.sides))
        self.rows = np.zeros(1, np.int64)  # shifts on all axes but the last
        for stride, r in zip(self._strides[:-1], reach[:-1], strict=True):
            self.rows = (self.rows[:, None] + stride * np.arange(-r, r + 1)).ravel()

    def keys(self, places: np.ndarray) -> np.ndarray:
        """The cell of each place, (n,) int64."""
        return ((places - self._low) // self._cell + self._reach) @ self._strides


@njit()
def _look(cells, counts, keys, interval, rows, reach, sign, found):  # type: ignore[no-untyped-def]
    """Both keys and cells ascend, so that each row of shifts is one walk along both."""
    for row in range(len(rows)):
        begin, into = 0, row * (2 * reach + 1) + reach
        for i in range(len(keys)):
            # a shift of an interval by +1 is by how far it lies from others, which are one cell below
            key = keys[i] - rows[row]
            while begin < len(cells) and cells[begin] < key - reach:
                begin += 1
            at = begin
            while at < len(cells) and cells[at] <= key + reach:
                found[interval[i], into + key - cells[at]] += sign * counts[at]
                at += 1
