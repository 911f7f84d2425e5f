"""Outlines of clusters: discs of radius 2b on the members, united, then eroded by b (Williamson et al. 2020).

That shape is the closing of the b-discs by a b-disc, the solvent-excluded surface of molecular graphics, and its
boundary is made of arcs of radius b only: around each member, where its 2b-disc is exposed (never trimmed), and around
each point where two exposed 2b-discs meet, where no other such point is nearer than b. Both kinds are what is left of
a circle once other circles have covered it, so one function finds both; area and perimeter then have closed forms and
the polygon is a sampling of the arcs. Lengths in here are in units of b, relative to the cluster's first member, which
makes scaling by powers of two exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from caml_dask.compiled import njit
from caml_dask.geometry.circles import BLOCKED, LOST, TURN, WHOLE, exposed_arcs, successors

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

AREA_TOLERANCE = 1e-3
"""Share by which the area of a polygon may differ from that of its arcs; it has as few chords as that allows."""
_CHORDS_A_TURN = np.array([16, 20, 24, 32, 48, 64, 96])  # the first is within a fiftieth of b of the arcs everywhere
_ATTEMPTS = 7
_BEGIN, _END = 0, 1  # of an arc
_TOGETHER = 1 << 14  # members of the clusters that are traced at a time: what they need stays in the cache


@dataclass(frozen=True)
class Outlines:
    """Closed forms and polygons of c outlines.

    Parameters
    ----------
    area, perimeter : (c,) float64, exact up to rounding; holes are excluded from the area, included in the perimeter.
    polygons : (c,) object array of shapely Polygon (MultiPolygon where the outline has parts), None where b is 0.
    """

    area: FloatArray
    perimeter: FloatArray
    polygons: npt.NDArray[np.object_]


def closing_outlines(xy: FloatArray, starts: IntArray, b: FloatArray) -> Outlines:
    """Outlines of c clusters.

    Parameters
    ----------
    xy : (m, 2) float64, members sorted by (x, y) within each cluster, so that duplicates stand together.
    starts : (c + 1,) int64, members of cluster i are rows starts[i] to starts[i + 1].
    b : (c,) float64 in the unit of xy; clusters of b = 0 have no outline.

    Raises
    ------
    ArithmeticError : an outline could not be closed, even with its members moved by 1e-3 b.
    """
    xy, starts, b = _as_compiled(xy, starts, b)
    arcs, ring_starts, owner = _trace(xy, starts, b)
    ring_area, ring_length = _ring_integrals(arcs, ring_starts)
    totals = np.zeros((2, len(b)))
    np.add.at(totals[0], owner, ring_area)
    np.add.at(totals[1], owner, ring_length)
    chords = _chords(arcs, ring_starts, owner, totals[0], _CHORDS_A_TURN, AREA_TOLERANCE)
    coords, point_starts = _sample(arcs, chords, ring_starts, owner, xy[starts[:-1]], b)
    return Outlines(
        area=totals[0] * b * b,
        perimeter=totals[1] * b,
        polygons=_polygons(coords, point_starts, owner, ring_area > 0, len(b)),
    )


def closing_areas(xy: FloatArray, starts: IntArray, b: FloatArray) -> FloatArray:
    """Areas of c clusters, (c,) float64: those of :func:`closing_outlines`, whose arguments and errors it shares."""
    xy, starts, b = _as_compiled(xy, starts, b)
    arcs, ring_starts, owner = _trace(xy, starts, b)
    areas: FloatArray = np.bincount(owner, _ring_integrals(arcs, ring_starts)[0], len(b)) * b * b
    return areas


def _as_compiled(xy: FloatArray, starts: IntArray, b: FloatArray) -> tuple[FloatArray, IntArray, FloatArray]:
    """The same arrays; read-only or strided ones would each be compiled for anew."""
    xy, b = np.require(xy, np.float64, ["C", "W"]), np.require(b, np.float64, ["C", "W"])
    return xy, np.require(starts, np.int64, ["C", "W"]), b


def _polygons(
    coords: FloatArray, point_starts: IntArray, owner: IntArray, is_shell: npt.NDArray[np.bool_], c: int
) -> npt.NDArray[np.object_]:
    """Polygons of rings: counter-clockwise rings are shells, the others holes of their cluster's shell."""
    polygons = np.full(c, None, dtype=object)
    if len(owner) == 0:
        return polygons
    rings = shapely.linearrings(coords, indices=np.repeat(np.arange(len(owner)), np.diff(point_starts)))
    order = np.lexsort((~is_shell, owner))
    shells = np.bincount(owner[is_shell], minlength=c)
    simple = order[shells[owner[order]] == 1]
    if len(simple):
        shapely.polygons(rings[simple], indices=owner[simple], out=polygons)
    for i in np.flatnonzero(shells > 1):
        mine = slice(*np.searchsorted(owner, (i, i + 1)))
        polygons[i] = _parts(shapely.polygons(rings[mine][is_shell[mine]]), rings[mine][~is_shell[mine]])
    # Rings that touch in one point, as exact lattices make them, may cross by a rounding.
    crossed = ~shapely.is_valid(polygons) & ~shapely.is_missing(polygons)
    polygons[crossed] = shapely.make_valid(polygons[crossed], method="structure", keep_collapsed=False)
    return polygons


