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
from numba import njit

from caml_dask.geometry.circles import BLOCKED, TURN, WHOLE, exposed_arcs, grown, successors

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# 64 chords a turn leave a lone disc's polygon 0.16 % smaller than its arcs; from 20 members on it is within 0.04 %.
_STEP = TURN / 64
_ATTEMPTS = 7


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
    # Read-only or strided arrays would each be compiled for anew.
    xy, b = np.require(xy, np.float64, ["C", "W"]), np.require(b, np.float64, ["C", "W"])
    starts = np.require(starts, np.int64, ["C", "W"])
    arcs, ring_starts, cluster_rings, failed = _trace(xy, starts, b)
    if failed >= 0:
        raise ArithmeticError(
            f"the outline of cluster {failed} of this batch ({starts[failed + 1] - starts[failed]} localizations, "
            f"b = {b[failed]}) does not close: report these coordinates"
        )
    ring_area, ring_length = _ring_integrals(arcs, ring_starts)
    totals = np.zeros((2, len(b)))
    owner = np.repeat(np.arange(len(b)), np.diff(cluster_rings))
    np.add.at(totals[0], owner, ring_area)
    np.add.at(totals[1], owner, ring_length)
    coords, point_starts = _sample(arcs, ring_starts, owner, xy[starts[:-1]], b)
    return Outlines(
        area=totals[0] * b * b,
        perimeter=totals[1] * b,
        polygons=_polygons(coords, point_starts, owner, ring_area > 0, len(b)),
    )


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


@njit(cache=True, nogil=True)
def _trace(xy, starts, b):  # type: ignore[no-untyped-def]
    """Boundary arcs of all clusters: rows (x, y, angle, sweep) in ring order, ring bounds, rings of each cluster."""
    arcs = np.empty((64, 4))
    ring_starts = np.zeros(64, np.int64)
    cluster_rings = np.zeros(len(b) + 1, np.int64)
    n_arcs = n_rings = 0
    for i in range(len(b)):
        if b[i] > 0:
            points = _distinct(xy[starts[i] : starts[i + 1]], b[i])
            closed = False
            for attempt in range(_ATTEMPTS):
                closed, mine, bounds = _trace_one(_moved(points, attempt))
                if closed:
                    break
            if not closed:
                return arcs[:n_arcs], ring_starts[: n_rings + 1], cluster_rings, i
            arcs = grown(arcs, n_arcs + len(mine))
            arcs[n_arcs : n_arcs + len(mine)] = mine
            if n_rings + len(bounds) > len(ring_starts):
                longer = np.empty(2 * (n_rings + len(bounds)), np.int64)
                longer[: n_rings + 1] = ring_starts[: n_rings + 1]
                ring_starts = longer
            ring_starts[n_rings : n_rings + len(bounds)] = bounds + n_arcs
            n_arcs += len(mine)
            n_rings += len(bounds) - 1
        cluster_rings[i + 1] = n_rings
    return arcs[:n_arcs], ring_starts[: n_rings + 1], cluster_rings, -1


@njit(cache=True, nogil=True)
def _distinct(members, b):  # type: ignore[no-untyped-def]
    """Members in units of b from the first one, each position once."""
    points = np.empty((len(members), 2))
    n = 0
    for k in range(len(members)):
        x = (members[k, 0] - members[0, 0]) / b
        y = (members[k, 1] - members[0, 1]) / b
        if n == 0 or points[n - 1, 0] != x or points[n - 1, 1] != y:
            points[n, 0], points[n, 1] = x, y
            n += 1
    return points[:n]


@njit(cache=True, nogil=True)
def _moved(points, attempt):  # type: ignore[no-untyped-def]
    """Points moved by 1e-8 b at the second attempt, ten times more at each further one.

    Where three circles meet in one point, as on a lattice, rounding may see them meet in two orders at once. A move
    far below any precision of localization settles it; it is a fixed sequence, so results stay reproducible.
    """
    if attempt == 0:
        return points
    scale = 10.0 ** (attempt - 9) / 2.0**53
    state = np.uint64(attempt)
    moved = points.copy()
    for k in range(moved.size):
        state = state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
        moved.flat[k] += scale * (np.float64(state >> np.uint64(11)) - 2.0**52)
    return moved


