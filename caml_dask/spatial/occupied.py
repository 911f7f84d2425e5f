"""Where localizations are: the part of the plane that they occupy, as one would outline a cell by eye.

Localizations are counted once, in integers, on a grid over their bounding box; all that follows is computed from these
counts, also in integers, so that neither tiles, chunks nor the order of rows change the result.

Two rules decide. An outline is drawn at **half maximum**: the edge of an even object lies where its blurred image
falls to half of its level, as the width of a spot is measured. And the **scale** is twice that at which localizations
hang together: under a finer blur than the gaps between clusters, what lies above half maximum are the clusters; from
the scale on where their surroundings fill the gaps, it is a few large parts that hold most localizations
(percolation). Twice that scale, gaps by chance close.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from caml_dask.compiled import njit

COARSEST, LEVELS = 8, 9
"""Boxes along the longer side of the coarsest grid; most grids, each with boxes half as wide as the one before."""
_SMALLEST_SHARE = 64  # the finest grid fits an outline that takes a 64th of the bounding box, or all that are larger
# Binomial weights of a blur along an axis; their variance is half a box, and 2 boxes: that of half a box twice as wide.
_BLUR, _BLUR_TWICE = np.array([1, 2, 1]), np.array([1, 8, 28, 56, 70, 56, 28, 8, 1])
_WINDOW, _WINDOW_TWICE = 9, 36  # boxes of their windows; smaller islands and holes are removed
_LEAST_IN_BOX = 4  # localizations in the median one's box: by chance a window falls below half once in 250
_DIMMEST = 8  # a part is looked at by itself where the blurred counts reach an 8th of the level of the whole
_PARTS = 64  # a part is large if it holds this share of the localizations, 1/64
_MOST_HELD = 3, 4  # large parts hold 3/4 of the localizations, or there is no outline


@dataclass(frozen=True)
class Occupied:
    """The boxes of a grid that localizations occupy.

    Attributes
    ----------
    inside : (nx, ny) bool
        Whether a box belongs to the part; all of them where no outline is found.
    x_nm, y_nm : (nx + 1,), (ny + 1,) float64
        Sides of the boxes, in nm.
    outlined : bool
        Whether an outline was found.
    """

    inside: npt.NDArray[np.bool_]
    x_nm: npt.NDArray[np.float64]
    y_nm: npt.NDArray[np.float64]
    outlined: bool


def occupied(stream: Iterable[npt.NDArray[np.float64]], n: int, bounds_nm: Sequence[float]) -> Occupied:
    """Find the part of the plane that localizations occupy.

    Parameters
    ----------
    stream : iterable of (m, 2) float64
        x and y of the localizations, in nm, in any order.
    n : int
        Number of them.
    bounds_nm : sequence of 4 float
        Lowest x, lowest y, highest x and highest y of them, in nm.

    Returns
    -------
    Occupied
        Boxes of the finest grid whose outline holds most localizations in large parts.
    """
    x0, y0, x1, y1 = bounds_nm
    counts = np.zeros(_shape(x1 - x0, y1 - y0, n), dtype=np.int64)
    for xy_nm in stream:
        _count(np.ascontiguousarray(xy_nm), x0, y0, x1, y1, counts)
    inside = None
    while inside is None and max(counts.shape) >= COARSEST:
        inside = _outlined(counts)
        if inside is None:
            counts = _halved(counts)
    outlined = inside is not None
    found = np.ones((1, 1), dtype=bool) if inside is None else inside
    nx, ny = found.shape
    return Occupied(found, _sides(x0, x1, nx), _sides(y0, y1, ny), outlined)


def _shape(width: float, height: float, n: int) -> tuple[int, int]:
    """Boxes of the finest grid along both sides, as square as whole boxes of the coarsest grid can be."""
    longer = max(width, height)
    nx, ny = (max(1, round(COARSEST * side / longer)) if longer > 0 else 1 for side in (width, height))
    level, most = 0, _SMALLEST_SHARE * n // _LEAST_IN_BOX
    while level + 1 < LEVELS and (nx * ny) << (2 * level + 2) <= most:
        level += 1
    return nx << level, ny << level


@njit()
def _count(xy, x0, y0, x1, y1, counts):  # type: ignore[no-untyped-def]
    nx, ny = counts.shape
    for i in range(len(xy)):
        x = int((xy[i, 0] - x0) / (x1 - x0) * nx) if x1 > x0 else 0
        y = int((xy[i, 1] - y0) / (y1 - y0) * ny) if y1 > y0 else 0
        counts[min(x, nx - 1), min(y, ny - 1)] += 1


def _halved(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The same counts in boxes twice as wide."""
    nx, ny = counts.shape
    if nx % 2 or ny % 2:
        return np.zeros((0, 0), dtype=np.int64)
    return np.asarray(counts.reshape(nx // 2, 2, ny // 2, 2).sum(axis=(1, 3)))


def _outlined(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_] | None:
    """Boxes inside of the outline, which is drawn at twice the scale of the grid; None where the grid is too fine."""
    blurred = _blur(counts, _BLUR)
    if _median(blurred, counts) < _LEAST_IN_BOX * int(_BLUR.sum()) ** 2:
        return None
    parts, n = scipy.ndimage.label(_above_half(blurred, counts, _WINDOW))
    held = np.zeros(n + 1, dtype=np.int64)
    np.add.at(held, parts.ravel(), counts.ravel())
    total = int(counts.sum())
    large = held[1:][_PARTS * held[1:] >= total]
    if _MOST_HELD[1] * int(large.sum()) < _MOST_HELD[0] * total:
        return None
    inside = _each_above_half(_blur(counts, _BLUR_TWICE), counts)
    return ~_without_small(~inside, _WINDOW_TWICE) if inside.any() else None


def _blur(counts: npt.NDArray[np.int64], weights: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Counts blurred along both axes; what lies beyond the bounding box mirrors what lies within."""
    for axis in (0, 1):
        counts = scipy.ndimage.correlate1d(counts, weights, axis=axis, mode="reflect", output=np.int64)
    return counts


def _each_above_half(blurred: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Boxes above half of the level of their part: of cells apart, dim ones are outlined as bright ones are."""
    level = _median(blurred, counts)
    parts, _ = scipy.ndimage.label(_without_small(_DIMMEST * blurred >= level, _WINDOW_TWICE))
    inside = np.zeros(counts.shape, dtype=bool)
    for part, box in enumerate(scipy.ndimage.find_objects(parts), start=1):
        mine = parts[box] == part
        if (counts[box] * mine).any():
            inside[box] |= _above_half(blurred[box] * mine, counts[box] * mine, _WINDOW_TWICE)
    return inside


def _above_half(blurred: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], window: int) -> npt.NDArray[np.bool_]:
    """Boxes where the blurred counts reach half of their level, without small islands.

    The level begins at what the median localization sees. That lies in a cluster where most localizations do, so the
    level falls to the median of the area above its half, where clusters count for little, until it falls no more.
    """
    level = _median(blurred, counts)
    while True:
        above = _without_small(2 * blurred >= level, window)
        if not above.any() or (lower := int(np.sort(blurred[above])[above.sum() // 2])) >= level:
            return above
        level = lower


def _median(values: npt.NDArray[np.int64], weights: npt.NDArray[np.int64]) -> int:
    """The lower median of the values, each counted by its weight."""
    there = weights > 0
    order = np.argsort(values[there], kind="stable")
    running = np.cumsum(weights[there][order])
    return int(values[there][order][np.searchsorted(running, (running[-1] + 1) // 2)])


def _without_small(boxes: npt.NDArray[np.bool_], least: int) -> npt.NDArray[np.bool_]:
    """Boxes without their connected parts of fewer than `least`."""
    parts, _ = scipy.ndimage.label(boxes)
    large = np.bincount(parts.ravel()) >= least
    large[0] = False
    return np.asarray(large[parts])


def _sides(low: float, high: float, boxes: int) -> npt.NDArray[np.float64]:
    """Sides of boxes; the outermost are the bounds themselves."""
    return np.linspace(low, high, boxes + 1)
