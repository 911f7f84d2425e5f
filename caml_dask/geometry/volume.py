"""Volumes of clusters in 3D: balls of radius 2b on the members, united, then eroded by b (DESIGN section 6).

That shape is the closing of the b-balls by a b-ball, the solvent-excluded surface of molecular graphics: a place is
inside where its distance to what no 2b-ball covers is b or more. No closed form serves, because the reentrant patches
of the surface cut one another. But what no ball covers is bounded by spheres, arcs and corners
(:mod:`caml_dask.geometry.spheres`), so that distance is exact wherever it is asked. Cells of side 2b are halved while
they may hold some of the surface; in the last ones, of side b/2 and less in thin necks, it is a plane, moved by what
its curvature adds.

Measured on 1,129 random clusters of 1 to 200 members (filling a ball or a disc, Gaussian, grown by links of up to
2 sqrt(3) b, and chains), against cells of b/8: the error is 0.2 % root mean square, below 0.7 % in 99 of 100 and
1.2 % at most. It falls with the square of the cells' side. Lengths in here are in units of b, relative to the cluster's
first member, which makes scaling by powers of two exact.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from caml_dask.compiled import njit
from caml_dask.geometry.spheres import FARTHEST_CELL, RADIUS, SLACK, cells_around, exposed_parts, sorted_cells, within

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

HALVINGS = 2
_MORE_IN_NECKS = 2
_SIDE = 2.0
_HALF_DIAGONAL = 0.5 * math.sqrt(3.0)
# A turn about no axis of the coordinates: lattices, sheets and lines along these must not lie along the cells.
_TURN = np.array([[1160, -2505, 5784], [2784, 5480, 1815], [-5655, 2184, 2080]]) / 6409
# Direction cosines below this are taken for it, which keeps the share of a cell below a plane well conditioned.
_FLATTEST = 1e-4
# What the nearest place outside lies on; 0 and above is the number of an arc.
_SPHERE, _CORNER = -1, -2


def closing_volumes(xyz: FloatArray, starts: IntArray, b: FloatArray) -> FloatArray:
    """Volumes of c clusters, (c,) float64; voids are no part of them.

    Parameters
    ----------
    xyz : (m, 3) float64, members sorted by (x, y, z) within each cluster, so that duplicates stand together.
    starts : (c + 1,) int64, members of cluster i are rows starts[i] to starts[i + 1].
    b : (c,) float64 in the unit of xyz; clusters of b = 0 have the volume 0.

    Raises
    ------
    ValueError : a cluster that reaches millions of b from its first member.
    """
    # Read-only or strided arrays would each be compiled for anew.
    xyz, b = np.require(xyz, np.float64, ["C", "W"]), np.require(b, np.float64, ["C", "W"])
    starts = np.require(starts, np.int64, ["C", "W"])
    volumes = np.zeros(len(b))
    for i in np.flatnonzero(b > 0):
        points = _distinct(xyz[starts[i] : starts[i + 1]], b[i])
        if not np.abs(points).max() < _SIDE * FARTHEST_CELL:
            raise ValueError(
                f"cluster {i} of this batch reaches more than {_SIDE * FARTHEST_CELL:,.0f} b from its first member "
                f"(b = {b[i]}): pass clusters whose links are no longer than 2 sqrt(3) b"
            )
        volumes[i] = _volume(points) * (b[i] * b[i] * b[i])
    return volumes


def _volume(points: FloatArray) -> float:
    """Volume around distinct points, in units of b."""
    order, keys = sorted_cells(points)
    exposed, arcs, corners = exposed_parts(points, order, keys)
    parts = points, exposed, arcs, corners
    return float(_total(*parts, order, keys, *sorted_cells(arcs), *sorted_cells(corners), cells_around(keys), HALVINGS))


@njit()
def _distinct(members, b):  # type: ignore[no-untyped-def]
    """Members in units of b from the first one, turned, each position once."""
    points = np.empty((len(members), 3))
    n = 0
    for k in range(len(members)):
        x = (members[k, 0] - members[0, 0]) / b
        y = (members[k, 1] - members[0, 1]) / b
        z = (members[k, 2] - members[0, 2]) / b
        same = n > 0
        for axis in range(3):
            points[n, axis] = _TURN[axis, 0] * x + _TURN[axis, 1] * y + _TURN[axis, 2] * z
            same = same and points[n, axis] == points[n - 1, axis]
        if not same:
            n += 1
    return points[:n]


@njit()
def _total(  # type: ignore[no-untyped-def]
    points, exposed, arcs, corners, order, keys, arc_order, arc_keys, corner_order, corner_keys, cells, halvings
):
    """Volume inside all `cells`."""
    levels = halvings + _MORE_IN_NECKS + 1
    # One row a level: numbers of the points, arcs and corners near the cell, how many of each, its center.
    nearby = np.empty((levels, 3, 64), np.int64)
    counts, center = np.zeros((levels, 3), np.int64), np.empty((levels, 3))
    found = np.empty(64, np.int64)
    total, half = 0.0, _HALF_DIAGONAL * _SIDE
    for key in cells:
        for axis in range(3):
            place = ((key >> (42 - 21 * axis)) & ((1 << 21) - 1)) - (1 << 20)
            center[0, axis] = _SIDE * (place + 0.5)
        found, m = within(points, order, keys, 3, center[0], 3.0 + half, found)
        nearby = _put(nearby, counts, 0, found, m)
        found, m = within(arcs, arc_order, arc_keys, 3, center[0], 1.0 + RADIUS + half, found)
        nearby = _put(nearby, counts, 1, found, m)
        found, m = within(corners, corner_order, corner_keys, 2, center[0], 1.0 + half, found)
        nearby = _put(nearby, counts, 2, found, m)
        total += _inside(points, exposed, arcs, corners, nearby, counts, center, halvings)
    return total


@njit()
def _put(nearby, counts, kind, found, m):  # type: ignore[no-untyped-def]
    """Keep `found` as the outermost cell's, in longer lists where they need them."""
    if m > nearby.shape[2]:
        longer = np.empty((nearby.shape[0], 3, 2 * m), np.int64)
        for other in range(3):
            for k in range(nearby.shape[2]):
                longer[0, other, k] = nearby[0, other, k]
        nearby = longer
    for k in range(m):
        nearby[0, kind, k] = found[k]
    counts[0, kind] = m
    return nearby


