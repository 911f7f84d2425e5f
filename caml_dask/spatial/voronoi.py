"""Cells of the Voronoi diagram, one by one, the same to the bit from any part of the plane that holds what they need.

A cell begins as a square around its site. Each of its corners is then asked for the site nearest to it; where that is
another one, it cuts the cell by the line in the middle between the two. When no corner is nearer to another site, and
no side of the square is left, the cell is done; while one is left, the square is doubled. The order of all this follows
from the cell alone, and what it asks is the nearest of all sites to a place: an answer that no tiling changes, once the
disc that was searched is at hand as a whole (DESIGN law 3). A cell whose disc is not is left, with its question, and is
made again when the answer is there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from caml_dask.compiled import njit
from caml_dask.spatial.blocks import BlockIndex
from caml_dask.spatial.nearest_place import arrays, nearest_place

_NEARER = 1 - 1e-9  # a corner is as near to its own site as to the others that made it, up to rounding
_SHORTEST = 1e-6  # sides of a cell that count, in its reach
_ROUNDING = 1 + 1e-9
_CORNERS = 32  # that a cell has room for at first
_FIELD, _SQUARE = -1, -2  # sides of a cell that lie on the field's, and on those of the square that it began as
NOBODY = -1
"""Number of the site that answers a question which no site does."""


@dataclass(frozen=True, eq=False)
class Known:
    """Sites at hand, and the window of the plane of which they are all.

    Attributes
    ----------
    index : BlockIndex
        The sites; the first of its rows are those asked for.
    window_nm : (4,) float64
        x0, y0, x1, y1 of the window; infinite where it reaches the field's sides.
    field_nm : (4,) float64
        The box at which cells end.
    start_nm : float
        Half the side of the square that a cell begins as.
    """

    index: BlockIndex
    window_nm: np.ndarray
    field_nm: np.ndarray
    start_nm: float


@dataclass(frozen=True, eq=False)
class Answers:
    """Answers to the questions of cells, in the order in which a cell asks, cell by cell.

    Attributes
    ----------
    first : (m + 1,) int64
        Where those of each of m cells begin.
    site : (a,) int64
        Number that the caller gave the nearest site, NOBODY where none is as near as was asked.
    xy_nm : (a, 2) float64
        Its place.
    """

    first: np.ndarray
    site: np.ndarray
    xy_nm: np.ndarray

    @classmethod
    def none(cls, cells: int) -> Answers:
        """No answers.

        Parameters
        ----------
        cells : int
            How many cells there are.
        """
        return cls(np.zeros(cells + 1, np.int64), np.zeros(0, np.int64), np.zeros((0, 2)))


@dataclass(frozen=True, eq=False)
class Cells:
    """Cells of some sites.

    Attributes
    ----------
    area_nm2 : (m,) float64
        Area of each; NaN where it asks a question.
    side_of : (s,) int64
        The cell that each side is of, by its place among the m.
    neighbor : (s,) int64
        The site on the other side: its row in the index, or ``-2 - site`` of an answer.
    question_nm : (m, 2) float64
        The place of which the cell asks the nearest site.
    bound_nm2 : (m,) float64
        Square of the distance within which it asks, closed: of the nearest site at hand, or of its own.
    nearest : (m,) int64
        Row of the nearest site at hand, NOBODY for none.
    """

    area_nm2: np.ndarray
    side_of: np.ndarray
    neighbor: np.ndarray
    question_nm: np.ndarray
    bound_nm2: np.ndarray
    nearest: np.ndarray

    @property
    def asking(self) -> np.ndarray:
        """Which cells ask a question, (m,) bool."""
        return np.isnan(self.area_nm2)


def voronoi_cells(known: Known, rows: np.ndarray, answers: Answers) -> Cells:
    """Cells of some sites, each by itself.

    Parameters
    ----------
    known : Known
        The sites, each at a place of its own.
    rows : (m,) int64
        Rows of those asked for.
    answers : Answers
        To the questions that their cells asked so far.

    Returns
    -------
    Cells
        Area and sides of each, or its next question.
    """
    position = np.empty(known.index.n, np.int64)
    position[known.index.order] = np.arange(known.index.n)
    m = len(rows)
    area, question, bound, nearest = np.full(m, np.nan), np.zeros((m, 2)), np.zeros(m), np.full(m, NOBODY)
    given = (answers.first, answers.site, np.ascontiguousarray(answers.xy_nm))
    side_of, neighbor = find_cells(
        *arrays(known.index), known.index.order, position[rows], np.asarray(known.window_nm, np.float64),
        np.asarray(known.field_nm, np.float64), known.start_nm, *given, area, question, bound, nearest,
    )  # fmt: skip
    return Cells(area, side_of, neighbor, question, bound, nearest)


def nearest_sites(index: BlockIndex, places_nm: np.ndarray, bound_nm2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The site nearest to each place within a distance; of equally near ones that with the lower x, then y.

    Parameters
    ----------
    index : BlockIndex
        The sites.
    places_nm : (m, 2) float64
        The places.
    bound_nm2 : (m,) float64
        Square of the distance for each, closed.

    Returns
    -------
    row : (m,) int64
        Its row, NOBODY for none.
    square_nm2 : (m,) float64
        Square of its distance.
    """
    row, square = np.full(len(places_nm), NOBODY), np.array(bound_nm2, np.float64)
    _nearest_sites(*arrays(index), index.order, np.ascontiguousarray(places_nm), row, square)
    return row, square