def _parts(shells: npt.NDArray[np.object_], holes: npt.NDArray[np.object_]) -> shapely.MultiPolygon:
    """Give each hole to the smallest shell around it; a part may lie in another one's hole."""
    disks = shapely.polygons(holes)
    inside = shapely.point_on_surface(disks)
    size = shapely.area(shells)
    around = shapely.contains(shells[:, None], inside) & (size[:, None] > shapely.area(disks))
    home = np.where(around, size[:, None], np.inf).argmin(axis=0)
    return shapely.multipolygons([shapely.Polygon(s.exterior, list(holes[home == k])) for k, s in enumerate(shells)])


def _trace(xy: FloatArray, starts: IntArray, b: FloatArray) -> tuple[FloatArray, IntArray, IntArray]:
    """Boundary arcs of all clusters: rows (x, y, angle, sweep) ring by ring, bounds of the rings, their clusters."""
    arcs, lengths, owner = [np.empty((0, 4))], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for some in np.split(np.arange(len(b)), np.flatnonzero(np.diff(starts[:-1] // _TOGETHER)) + 1):
        points, groups = _distinct(xy, starts, b, some)
        for attempt in range(_ATTEMPTS):
            mine, ring_starts, rings, closed = _closed(points, groups)
            arcs.append(mine)
            lengths.append(np.diff(ring_starts))
            owner.append(np.repeat(some, rings))
            if closed.all():
                break
            some = some[~closed]
            points, groups = _distinct(xy, starts, b, some)
            _move(points, groups, attempt + 1)
        else:
            failed = some[0]
            raise ArithmeticError(
                f"the outline of cluster {failed} of this batch ({starts[failed + 1] - starts[failed]} localizations, "
                f"b = {b[failed]}) does not close: report these coordinates"
            )
    return _by_owner(np.concatenate(arcs), np.concatenate(lengths), np.concatenate(owner))


def _by_owner(arcs: FloatArray, lengths: IntArray, owner: IntArray) -> tuple[FloatArray, IntArray, IntArray]:
    """Rings, `lengths` arcs each, in the order of their clusters: arcs, bounds of the rings, clusters."""
    order = np.argsort(owner, kind="stable")
    if (order[1:] < order[:-1]).any():
        first = np.cumsum(lengths) - lengths
        arcs = np.concatenate([arcs[first[ring] : first[ring] + lengths[ring]] for ring in order])
    return arcs, np.append(0, np.cumsum(lengths[order])), owner[order]


def _closed(points: FloatArray, groups: IntArray) -> tuple[FloatArray, IntArray, IntArray, npt.NDArray[np.bool_]]:
    """Arcs and ring bounds of those outlines whose rings all close, number of rings of each, and which close."""
    disc, angle, cut, outer = exposed_arcs(points, groups, 2.0, np.zeros((len(points), 2)))
    after = successors(disc, cut, len(points), _END, _BEGIN)
    vertices, block = _vertices(points, disc, angle, cut, after)
    concave, turn, trim, inner = exposed_arcs(vertices, outer, 1.0, block)
    before = successors(concave, trim, len(vertices), _BEGIN, _END)
    return _rings(points, disc, angle, cut, after, outer, vertices, concave, turn, trim, before, inner)


@njit()
def _distinct(xy, starts, b, some):  # type: ignore[no-untyped-def]
    """Members of some clusters in units of b from the first one, each position once; none where b is 0."""
    groups = np.empty(len(some) + 1, np.int64)
    most = 0
    for g in range(len(some)):
        most += starts[some[g] + 1] - starts[some[g]]
    points = np.empty((most, 2))
    n = groups[0] = 0
    for g in range(len(some)):
        i = some[g]
        first = starts[i]
        for k in range(first, starts[i + 1] if b[i] > 0 else first):
            x = (xy[k, 0] - xy[first, 0]) / b[i]
            y = (xy[k, 1] - xy[first, 1]) / b[i]
            if n == groups[g] or points[n - 1, 0] != x or points[n - 1, 1] != y:
                points[n, 0], points[n, 1] = x, y
                n += 1
        groups[g + 1] = n
    return points[:n], groups


@njit()
def _move(points, groups, attempt):  # type: ignore[no-untyped-def]
    """Move points by 1e-8 b at the second attempt, ten times more at each further one.

    Where three circles meet in one point, as on a lattice, rounding may see them meet in two orders at once. A move
    far below any precision of localization settles it; it is a fixed sequence, so results stay reproducible.
    """
    scale = 10.0 ** (attempt - 9) / 2.0**53
    for g in range(len(groups) - 1):
        state = np.uint64(attempt)
        for k in range(groups[g], groups[g + 1]):
            for axis in range(2):
                state = state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
                points[k, axis] += scale * (np.float64(state >> np.uint64(11)) - 2.0**52)


@njit()
def _vertices(points, disc, angle, cut, after):  # type: ignore[no-untyped-def]
    """Where members' arcs end, and how much of the inner circle there is blocked, as :func:`exposed_arcs` takes them.

    The inner circle is exposed between the vertex's two members at most. What follows an arc becomes LOST where they
    do not leave it less than half a turn.
    """
    vertices, block = np.empty((len(disc), 2)), np.zeros((len(disc), 2))
    for a in range(len(disc)):
        vertices[a, 0] = vertices[a, 1] = np.inf
        if cut[a, 1] == WHOLE or after[a] == LOST:
            continue
        wedge = (angle[a, 1] - angle[after[a], 0]) % TURN
        if wedge >= math.pi:
            after[a] = LOST
            continue
        vertices[a, 0] = points[disc[a], 0] + 2.0 * math.cos(angle[a, 1])
        vertices[a, 1] = points[disc[a], 1] + 2.0 * math.sin(angle[a, 1])
        block[a, 0] = angle[a, 1] + math.pi
        block[a, 1] = TURN - wedge
    return vertices, block


@njit()
def _rings(points, disc, angle, cut, after, outer, vertices, concave, turn, trim, before, inner):  # type: ignore[no-untyped-def]
    """Follow members' arcs (counter-clockwise) and vertices' arcs (clockwise, numbered after them) into rings."""
    n, total = len(disc), len(disc) + len(concave)
    arcs, ring_starts = np.empty((total, 4)), np.zeros(total + 1, np.int64)
    rings, closed = np.zeros(len(outer) - 1, np.int64), np.zeros(len(outer) - 1, np.bool_)
    seen = np.zeros(total, np.bool_)
    first = np.empty(n, np.int64)
    for a in range(n):
        first[a] = LOST
    for s in range(len(concave)):
        if trim[s, 1] == BLOCKED:
            first[concave[s]] = s
    k = r = 0
    for g in range(len(rings)):
        ok = True
        for a in range(outer[g], outer[g + 1]):
            ok = ok and after[a] != LOST
        for s in range(inner[g], inner[g + 1]):
            ok = ok and before[s] != LOST
        begin, convex = r, outer[g + 1] - outer[g]
        for step in range(convex + inner[g + 1] - inner[g]):
            start = outer[g] + step if step < convex else n + inner[g] + step - convex
            a = start
            area = 0.0
            while ok and not seen[a]:
                seen[a] = True
                if a < n:
                    _put(arcs, k, points, disc[a], angle[a, 0], angle[a, 1])
                    following = a if cut[a, 1] == WHOLE else n + first[a]
                    ok = cut[a, 1] == WHOLE or first[a] != LOST
                else:
                    s = a - n
                    _put(arcs, k, vertices, concave[s], turn[s, 1], turn[s, 0])
                    following = after[concave[s]] if trim[s, 0] == BLOCKED else n + before[s]
                area += _sector(arcs, k)
                k += 1
                a = following
            if ok and k > ring_starts[r]:
                r += 1
                ring_starts[r] = k
                # Every part holds a disc of b, and so does every hole: a smaller ring is rounding's.
                ok = a == start and abs(area) > 0.999 * math.pi
            if not ok:
                break
        if not ok:
            r = begin
            k = ring_starts[r]
        rings[g], closed[g] = r - begin, ok
    return arcs[:k], ring_starts[: r + 1], rings, closed


@njit()
def _put(arcs, k, centers, i, begin, end):  # type: ignore[no-untyped-def]
    arcs[k, 0], arcs[k, 1], arcs[k, 2], arcs[k, 3] = centers[i, 0], centers[i, 1], begin, end - begin


@njit()
def _sector(arcs, k):  # type: ignore[no-untyped-def]
    """An arc's share of the area inside its ring (Green's theorem), radius 1."""
    x, y, begin, sweep = arcs[k, 0], arcs[k, 1], arcs[k, 2], arcs[k, 3]
    dx = math.cos(begin + sweep) - math.cos(begin)
    dy = math.sin(begin + sweep) - math.sin(begin)
    return 0.5 * (sweep + x * dy - y * dx)


@njit()
def _ring_integrals(arcs, ring_starts):  # type: ignore[no-untyped-def]
    """Signed area and length of each ring."""
    rings = len(ring_starts) - 1
    area, length = np.empty(rings), np.empty(rings)
    for r in range(rings):
        area[r] = length[r] = 0.0
        for a in range(ring_starts[r], ring_starts[r + 1]):
            area[r] += _sector(arcs, a)
            length[r] += abs(arcs[a, 3])
    return area, length


@njit()
def _chords(arcs, ring_starts, owner, area, a_turn, tolerance):  # type: ignore[no-untyped-def]
    """How many chords each arc becomes: as few a turn, of those offered, as its cluster's area allows."""
    chords = np.empty(len(arcs), np.int64)
    r = 0
    while r < len(owner):
        last = r + 1
        while last < len(owner) and owner[last] == owner[r]:
            last += 1
        for offer in range(len(a_turn)):
            lost = 0.0
            for a in range(ring_starts[r], ring_starts[last]):
                chords[a] = max(1, math.ceil(abs(arcs[a, 3]) * a_turn[offer] / TURN))
                angle = arcs[a, 3] / chords[a]
                lost += chords[a] * (angle - math.sin(angle)) / 2  # gained where an arc turns inwards
            if abs(lost) <= tolerance * area[owner[r]]:
                break
        r = last
    return chords


@njit()
def _sample(arcs, chords, ring_starts, owner, origin, b):  # type: ignore[no-untyped-def]
    """Closed rings of points on the arcs, in nm: coordinates and the bounds of each ring."""
    point_starts = np.zeros(len(ring_starts), np.int64)
    for r in range(len(ring_starts) - 1):
        point_starts[r + 1] = point_starts[r] + 1
        for a in range(ring_starts[r], ring_starts[r + 1]):
            point_starts[r + 1] += chords[a]
    coords = np.empty((point_starts[-1], 2))
    for r in range(len(ring_starts) - 1):
        i, k = owner[r], point_starts[r]
        for a in range(ring_starts[r], ring_starts[r + 1]):
            for j in range(chords[a]):
                angle = arcs[a, 2] + arcs[a, 3] * j / chords[a]
                coords[k, 0] = origin[i, 0] + b[i] * (arcs[a, 0] + math.cos(angle))
                coords[k, 1] = origin[i, 1] + b[i] * (arcs[a, 1] + math.sin(angle))
                k += 1
        coords[k, 0], coords[k, 1] = coords[point_starts[r], 0], coords[point_starts[r], 1]
    return coords, point_starts
