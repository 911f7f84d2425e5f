"""The set covariance of a region: the area that it shares with itself moved by some distance.

Of a direction, the region is cut into parallel lines. On each, the length that is shared with the line moved along
itself is a sum over pairs of intervals, in closed form; lines through holes and several parts count as any other.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import shapely

from caml_dask.compiled import njit

FloatArray = npt.NDArray[np.float64]

_DIRECTIONS, _LINES = 180, 1024


def mean_covariance(shape: shapely.Geometry, most_nm: float, steps: int) -> FloatArray:
    """Area that a region shares with itself moved by a distance, mean over all directions.

    Parameters
    ----------
    shape : shapely.Geometry
        A polygon or several that do not overlap, in nm.
    most_nm : float
        The largest distance, in nm.
    steps : int
        Steps to it.

    Returns
    -------
    (steps + 1,) float64
        Area in nm2 at distances from 0 to the largest, to 3e-5 of the region's area: by 180 directions and 1,024
        lines of each, whose sum is scaled to the area.
    """
    begin, end = edges_of(shape)
    middle = (np.minimum(begin, end).min(axis=0) + np.maximum(begin, end).max(axis=0)) / 2
    total = np.zeros(steps + 1)
    for angle in (np.arange(_DIRECTIONS) + 0.5) * (np.pi / _DIRECTIONS):
        along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
        ends = np.stack([(begin - middle) @ across, (end - middle) @ across], axis=1)
        low, width = ends.min(), np.ptp(ends) / _LINES
        places = np.stack([(begin - middle) @ along, (end - middle) @ along], axis=1)
        line, place = _crossings(ends, places, low, width, _LINES)
        order = np.lexsort((place, line))
        starts = np.searchsorted(line[order], np.arange(_LINES + 1))
        shared = np.zeros(steps + 1)
        _shared(place[order], starts, most_nm / steps, shared)
        total += shared / shared[0]
    found: FloatArray = total * (shape.area / _DIRECTIONS)
    return found


def edges_of(shape: shapely.Geometry) -> tuple[FloatArray, FloatArray]:
    """Edges of a region's border, those of holes included.

    Parameters
    ----------
    shape : shapely.Geometry
        A polygon or several.

    Returns
    -------
    (e, 2), (e, 2) float64
        Where each begins and ends.
    """
    rings = shapely.get_rings(shapely.get_parts(shape))
    places, ring = shapely.get_coordinates(rings, return_index=True)
    last = np.append(ring[1:] != ring[:-1], True)
    return places[~last], places[1:][~last[:-1]]


@njit()
def _crossings(ends, places, low, width, lines):  # type: ignore[no-untyped-def]
    """Where edges cross the middle lines of strips: number of the line, and place along it."""
    first, stop = np.empty(len(ends), np.int64), np.empty(len(ends), np.int64)
    total = 0
    for e in range(len(ends)):
        lower, upper = min(ends[e, 0], ends[e, 1]), max(ends[e, 0], ends[e, 1])
        # a line through a corner crosses one of the edges that share it
        first[e] = min(max(int(np.ceil((lower - low) / width - 0.5)), 0), lines)
        stop[e] = min(max(int(np.ceil((upper - low) / width - 0.5)), 0), lines)
        total += stop[e] - first[e]
    line, place = np.empty(total, np.int64), np.empty(total)
    at = 0
    for e in range(len(ends)):
        for j in range(first[e], stop[e]):
            share = (low + (j + 0.5) * width - ends[e, 0]) / (ends[e, 1] - ends[e, 0])
            line[at], place[at] = j, places[e, 0] + share * (places[e, 1] - places[e, 0])
            at += 1
    return line, place


@njit()
def _shared(place, starts, step, shared):  # type: ignore[no-untyped-def]
    """Add up the length that the intervals of each line share with those moved by whole steps."""
    last = len(shared) - 1
    for line in range(len(starts) - 1):
        for i in range(starts[line], starts[line + 1] - 1, 2):
            for j in range(i, starts[line + 1] - 1, 2):
                begins = (place[j] - place[i + 1]) / step
                if begins > last:
                    break
                for k in range(max(0, int(np.ceil(begins))), min(last, int((place[j + 1] - place[i]) / step)) + 1):
                    by = k * step
                    length = min(place[i + 1] + by, place[j + 1]) - max(place[i] + by, place[j])
                    if length > 0:
                        shared[k] += length
