"""Localizations counted on a pixel grid, and the counts turned into colors."""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Picture = npt.NDArray[np.float32]
Bounds = tuple[float, float, float, float]

BACKGROUND = np.array([9, 11, 17], dtype=np.float64)
NON_CLUSTERED_COLOR = np.array([128, 156, 206], dtype=np.float64)
CLUSTERED_COLOR = np.array([255, 150, 40], dtype=np.float64)
DENSE_COLOR = np.array([255, 238, 170], dtype=np.float64)
FIBER_COLOR = np.array([232, 84, 196], dtype=np.float64)
DENSE_FIBER_COLOR = np.array([255, 206, 244], dtype=np.float64)

_COLORS = ((CLUSTERED_COLOR, DENSE_COLOR), (FIBER_COLOR, DENSE_FIBER_COLOR))
_MARGIN = 0.02
_THINNEST = 0.25
_ONE_SPOT_NM = 1000.0
_ZOOM_NM = 5000.0
_ZOOM_CLUSTERS = 25
# Counts above this quantile of the occupied pixels are drawn alike.
_CLIP = 0.995
# How bright a single localization is: in a sparse picture, and in one whose pixels are nearly all occupied.
_FAINTEST = (0.55, 0.2)


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
        self.counts = np.zeros((classes, *self.shape), dtype=np.int64)

    def add(self, x_nm: FloatArray, y_nm: FloatArray, labels: npt.NDArray[np.int8] | npt.NDArray[np.bool_]) -> None:
        """Count n localizations of classes `labels`; those outside, or with coordinates not finite, are left out."""
        with np.errstate(invalid="ignore"):
            column = np.floor((np.asarray(x_nm) - self.x0_nm) / self.pixel_nm)
            row = np.floor((np.asarray(y_nm) - self.y0_nm) / self.pixel_nm)
            inside = (column >= 0) & (column < self.shape[1]) & (row >= 0) & (row < self.shape[0])
        pixel = row[inside].astype(np.int64) * self.shape[1] + column[inside].astype(np.int64)
        pixel += np.asarray(labels, dtype=np.int64)[inside] * (self.shape[0] * self.shape[1])
        self.counts += np.bincount(pixel, minlength=self.counts.size).reshape(self.counts.shape)

    def merge(self, other: Self) -> None:
        """Add the counts of a raster of the same bounds and size."""
        mine, its = ((r.x0_nm, r.y0_nm, r.pixel_nm, r.counts.shape) for r in (self, other))
        if mine != its:
            raise ValueError(f"rasters of {mine} and {its} (x0, y0, pixel, shape) differ: give both the same bounds")
        self.counts += other.counts

    @property
    def bounds_nm(self) -> Bounds:
        """x0, y0, x1, y1 of the pixels, margin included."""
        height, width = self.shape
        x1, y1 = self.x0_nm + width * self.pixel_nm, self.y0_nm + height * self.pixel_nm
        return self.x0_nm, self.y0_nm, x1, y1

    def colors(self) -> npt.NDArray[np.uint8]:
        """The picture, (rows, columns, 3).

        Non-clustered is dim blue, clustered warm, a fiber pink; brighter where there are more.
        """
        radius = _dot_radius(self.counts.sum(axis=0))
        non, *clustered = (_spread(_brightness(counts), radius)[..., None] for counts in self.counts)
        picture = BACKGROUND + non * (NON_CLUSTERED_COLOR - BACKGROUND)
        for bright, (color, dense) in zip(clustered, _COLORS, strict=False):
            shown = color + np.clip(2 * bright - 1, 0, 1) * (dense - color)
            opaque = np.minimum(1.0, 1.6 * bright)
            picture = picture * (1 - opaque) + shown * opaque
        return np.rint(picture).astype(np.uint8)


def zoom_bounds(centroids_nm: FloatArray, bounds_nm: Bounds, width_nm: float) -> Bounds:
    """The square with the most clusters: 25 typical ones wide, so that outlines show, an eighth of the image at most.

    Parameters
    ----------
    centroids_nm : (c, 2) centroids of the clusters; with none the middle of the image is taken.
    bounds_nm : x0, y0, x1, y1 of the image.
    width_nm : width of a typical cluster; the square is 5 um wide where it is 0.
    """
    x0, y0, x1, y1 = bounds_nm
    longest = max(x1 - x0, y1 - y0) or _ONE_SPOT_NM
    side = min(longest / 8, max(_ZOOM_CLUSTERS * width_nm or _ZOOM_NM, longest / 400))
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
    return _square(_kept(x, x0, x1, side), _kept(y, y0, y1, side), side)


def _kept(middle: float, low: float, high: float, side: float) -> float:
    """The middle of a stretch moved into the image, or to the image's middle where that is the shorter."""
    return (low + high) / 2 if high - low <= side else float(np.clip(middle, low + side / 2, high - side / 2))


def _square(x: float, y: float, side: float) -> Bounds:
    return x - side / 2, y - side / 2, x + side / 2, y + side / 2


def _brightness(counts: npt.NDArray[np.int64]) -> Picture:
    """0 for empty pixels, then from faint to 1 with the logarithm of the count; fainter where most are occupied."""
    occupied = counts[counts > 0]
    if len(occupied) == 0:
        return np.zeros(counts.shape, np.float32)
    top = np.log1p(max(np.quantile(occupied, _CLIP), 3.0))
    scaled = np.clip((np.log1p(counts) - np.log(2.0)) / (top - np.log(2.0)), 0.0, 1.0)
    faintest = np.interp(len(occupied) / counts.size, (0.1, 0.6), _FAINTEST)
    return np.where(counts > 0, faintest + (1 - faintest) * scaled, 0.0).astype(np.float32)


def _dot_radius(counts: npt.NDArray[np.int64]) -> float:
    """Radius in pixels at which localizations are drawn: the fewer pixels are occupied, the larger."""
    share = np.count_nonzero(counts) / counts.size
    return 0.5 if share > 0.1 else 1.2 if share > 0.01 else 2.2


def _spread(bright: Picture, radius: float) -> Picture:
    """Each pixel as a dot with a soft rim; where dots meet the brighter one shows."""
    reach = int(np.ceil(radius))
    height, width = bright.shape
    padded = np.pad(bright, reach)
    out = bright.copy()
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            weight = min(1.0, radius + 0.5 - float(np.hypot(dx, dy)))
            if weight > 0.05:
                shifted = padded[reach + dy : reach + dy + height, reach + dx : reach + dx + width]
                np.maximum(out, np.float32(weight) * shifted, out=out)
    return out
