"""Localizations counted on a pixel grid, and the counts turned into colors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from caml_dask.compiled import njit
from caml_dask.sorting import first_from

FloatArray = npt.NDArray[np.float64]
Picture = npt.NDArray[np.float32]
Bounds = tuple[float, float, float, float]

BACKGROUND = np.array([9, 11, 17], dtype=np.float64)
NON_CLUSTERED_COLOR = np.array([128, 156, 206], dtype=np.float64)
CLUSTERED_COLOR = np.array([255, 150, 40], dtype=np.float64)
DENSE_COLOR = np.array([255, 238, 170], dtype=np.float64)
FIBER_COLOR = np.array([190, 80, 255], dtype=np.float64)
DENSE_FIBER_COLOR = np.array([226, 190, 255], dtype=np.float64)

# Of each class: of one localization, and of many.
_COLORS = (
    np.array([NON_CLUSTERED_COLOR, CLUSTERED_COLOR, FIBER_COLOR]),
    np.array([NON_CLUSTERED_COLOR, DENSE_COLOR, DENSE_FIBER_COLOR]),
)
_BAND = 64  # rows of a picture painted at a time, so that what is held of them stays in the processor's cache
_MARGIN = 0.035  # room for a letter beside the localizations
_THINNEST = 0.25
_ONE_SPOT_NM = 1000.0
_ZOOM_NM = 5000.0
_ZOOM_CLUSTERS = 25
# Counts above this quantile of the occupied pixels are drawn alike.
_CLIP = 0.995
# How bright a single localization is: in a sparse picture, and in one whose pixels are nearly all occupied.
_FAINTEST = (0.55, 0.2)
_LEAST_WEIGHT = 0.05  # of a dot's rim, below which it is left out


class Raster:
    """Counts of localizations of each class in square pixels, row 0 at the smallest y.

    Adding tables in any order, or to several rasters that are merged, gives the same counts.

    Parameters
    ----------
    bounds_nm : x0, y0, x1, y1; a margin is added, and an extent too thin to be seen is widened.
    longest_px : pixels along the longer side.
    margin : added on each side, as a share of the longer side.
    classes : 2 for non-clustered and clustered, 3 for fibers too.
    """

    def __init__(self, bounds_nm: Bounds, longest_px: int = 1600, *, margin: float = _MARGIN, classes: int = 2):
        x0, y0, x1, y1 = (float(v) for v in bounds_nm)
        if not (np.isfinite([x0, y0, x1, y1]).all() and x0 <= x1 and y0 <= y1):
            raise ValueError(f"bounds_nm {bounds_nm} are no extent: pass finite x0, y0, x1, y1 with x0 <= x1, y0 <= y1")
        longest = max(x1 - x0, y1 - y0) or _ONE_SPOT_NM
        width, height = (max(side, _THINNEST * longest) + 2 * margin * longest for side in (x1 - x0, y1 - y0))
        self.pixel_nm = max(width, height) / longest_px
        self.shape = (max(1, round(height / self.pixel_nm)), max(1, round(width / self.pixel_nm)))
        self.x0_nm, self.y0_nm = (x0 + x1 - width) / 2, (y0 + y1 - height) / 2
        self.counts = np.zeros((classes, *self.shape), dtype=np.uint32)

    def add(self, x_nm: FloatArray, y_nm: FloatArray, labels: npt.NDArray[np.int8] | npt.NDArray[np.bool_]) -> None:
        """Count n localizations of classes `labels`; those outside, or with coordinates not finite, are left out."""
        np.add.at(self.counts.reshape(-1), self._places(x_nm, y_nm, labels), np.uint32(1))

    def count(
        self, x_nm: FloatArray, y_nm: FloatArray, labels: npt.NDArray[np.int8] | npt.NDArray[np.bool_]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """What :meth:`add` would add, without adding it: places among the counts, each once, and how many there."""
        return np.unique(self._places(x_nm, y_nm, labels), return_counts=True)

    def add_counted(self, place: npt.NDArray[np.int64], number: npt.NDArray[np.int64]) -> None:
        """Add what :meth:`count` gave of a raster of the same bounds and size."""
        self.counts.reshape(-1)[place] += number.astype(np.uint32)

    def _places(
        self, x_nm: FloatArray, y_nm: FloatArray, labels: npt.NDArray[np.int8] | npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.int64]:
        with np.errstate(invalid="ignore"):
            column = np.floor((np.asarray(x_nm) - self.x0_nm) / self.pixel_nm)
            row = np.floor((np.asarray(y_nm) - self.y0_nm) / self.pixel_nm)
            inside = (column >= 0) & (column < self.shape[1]) & (row >= 0) & (row < self.shape[0])
        pixel = row[inside].astype(np.int64) * self.shape[1] + column[inside].astype(np.int64)
        return pixel + np.asarray(labels, dtype=np.int64)[inside] * (self.shape[0] * self.shape[1])

    @property
    def bounds_nm(self) -> Bounds:
        """x0, y0, x1, y1 of the pixels, margin included."""
        height, width = self.shape
        x1, y1 = self.x0_nm + width * self.pixel_nm, self.y0_nm + height * self.pixel_nm
        return self.x0_nm, self.y0_nm, x1, y1

    def paint(self, picture: npt.NDArray[np.uint8]) -> None:
        """Draw the counts over a (rows, columns, 3) part of a picture; empty pixels are left as they are.

        Non-clustered is dim blue, clustered warm, a fiber violet; brighter where there are more.
        """
        occupied = [_occupied(counts) for counts in self.counts]
        radius = _dot_radius(sum(len(place) for place, _ in occupied) / self.counts[0].size)
        reach = int(np.ceil(radius))
        steps = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1).T
        weights = np.minimum(1.0, radius + 0.5 - np.hypot(*steps.T)).astype(np.float32)
        dot, weights = steps[weights > _LEAST_WEIGHT], weights[weights > _LEAST_WEIGHT]
        starts = np.cumsum([0, *(len(place) for place, _ in occupied)])
        places = np.concatenate([place for place, _ in occupied])
        bright = np.concatenate([_brightness(counts, self.counts[0].size) for _, counts in occupied])
        _paint(places, bright, starts, dot, weights, BACKGROUND, *_COLORS, picture)


def zoom_bounds(centroids_nm: FloatArray, bounds_nm: Bounds, width_nm: float, largest: float = 1 / 8) -> Bounds:
    """The square with the most clusters: 25 typical ones wide, so that outlines show, a share of the image at most.

    Parameters
    ----------
    centroids_nm : (c, 2) centroids of the clusters; with none the middle of the image is taken.
    bounds_nm : x0, y0, x1, y1 of the image.
    width_nm : width of a typical cluster; the square is 5 um wide where it is 0.
    largest : side of the square, as a share of that of the image, at most.
    """
    x0, y0, x1, y1 = bounds_nm
    longest = max(x1 - x0, y1 - y0) or _ONE_SPOT_NM
    side = min(longest * largest, max(_ZOOM_CLUSTERS * width_nm or _ZOOM_NM, longest / 400))
    if len(centroids_nm) == 0:
        return _square((x0 + x1) / 2, (y0 + y1) / 2, side)
    # Squares step by a quarter of their side; the best one is then moved to the middle of its clusters.
    step = side / 4
    cell = np.floor((np.asarray(centroids_nm) - (x0, y0)) / step).astype(np.int64)
    low = cell.min(axis=0)
    span = cell.max(axis=0) - low + 1
    flat = np.ravel_multi_index(tuple((cell - low).T), tuple(span))
    counts = np.pad(np.bincount(flat, minlength=span.prod()).reshape(span), ((3, 3), (3, 3)))
    sums = np.lib.stride_tricks.sliding_window_view(counts, (4, 4)).sum(axis=(2, 3))
    i, j = np.unravel_index(sums.argmax(), sums.shape)
    within = ((cell - low >= (i - 3, j - 3)) & (cell - low <= (i, j))).all(axis=1)
    corners = np.asarray(centroids_nm)[within]
    x, y = (corners.min(axis=0) + corners.max(axis=0)) / 2
    return kept_square(x, y, side, bounds_nm)


def kept_square(x: float, y: float, side: float, bounds_nm: Bounds) -> Bounds:
    """The square around a point, moved into an image that has room for it."""
    x0, y0, x1, y1 = bounds_nm
    return _square(_kept(x, x0, x1, side), _kept(y, y0, y1, side), side)


def _kept(middle: float, low: float, high: float, side: float) -> float:
    """The middle of a stretch moved into the image, or to the image's middle where that is the shorter."""
    return (low + high) / 2 if high - low <= side else float(np.clip(middle, low + side / 2, high - side / 2))