@njit()
def _nearest_sites(points, lower, upper, depth, order, places, row, square):  # type: ignore[no-untyped-def]
    stack = np.empty(depth + 2, np.int64)
    if len(points):
        for q in range(len(places)):
            at, d2 = nearest_place(points, lower, upper, depth, places[q], square[q], -1, stack)
            if at >= 0:
                row[q], square[q] = order[at], d2


@njit()
def _square(site, field, half, corners, kind):  # type: ignore[no-untyped-def]
    """Begin a cell as a square around its site, cut off at the field: corners against the clock, from the site."""
    sides = np.empty(4)
    for s in range(4):
        a, sign = s % 2, -1.0 if s < 2 else 1.0
        sides[s] = field[s] - site[a]
        kind[s] = _FIELD
        if sign * sides[s] > half:
            sides[s], kind[s] = sign * half, _SQUARE
    x0, y0, x1, y1 = sides
    corners[0, 0], corners[0, 1], corners[1, 0], corners[1, 1] = x0, y0, x1, y0
    corners[2, 0], corners[2, 1], corners[3, 0], corners[3, 1] = x1, y1, x0, y1
    # the side from each corner to the next: below, right, above, left
    left, below, right, above = kind[0], kind[1], kind[2], kind[3]
    kind[0], kind[1], kind[2], kind[3] = below, right, above, left
    return 4


@njit()
def _cut(n, corners, kind, sure, other_x, other_y, number):  # type: ignore[no-untyped-def]
    """Cut off what is nearer to another site, at a place relative to the cell's; returns the number of corners.

    The side that this makes is of kind `number`.
    """
    middle = (other_x * other_x + other_y * other_y) / 2
    beyond = np.empty(n)
    farthest = 0.0
    for i in range(n):
        beyond[i] = corners[i, 0] * other_x + corners[i, 1] * other_y - middle
        farthest = max(farthest, beyond[i])
    if farthest <= 0.0:
        return n
    kept, kept_kind, kept_sure = np.empty((n + 2, 2)), np.empty(n + 2, np.int64), np.empty(n + 2, np.bool_)
    m = 0
    for i in range(n):
        j = i + 1 if i + 1 < n else 0
        if beyond[i] <= 0.0:
            kept[m, 0], kept[m, 1], kept_kind[m], kept_sure[m] = corners[i, 0], corners[i, 1], kind[i], sure[i]
            m += 1
        if (beyond[i] < 0.0 < beyond[j]) or (beyond[j] < 0.0 < beyond[i]):
            t = beyond[i] / (beyond[i] - beyond[j])
            kept[m, 0] = corners[i, 0] + t * (corners[j, 0] - corners[i, 0])
            kept[m, 1] = corners[i, 1] + t * (corners[j, 1] - corners[i, 1])
            kept_kind[m], kept_sure[m] = number if beyond[i] < 0.0 else kind[i], False
            m += 1
        elif beyond[i] == 0.0 and beyond[j] > 0.0:
            kept_kind[m - 1] = number
    for i in range(m):
        corners[i, 0], corners[i, 1], kind[i], sure[i] = kept[i, 0], kept[i, 1], kept_kind[i], kept_sure[i]
    return m


@njit()
def _wider(corners, kind, sure):  # type: ignore[no-untyped-def]
    """The same with room for twice as many corners."""
    n = len(corners)
    more, more_kind, more_sure = np.empty((2 * n, 2)), np.empty(2 * n, np.int64), np.empty(2 * n, np.bool_)
    more[:n], more_kind[:n], more_sure[:n] = corners, kind, sure
    return more, more_kind, more_sure