@njit(cache=True, nogil=True)
def _trace_one(points):  # type: ignore[no-untyped-def]
    """Arcs of one outline in ring order, and whether all of its rings close."""
    nothing = np.empty((0, 4)), np.zeros(1, np.int64)
    no_block = np.zeros((len(points), 2))
    disc, angle, cut = exposed_arcs(points, 2.0, no_block)
    after, ok = successors(disc, cut, len(points), 1, 0)
    if not ok:
        return False, nothing[0], nothing[1]
    # Vertex a is where arc a ends; the inner circle around it is exposed between its two members at most.
    n = len(disc)
    vertices = np.empty((n, 2))
    block = np.zeros((n, 2))
    for a in range(n):
        vertices[a, 0] = points[disc[a], 0] + 2.0 * math.cos(angle[a, 1])
        vertices[a, 1] = points[disc[a], 1] + 2.0 * math.sin(angle[a, 1])
        if cut[a, 1] == WHOLE:
            vertices[a, 0] = np.inf
            continue
        wedge = (angle[a, 1] - angle[after[a], 0]) % TURN
        if wedge >= math.pi:
            return False, nothing[0], nothing[1]
        block[a, 0] = angle[a, 1] + math.pi
        block[a, 1] = TURN - wedge
    concave, turn, trim = exposed_arcs(vertices, 1.0, block)
    inner, ok = successors(concave, trim, n, 0, 1)
    first = np.full(n, -1)
    for s in range(len(concave)):
        if trim[s, 1] == BLOCKED:
            first[concave[s]] = s
    return _chain(points, disc, angle, cut, after, vertices, concave, turn, trim, inner, first, ok)


@njit(cache=True, nogil=True)
def _chain(points, disc, angle, cut, after, vertices, concave, turn, trim, inner, first, ok):  # type: ignore[no-untyped-def]
    """Follow members' arcs (counter-clockwise) and vertices' arcs (clockwise, numbered after them) into rings."""
    n, total = len(disc), len(disc) + len(concave)
    arcs, bounds = np.empty((total, 4)), np.zeros(total + 1, np.int64)
    seen = np.zeros(total, np.bool_)
    k = rings = 0
    for start in range(total):
        a = start
        area = 0.0
        while ok and not seen[a]:
            seen[a] = True
            if a < n:
                _put(arcs, k, points, disc[a], angle[a, 0], angle[a, 1])
                following = a if cut[a, 1] == WHOLE else n + first[a]
                ok = cut[a, 1] == WHOLE or first[a] >= 0
            else:
                s = a - n
                v = concave[s]
                _put(arcs, k, vertices, v, turn[s, 1], turn[s, 0])
                following = after[v] if trim[s, 0] == BLOCKED else n + inner[s]
            area += _sector(arcs, k)
            k += 1
            a = following
        if not ok:
            break
        if k > bounds[rings]:
            rings += 1
            bounds[rings] = k
            # Every part holds a disc of b, and so does every hole: a smaller ring is rounding's.
            ok = a == start and abs(area) > 0.999 * math.pi
    return ok, arcs[:k], bounds[: rings + 1]


@njit(cache=True, nogil=True)
def _put(arcs, k, centers, i, begin, end):  # type: ignore[no-untyped-def]
    arcs[k, 0], arcs[k, 1], arcs[k, 2], arcs[k, 3] = centers[i, 0], centers[i, 1], begin, end - begin


@njit(cache=True, nogil=True)
def _sector(arcs, k):  # type: ignore[no-untyped-def]
    """An arc's share of the area inside its ring (Green's theorem), radius 1."""
    x, y, begin, sweep = arcs[k, 0], arcs[k, 1], arcs[k, 2], arcs[k, 3]
    dx = math.cos(begin + sweep) - math.cos(begin)
    dy = math.sin(begin + sweep) - math.sin(begin)
    return 0.5 * (sweep + x * dy - y * dx)


@njit(cache=True, nogil=True)
def _ring_integrals(arcs, ring_starts):  # type: ignore[no-untyped-def]
    """Signed area and length of each ring."""
    rings = len(ring_starts) - 1
    area, length = np.zeros(rings), np.zeros(rings)
    for r in range(rings):
        for a in range(ring_starts[r], ring_starts[r + 1]):
            area[r] += _sector(arcs, a)
            length[r] += abs(arcs[a, 3])
    return area, length


@njit(cache=True, nogil=True)
def _sample(arcs, ring_starts, owner, origin, b):  # type: ignore[no-untyped-def]
    """Closed rings of points on the arcs, in nm: coordinates and the bounds of each ring."""
    point_starts = np.zeros(len(ring_starts), np.int64)
    chords = np.empty(len(arcs), np.int64)
    for r in range(len(ring_starts) - 1):
        count = 1
        for a in range(ring_starts[r], ring_starts[r + 1]):
            chords[a] = max(1, math.ceil(abs(arcs[a, 3]) / _STEP))
            count += chords[a]
        if count < 4:
            chords[ring_starts[r]] += 4 - count
            count = 4
        point_starts[r + 1] = point_starts[r] + count
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