def _square(x: float, y: float, side: float) -> Bounds:
    return x - side / 2, y - side / 2, x + side / 2, y + side / 2


def _dot_radius(share: float) -> float:
    """Radius in pixels at which localizations are drawn: the smaller the share of occupied pixels, the larger."""
    return 0.5 if share > 0.1 else 1.2 if share > 0.01 else 2.2 if share > 0.0005 else 4.0


def _brightness(counts: npt.NDArray[np.uint32], pixels: int) -> Picture:
    """Brightness of the occupied ones of all pixels: from faint to 1 with the logarithm of their counts.

    Fainter where most pixels are occupied.
    """
    if len(counts) == 0:
        return np.zeros(0, np.float32)
    top = np.log1p(max(np.quantile(counts, _CLIP), 3.0))
    scaled = np.clip((np.log1p(counts.astype(np.float64)) - np.log(2.0)) / (top - np.log(2.0)), 0.0, 1.0)
    faintest = np.interp(len(counts) / pixels, (0.1, 0.6), _FAINTEST)
    return (faintest + (1 - faintest) * scaled).astype(np.float32)


def _occupied(counts: npt.NDArray[np.uint32]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32]]:
    """Places of the pixels that are not empty, row by row, and their counts."""
    place = np.flatnonzero(counts)
    return place, counts.reshape(-1)[place]