@njit()
def _inside(points, exposed, arcs, corners, nearby, counts, center, halvings):  # type: ignore[no-untyped-def]
    """Volume inside one cell of the outermost level, halving it where that leaves the answer open."""
    child, foot = np.zeros(len(center), np.int64), np.empty(3)
    total, level, new = 0.0, 0, True
    while level >= 0:
        side = _SIDE / (1 << level)
        half = _HALF_DIAGONAL * side
        if new:
            parts = points, exposed, arcs, corners
            distance, on = _to_outside(center[level], half, parts, nearby[level], counts[level], foot)
            depth = distance - 1.0
            # Where no ball covers the center, it is in the outside, which may be no deeper than 1.
            done = depth >= half or (depth <= -half and (distance > 0.0 or half <= 1.0))
            if depth >= half:
                total += side * side * side
            elif not done and level >= halvings:
                done = level + 1 == len(center) or on < 0 or _neck(center[level], foot, arcs[on])[0] > side
                if done:
                    total += side * side * side * _share(center[level], foot, depth, on, arcs, side)
            child[level] = 8 if done else 0
        if child[level] == 8:
            level, new = level - 1, False
            continue
        for axis in range(3):
            step = 0.25 * side if (child[level] >> axis) & 1 else -0.25 * side
            center[level + 1, axis] = center[level, axis] + step
        child[level] += 1
        _narrow(points, arcs, corners, nearby, counts, level, center[level + 1], 0.5 * half)
        level, new = level + 1, True
    return total


@njit()
def _narrow(points, arcs, corners, nearby, counts, level, at, half):  # type: ignore[no-untyped-def]
    """Of what is near a cell, keep what is near its part around `at`: whatever may decide or cover a foot there."""
    m = 0
    for k in nearby[level, 0, : counts[level, 0]]:
        if _distance2(points, k, at[0], at[1], at[2]) < (3.0 + half) ** 2:
            nearby[level + 1, 0, m] = k
            m += 1
    counts[level + 1, 0] = m
    m = 0
    for k in nearby[level, 1, : counts[level, 1]]:
        along, off, _, _, _ = _from_circle(arcs, k, at)
        if along * along + (off - arcs[k, 6]) ** 2 < (1.0 + half) ** 2:
            nearby[level + 1, 1, m] = k
            m += 1
    counts[level + 1, 1] = m
    m = 0
    for k in nearby[level, 2, : counts[level, 2]]:
        if _distance2(corners, k, at[0], at[1], at[2]) < (1.0 + half) ** 2:
            nearby[level + 1, 2, m] = k
            m += 1
    counts[level + 1, 2] = m


@njit()
def _distance2(points, k, x, y, z):  # type: ignore[no-untyped-def]
    return (points[k, 0] - x) ** 2 + (points[k, 1] - y) ** 2 + (points[k, 2] - z) ** 2


@njit()
def _from_circle(arcs, k, at):  # type: ignore[no-untyped-def]
    """A place seen from the circle of an arc: how far along its axis and off it, and the vector off it."""
    ax, ay, az = arcs[k, 3], arcs[k, 4], arcs[k, 5]
    x, y, z = at[0] - arcs[k, 0], at[1] - arcs[k, 1], at[2] - arcs[k, 2]
    along = x * ax + y * ay + z * az
    x, y, z = x - along * ax, y - along * ay, z - along * az
    return along, math.sqrt(x * x + y * y + z * z), x, y, z


