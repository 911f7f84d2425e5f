"""What is left of equal spheres once the balls of the others have covered them: arcs and corners, compiled.

Spheres have radius 2, in a unit of the caller's. Two of them meet in a circle; what no other ball covers of it are
arcs, and arcs end in corners, where three spheres meet. Arcs and corners, with the spheres themselves, bound the part
of space that no ball covers, so that its nearest point to any place is at the foot of one of the three.
"""

from __future__ import annotations

import math

import numpy as np

from caml_dask.compiled import njit
from caml_dask.geometry.circles import TURN, grown, scattered_order
from caml_dask.sorting import first_from, stable_order

RADIUS = 2.0
# A point covered by less than this counts as exposed: where many spheres meet in one point, as on a lattice, rounding
# must not hide it from all of them.
SLACK = 1e-9
# Most cells from the origin that an axis may reach.
FARTHEST_CELL = 2.0**20 - 8.0

_BINS = 64
_ALL_BINS = (1 << _BINS) - 1
_DIRECTIONS = 128
# Every direction lies within this angle of one of the _DIRECTIONS; 0.2413 is the farthest.
_NEAR = 0.25


@njit()
def cell_key(x, y, z):  # type: ignore[no-untyped-def]
    """Number of the cell of side 2 that holds a point; cells next to each other along z have consecutive numbers."""
    ix, iy, iz = np.int64(math.floor(0.5 * x)), np.int64(math.floor(0.5 * y)), np.int64(math.floor(0.5 * z))
    middle = np.int64(1 << 20)
    return ((ix + middle) << 42) + ((iy + middle) << 21) + iz + middle


@njit()
def sorted_cells(points):  # type: ignore[no-untyped-def]
    """Points sorted by their cell: order and sorted keys.

    Within a cell they stand in scattered order, so that a sphere in a dense spot meets balls of all directions soon.
    """
    cell = np.empty(len(points), np.int64)
    for k in range(len(points)):
        cell[k] = cell_key(points[k, 0], points[k, 1], points[k, 2])
    return scattered_order(cell)


@njit()
def cells_around(keys):  # type: ignore[no-untyped-def]
    """Cells that hold places within 2 of a point, ascending, from the sorted cells of the points."""
    cells = np.empty(27 * len(keys), np.int64)
    m = 0
    for k in range(len(keys)):
        if k > 0 and keys[k] == keys[k - 1]:
            continue
        for dx in range(-1, 2):
            for dy in range(-1, 2):
                for dz in range(-1, 2):
                    cells[m] = keys[k] + (np.int64(dx) << 42) + (np.int64(dy) << 21) + dz
                    m += 1
    order = stable_order(cells, m)
    ascending = np.empty(m, np.int64)
    kept = 0
    for k in range(m):
        if kept == 0 or cells[order[k]] != ascending[kept - 1]:
            ascending[kept] = cells[order[k]]
            kept += 1
    return ascending[:kept]


@njit()
def within(points, order, keys, cells, at, reach, found):  # type: ignore[no-untyped-def]
    """Rows nearer than `reach` to `at`, in its cell and in up to `cells` cells around; (found, how many)."""
    m = 0
    key = cell_key(at[0], at[1], at[2])
    for dx in range(-cells, cells + 1):
        for dy in range(-cells, cells + 1):
            middle = key + (np.int64(dx) << 42) + (np.int64(dy) << 21)
            begin = first_from(keys, middle - cells)
            end = first_from(keys, middle + cells + 1)
            if m + end - begin > len(found):
                longer = np.empty(2 * (m + end - begin), np.int64)
                for k in range(m):
                    longer[k] = found[k]
                found = longer
            for k in order[begin:end]:
                d2 = (points[k, 0] - at[0]) ** 2 + (points[k, 1] - at[1]) ** 2 + (points[k, 2] - at[2]) ** 2
                if d2 < reach * reach:
                    found[m] = k
                    m += 1
    return found, m