@njit()
def _paint(places, bright, starts, dot, weights, background, plain, dense, picture):  # type: ignore[no-untyped-def]
    """Draw each occupied pixel as a dot with a soft rim, the brighter where dots meet, and color what is lit.

    Non-clustered lies below, each further class over it, the more opaque the brighter.

    places, bright : of the occupied pixels, row by row; those of class c from ``starts[c]`` to ``starts[c + 1]``
    dot, weights : (d, 2) rows and columns from a pixel, and the share of its brightness there
    """
    rows, columns = picture.shape[:2]
    classes = len(starts) - 1
    reach = dot[-1, 0]
    band = np.zeros((_BAND, columns, classes), np.float32)
    lit = np.empty((_BAND * columns, 2), np.int64)
    for top in range(0, rows, _BAND):
        height, n_lit = min(_BAND, rows - top), 0
        for c in range(classes):
            mine = places[starts[c] : starts[c + 1]]
            first = first_from(mine, (top - reach) * columns)
            stop = first_from(mine, (top + height + reach) * columns)
            for n in range(first, stop):
                i, j = mine[n] // columns - top, mine[n] % columns
                for k in range(len(weights)):
                    y, x = i + dot[k, 0], j + dot[k, 1]
                    if 0 <= y < height and 0 <= x < columns:
                        if not _any(band[y, x]):
                            lit[n_lit, 0], lit[n_lit, 1] = y, x
                            n_lit += 1
                        band[y, x, c] = max(band[y, x, c], weights[k] * bright[starts[c] + n])
        for m in range(n_lit):
            y, x = lit[m, 0], lit[m, 1]
            _color(band[y, x], background, plain, dense, picture[top + y, x])
            for c in range(classes):
                band[y, x, c] = 0


@njit()
def _any(values):  # type: ignore[no-untyped-def]
    for value in values:  # noqa: SIM110
        if value > 0:
            return True
    return False


@njit()
def _color(bright, background, plain, dense, pixel):  # type: ignore[no-untyped-def]
    for a in range(3):
        color = background[a] + bright[0] * (plain[0, a] - background[a])
        for c in range(1, len(bright)):
            whiter = min(max(2 * bright[c] - 1, 0.0), 1.0)
            opaque = min(1.0, 1.6 * bright[c])
            color = color * (1 - opaque) + (plain[c, a] + whiter * (dense[c, a] - plain[c, a])) * opaque
        pixel[a] = np.rint(color)