@njit()
def find_cells(  # type: ignore[no-untyped-def]
    points, lower, upper, depth, order, asked, window, field, start, first, answer, answer_xy, area, question, bound,
    nearest,
):  # fmt: skip
    stack, place = np.empty(depth + 2, np.int64), np.empty(2)
    corners, kind, sure = np.empty((_CORNERS, 2)), np.empty(_CORNERS, np.int64), np.empty(_CORNERS, np.bool_)
    cutters, cut_by = np.empty((_CORNERS, 2)), np.empty(_CORNERS, np.int64)
    side_of, neighbor, sides = np.empty(8 * len(asked) + 8, np.int64), np.empty(8 * len(asked) + 8, np.int64), 0
    for c in range(len(asked)):
        own, half, cuts, replied, done = asked[c], start, 0, first[c], False
        site = points[own]
        n = 0
        while not done:
            n = _square(site, field, half, corners, kind)
            sure[:n] = False
            while cuts + 6 > len(corners):
                corners, kind, sure = _wider(corners, kind, sure)
            for k in range(cuts):
                n = _cut(n, corners, kind, sure, cutters[k, 0], cutters[k, 1], k)
            i = 0
            while i < n:
                if sure[i]:
                    i += 1
                    continue
                place[0], place[1] = site[0] + corners[i, 0], site[1] + corners[i, 1]
                own2 = (corners[i, 0] * corners[i, 0] + corners[i, 1] * corners[i, 1]) * _NEARER
                at, d2 = nearest_place(points, lower, upper, depth, place, own2, own, stack)
                reach = np.sqrt(d2) * _ROUNDING + 4e-16 * (abs(place[0]) + abs(place[1]))
                x, y, who = 0.0, 0.0, NOBODY
                if (
                    place[0] - reach >= window[0] and place[1] - reach >= window[1]
                    and place[0] + reach <= window[2] and place[1] + reach <= window[3]
                ):  # fmt: skip
                    if at >= 0:
                        who, x, y = order[at], points[at, 0], points[at, 1]
                elif replied < first[c + 1]:
                    if answer[replied] != NOBODY:
                        who, x, y = -2 - answer[replied], answer_xy[replied, 0], answer_xy[replied, 1]
                    replied += 1
                else:
                    question[c, 0], question[c, 1], bound[c] = place[0], place[1], d2
                    nearest[c] = order[at] if at >= 0 else NOBODY
                    done = True
                    break
                x, y = x - site[0], y - site[1]
                for k in range(cuts):
                    if cutters[k, 0] == x and cutters[k, 1] == y:
                        who = NOBODY
                if who == NOBODY:
                    sure[i] = True
                    i += 1
                    continue
                if cuts == len(cutters):
                    cutters = np.concatenate((cutters, cutters))
                    cut_by = np.concatenate((cut_by, cut_by))
                cutters[cuts, 0], cutters[cuts, 1], cut_by[cuts] = x, y, who
                if n + 2 >= len(corners):
                    corners, kind, sure = _wider(corners, kind, sure)
                before = n
                changed = _cut(n, corners, kind, sure, x, y, cuts)
                cuts += 1
                if changed == before and not _is_cut(changed, kind, cuts - 1):
                    sure[i] = True
                n, i = changed, 0
            if done:
                break
            done = not _is_cut(n, kind, _SQUARE)
            half *= 2
            if done:
                doubled, reach2 = 0.0, 0.0
                for i in range(n):
                    j = i + 1 if i + 1 < n else 0
                    doubled += corners[i, 0] * corners[j, 1] - corners[j, 0] * corners[i, 1]
                    reach2 = max(reach2, corners[i, 0] * corners[i, 0] + corners[i, 1] * corners[i, 1])
                area[c] = abs(doubled) / 2
                for i in range(n):
                    j = i + 1 if i + 1 < n else 0
                    x, y = corners[j, 0] - corners[i, 0], corners[j, 1] - corners[i, 1]
                    if kind[i] >= 0 and x * x + y * y > _SHORTEST * _SHORTEST * reach2:
                        if sides == len(side_of):
                            side_of, neighbor = np.concatenate((side_of, side_of)), np.concatenate((neighbor, neighbor))
                        side_of[sides], neighbor[sides] = c, cut_by[kind[i]]
                        sides += 1
    return side_of[:sides], neighbor[:sides]


@njit()
def _is_cut(n, kind, by):  # type: ignore[no-untyped-def]
    """Whether a side is of a kind."""
    return np.any(kind[:n] == by)