@njit()
def exposed_parts(points, order, keys):  # type: ignore[no-untyped-def]
    """Which spheres, arcs and corners no ball of the others covers.

    Parameters
    ----------
    points : (n, 3) centers; `order` and `keys` as of :func:`sorted_cells`.

    Returns
    -------
    exposed : (n,) bool, spheres of which something is left.
    arcs : (k, 11) center of the circle, its axis, its radius, direction of the arc's middle, cosine of half its angle.
    corners : (m, 3) ends of the arcs; a corner may stand here several times.
    """
    n = len(points)
    exposed = np.zeros(n, np.bool_)
    arcs, corners = np.empty((16, 11)), np.empty((16, 3))
    n_arcs = n_corners = 0
    found = np.empty(64, np.int64)
    directions = _directions()
    frame = np.empty((4, 3))
    for i in range(n):
        found, m = within(points, order, keys, 2, points[i], 2.0 * RADIUS, found)
        near, v, d2 = _others(points, i, found, m)
        if len(near) == 0:
            exposed[i] = True
        if _covered(v, d2, directions):
            continue
        near, v = _nearest_first(near, v, d2)
        lo, width = np.empty(len(near) + 1), np.empty(len(near) + 1)
        for a in range(len(near)):
            j = near[a]
            if j < i:
                continue
            radius = _circle(v[a], frame)
            c = _cover(v, a, radius, frame, lo, width)
            if c < 0:
                continue
            exposed[i] = exposed[j] = True
            arcs, corners = grown(arcs, n_arcs + c + 1), grown(corners, n_corners + 2 * c + 2)
            if c == 0:
                _put_arc(arcs, n_arcs, points[i], radius, frame, 0.0, TURN)
                n_arcs += 1
                continue
            by_start = stable_order(lo, c)
            reach = _farthest(lo, width, c) - TURN
            for b in by_start:
                if lo[b] > reach:
                    _put_arc(arcs, n_arcs, points[i], radius, frame, reach, lo[b])
                    _put_corner(corners, n_corners, points[i], radius, frame, reach)
                    _put_corner(corners, n_corners + 1, points[i], radius, frame, lo[b])
                    n_arcs += 1
                    n_corners += 2
                reach = max(reach, lo[b] + width[b])
    return exposed, arcs[:n_arcs], corners[:n_corners]


@njit()
def _others(points, i, found, m):  # type: ignore[no-untyped-def]
    """Those of the first m of `found` that lie elsewhere than i: rows, places seen from i, and squared distances."""
    v, d2, rows = np.empty((m, 3)), np.empty(m), np.empty(m, np.int64)
    k = 0
    for f in range(m):
        j = found[f]
        for axis in range(3):
            v[k, axis] = points[j, axis] - points[i, axis]
        d2[k] = v[k, 0] ** 2 + v[k, 1] ** 2 + v[k, 2] ** 2
        if d2[k] > 0.0:
            rows[k] = j
            k += 1
    return rows[:k], v[:k], d2[:k]


@njit()
def _nearest_first(near, v, d2):  # type: ignore[no-untyped-def]
    """Rows and places by their squared distance: the nearest cover most."""
    order = stable_order(d2, len(d2))
    rows, places = np.empty(len(order), np.int64), np.empty((len(order), 3))
    for k in range(len(order)):
        rows[k] = near[order[k]]
        for axis in range(3):
            places[k, axis] = v[order[k], axis]
    return rows, places


@njit()
def _farthest(lo, width, m):  # type: ignore[no-untyped-def]
    """Where the last of the first m stretches ends."""
    farthest = -np.inf
    for k in range(m):
        farthest = max(farthest, lo[k] + width[k])
    return farthest


@njit()
def _directions():  # type: ignore[no-untyped-def]
    """Directions spread evenly over the sphere, (_DIRECTIONS, 3), on a spiral."""
    spread = np.empty((_DIRECTIONS, 3))
    for k in range(_DIRECTIONS):
        z = 1.0 - (2.0 * k + 1.0) / _DIRECTIONS
        turn = k * math.pi * (3.0 - math.sqrt(5.0))
        flat = math.sqrt(1.0 - z * z)
        spread[k, 0], spread[k, 1], spread[k, 2] = flat * math.cos(turn), flat * math.sin(turn), z
    return spread