@njit()
def _to_outside(at, half, parts, nearby, counts, foot):  # type: ignore[no-untyped-def]
    """Distance from the center of a cell to the nearest place that no ball covers, written to foot, and what it is on.

    It is 1 + half where it is at least that, and not the least once it is below 1 - half: the cell is settled then.
    """
    points, exposed, arcs, corners = parts
    near = nearby[0, : counts[0]]
    nearest2 = np.inf
    for k in near:
        nearest2 = min(nearest2, _distance2(points, k, at[0], at[1], at[2]))
    if nearest2 >= RADIUS * RADIUS - SLACK:
        return 0.0, _SPHERE
    best2, on = (1.0 + half) ** 2, _SPHERE
    if nearest2 <= max(0.0, 1.0 - half) ** 2:
        return 1.0 + half, on
    for k in nearby[2, : counts[2]]:
        d2 = _distance2(corners, k, at[0], at[1], at[2])
        if d2 < best2:
            best2, on = d2, _CORNER
            foot[0], foot[1], foot[2] = corners[k, 0], corners[k, 1], corners[k, 2]
    for k in nearby[1, : counts[1]]:
        along, off, x, y, z = _from_circle(arcs, k, at)
        d2 = along * along + (off - arcs[k, 6]) ** 2
        if d2 < best2 and x * arcs[k, 7] + y * arcs[k, 8] + z * arcs[k, 9] >= off * arcs[k, 10]:
            best2, on = d2, k
            if off > 0.0:
                f = arcs[k, 6] / off
                foot[0], foot[1], foot[2] = arcs[k, 0] + f * x, arcs[k, 1] + f * y, arcs[k, 2] + f * z
            else:
                for axis in range(3):
                    foot[axis] = arcs[k, axis] + arcs[k, 6] * arcs[k, 7 + axis]
    best = math.sqrt(best2)
    for k in near:
        if best <= 1.0 - half:
            break
        d2 = _distance2(points, k, at[0], at[1], at[2])
        if not exposed[k] or d2 >= RADIUS * RADIUS or d2 <= (RADIUS - best) ** 2:
            continue
        d = math.sqrt(d2)
        f = RADIUS / d
        x = points[k, 0] + f * (at[0] - points[k, 0])
        y = points[k, 1] + f * (at[1] - points[k, 1])
        z = points[k, 2] + f * (at[2] - points[k, 2])
        if not _covered(points, near, k, x, y, z):
            best, on = RADIUS - d, _SPHERE
            foot[0], foot[1], foot[2] = x, y, z
    return best, on


@njit()
def _covered(points, near, but, x, y, z):  # type: ignore[no-untyped-def]
    for k in near:  # noqa: SIM110 - compiled, a generator is not
        if k != but and _distance2(points, k, x, y, z) < RADIUS * RADIUS - SLACK:
            return True
    return False


@njit()
def _neck(at, foot, arc):  # type: ignore[no-untyped-def]
    """How the surface, near a circle part of a torus, goes around the circle's axis: radius, and slope to the axis."""
    x, y, z = at[0] - foot[0], at[1] - foot[1], at[2] - foot[2]
    inward = x * (arc[0] - foot[0]) + y * (arc[1] - foot[1]) + z * (arc[2] - foot[2])
    inward /= math.sqrt(x * x + y * y + z * z) * arc[6]
    return arc[6] - inward, inward


@njit()
def _share(at, foot, depth, on, arcs, side):  # type: ignore[no-untyped-def]
    """Share of a cell that is inside, of a surface `depth` from its center, away from the foot."""
    x, y, z = at[0] - foot[0], at[1] - foot[1], at[2] - foot[2]
    norm = math.sqrt(x * x + y * y + z * z)
    curvature = 1.0 if on == _SPHERE else -1.0
    if on >= 0:
        around, inward = _neck(at, foot, arcs[on])
        curvature = 0.5 * (inward / max(around, side) - 1.0)
    # On average over the cell the surface lies this much below its tangent plane.
    depth -= curvature * side * side / 12.0
    x, y, z = max(abs(x) / norm, _FLATTEST), max(abs(y) / norm, _FLATTEST), max(abs(z) / norm, _FLATTEST)
    a = depth / side + 0.5 * (x + y + z)
    if a <= 0.0:
        return 0.0
    if a >= x + y + z:
        return 1.0
    cut = a * a * a
    for s in (x, y, z):
        cut -= max(a - s, 0.0) ** 3
    for s in (x + y, y + z, z + x):
        cut += max(a - s, 0.0) ** 3
    return cut / (6.0 * x * y * z)