@njit()
def _covered(v, d2, directions):  # type: ignore[no-untyped-def]
    """Whether the balls at `v` surely cover all of the sphere around the origin; spares most spheres in dense spots."""
    left = np.arange(len(directions))
    open_ = len(left)
    for k in range(len(v)):
        length = math.sqrt(d2[k])
        half = math.acos(length / (2.0 * RADIUS)) - _NEAR
        if half <= 0.0:
            continue
        least = math.cos(half) * length
        kept = 0
        for d in left[:open_]:
            if v[k, 0] * directions[d, 0] + v[k, 1] * directions[d, 1] + v[k, 2] * directions[d, 2] < least:
                left[kept] = d
                kept += 1
        open_ = kept
        if open_ == 0:
            return True
    return False


@njit()
def _circle(v, frame):  # type: ignore[no-untyped-def]
    """The circle where the spheres at the origin and at v meet: its radius; frame: center, axis, two directions."""
    length2 = v[0] * v[0] + v[1] * v[1] + v[2] * v[2]
    length = math.sqrt(length2)
    least = 0
    for axis in range(3):
        frame[0, axis] = 0.5 * v[axis]
        frame[1, axis] = v[axis] / length
        if abs(frame[1, axis]) < abs(frame[1, least]):
            least = axis
    n = frame[1]
    norm = math.sqrt(1.0 - n[least] ** 2)
    for axis in range(3):
        frame[2, axis] = ((1.0 if axis == least else 0.0) - n[least] * n[axis]) / norm
    e = frame[2]
    frame[3, 0] = n[1] * e[2] - n[2] * e[1]
    frame[3, 1] = n[2] * e[0] - n[0] * e[2]
    frame[3, 2] = n[0] * e[1] - n[1] * e[0]
    return math.sqrt(RADIUS * RADIUS - 0.25 * length2)


@njit()
def _cover(v, pair, radius, frame, lo, width):  # type: ignore[no-untyped-def]
    """Stretches of a circle that the balls at `v` cover, in lo and width, and how many; -1 where they cover it all."""
    m, covered = 0, np.uint64(0)
    for k in range(len(v)):
        if k == pair:
            continue
        x, y, w2 = 0.0, 0.0, 0.0
        for axis in range(3):
            w = v[k, axis] - frame[0, axis]
            x += w * frame[2, axis]
            y += w * frame[3, axis]
            w2 += w * w
        above = radius * radius + w2 - RADIUS * RADIUS + SLACK
        off = 2.0 * radius * math.sqrt(x * x + y * y)
        if above >= off:
            continue
        if above <= -off:
            return -1
        half = math.acos(above / off)
        lo[m], width[m] = (math.atan2(y, x) - half) % TURN, 2.0 * half
        # Bins are only marked where covered with a margin: rounding must not hide an arc.
        begin = math.ceil((lo[m] + 1e-9) * (_BINS / TURN))
        end = math.floor((lo[m] + width[m] - 1e-9) * (_BINS / TURN))
        for bin_ in range(begin, end):
            covered |= np.uint64(1) << np.uint64(bin_ % _BINS)
        if covered == np.uint64(_ALL_BINS):
            return -1
        m += 1
    # Bins that straddle two stretches stay unmarked: whether anything is left, the stretches themselves tell.
    if m > 0:
        reach = _farthest(lo, width, m) - TURN
        for k in stable_order(lo, m):
            if lo[k] > reach:
                return m
            reach = max(reach, lo[k] + width[k])
        return -1
    return 0


@njit()
def _put_arc(arcs, k, origin, radius, frame, begin, end):  # type: ignore[no-untyped-def]
    middle = 0.5 * (begin + end)
    for axis in range(3):
        arcs[k, axis] = origin[axis] + frame[0, axis]
        arcs[k, 3 + axis] = frame[1, axis]
        arcs[k, 7 + axis] = math.cos(middle) * frame[2, axis] + math.sin(middle) * frame[3, axis]
    arcs[k, 6] = radius
    arcs[k, 10] = math.cos(0.5 * (end - begin))


@njit()
def _put_corner(corners, k, origin, radius, frame, angle):  # type: ignore[no-untyped-def]
    for axis in range(3):
        around = math.cos(angle) * frame[2, axis] + math.sin(angle) * frame[3, axis]
        corners[k, axis] = origin[axis] + frame[0, axis] + radius * around
