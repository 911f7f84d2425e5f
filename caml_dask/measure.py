"""Outline and shape descriptors of clusters, from the coordinates of their members (Williamson et al. 2020)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import shapely

from caml_dask.outline import closing_outlines

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

NM2_PER_UM2 = 1e6


@dataclass(frozen=True)
class Shapes:
    """What the members alone decide about c clusters: columns of schema.CLUSTERS, each of shape (c,).

    Null values are NaN. `bounds_nm` is (c, 4), the outline's xmin, ymin, xmax, ymax; `outline` holds shapely
    geometries in nm, None where b is 0. A Polygon in `outline` is a sampling: `area_nm2` and `perimeter_nm` are the
    closed forms.
    """

    n_localizations: IntArray
    area_nm2: FloatArray
    perimeter_nm: FloatArray
    circularity: FloatArray
    elongation: FloatArray
    orientation_deg: FloatArray
    radius_of_gyration_nm: FloatArray
    mean_nn_nm: FloatArray
    density_per_um2: FloatArray
    centroid_x_nm: FloatArray
    centroid_y_nm: FloatArray
    bounds_nm: FloatArray
    outline: npt.NDArray[np.object_]

    def outline_wkb(self) -> list[bytes | None]:
        """The outlines as little-endian WKB, None where there is none."""
        return list(shapely.to_wkb(self.outline, byte_order=1))


def measure_clusters(xy_nm: FloatArray, nn_nm: FloatArray, starts: IntArray, b_nm: FloatArray) -> Shapes:
    """Measure c clusters; the order of the members within a cluster changes no bit of any result.

    The outline is the union of discs of radius 2b on the members, eroded by b; holes are kept. Williamson et al. 2020
    take b as 1.2 times the members' mean distance to their nearest neighbor.

    Parameters
    ----------
    xy_nm : (m, 2) float64, members cluster by cluster.
    nn_nm : (m,) float64, distance of each member to its nearest localization, of any cluster or none.
    starts : (c + 1,) int64, members of cluster i are rows starts[i] to starts[i + 1]; none is empty.
    b_nm : (c,) float64. Where it is 0 (duplicates only) area and perimeter are 0; outline, density and circularity
        null.

    Raises
    ------
    ValueError : shapes that do not fit together, an empty cluster, a coordinate, distance or b that is not finite, or
        a negative distance or b.
    """
    xy_nm, nn_nm = np.asarray(xy_nm, np.float64), np.asarray(nn_nm, np.float64)
    starts, b_nm = np.asarray(starts, np.int64), np.asarray(b_nm, np.float64)
    _check(xy_nm, nn_nm, starts, b_nm)
    n = np.diff(starts)
    # Adding 0 turns -0.0 into 0.0: they sort as equal, so their order must not show.
    xy = xy_nm[np.lexsort((xy_nm[:, 1], xy_nm[:, 0], np.repeat(np.arange(len(n)), n)))] + 0.0
    outlines = closing_outlines(xy, starts, b_nm)
    centroid, sxx, syy, sxy = _moments(xy, starts)
    elongation, orientation = _axes(sxx, syy, sxy)
    distances = nn_nm.tolist()
    mean_nn = [math.fsum(distances[i:j]) / (j - i) for i, j in pairwise(starts.tolist())]
    with np.errstate(divide="ignore", invalid="ignore"):
        flat = outlines.area == 0
        circularity = np.where(flat, np.nan, 4.0 * math.pi * outlines.area / outlines.perimeter**2)
        density = np.where(flat, np.nan, n / (outlines.area / NM2_PER_UM2))
    return Shapes(
        n_localizations=n,
        area_nm2=outlines.area,
        perimeter_nm=outlines.perimeter,
        circularity=circularity,
        elongation=elongation,
        orientation_deg=orientation,
        radius_of_gyration_nm=np.sqrt((sxx + syy) / n),
        mean_nn_nm=np.array(mean_nn, dtype=np.float64),
        density_per_um2=density,
        centroid_x_nm=centroid[:, 0],
        centroid_y_nm=centroid[:, 1],
        bounds_nm=_bounds(xy, starts, b_nm),
        outline=outlines.polygons,
    )


def touches_border(bounds_nm: FloatArray, bbox_nm: FloatArray, b_nm: FloatArray) -> BoolArray:
    """Whether each outline comes within 2b of its image's bounding box, or reaches over it.

    Parameters
    ----------
    bounds_nm : (c, 4) xmin, ymin, xmax, ymax of the outlines.
    bbox_nm : (4,) the same of all localizations of the image.
    b_nm : (c,) float64.
    """
    margin = 2.0 * np.asarray(b_nm)[:, None]
    low = bounds_nm[:, :2] - margin <= np.asarray(bbox_nm)[:2]
    high = bounds_nm[:, 2:] + margin >= np.asarray(bbox_nm)[2:]
    touches: BoolArray = np.any(low | high, axis=1)
    return touches


def nearest_centroid_nm(x_nm: FloatArray, y_nm: FloatArray) -> FloatArray:
    """Distance from each of c centroids to the nearest other one, (c,) float64; NaN for a cluster alone."""
    from scipy.spatial import cKDTree

    if len(x_nm) < 2:
        return np.full(len(x_nm), np.nan)
    xy = np.column_stack([x_nm, y_nm])
    distance: FloatArray = cKDTree(xy).query(xy, k=2)[0][:, 1]
    return distance


def _check(xy_nm: FloatArray, nn_nm: FloatArray, starts: IntArray, b_nm: FloatArray) -> None:
    m = len(nn_nm)
    if xy_nm.shape != (m, 2) or len(starts) != len(b_nm) + 1 or starts[0] != 0 or starts[-1] != m:
        raise ValueError(
            f"xy_nm {xy_nm.shape}, nn_nm {nn_nm.shape}, starts {starts.shape}, b_nm {b_nm.shape} do not fit together: "
            f"pass (m, 2), (m,), (c + 1,) running from 0 to m, and (c,)"
        )
    if len(b_nm) and np.diff(starts).min() < 1:
        raise ValueError(f"cluster {np.diff(starts).argmin()} of this batch is empty: pass clusters with members only")
    for name, values, lowest in (("xy_nm", xy_nm, -np.inf), ("nn_nm", nn_nm, 0.0), ("b_nm", b_nm, 0.0)):
        wrong = ~(np.isfinite(values) & (values >= lowest))
        if wrong.any():
            raise ValueError(f"{name} holds {values[wrong][0]}: drop non-finite localizations before measuring")


def _moments(xy: FloatArray, starts: IntArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Centroids (c, 2) and sums of squares xx, yy, xy about them, free of the coordinates' offset."""
    n = np.diff(starts)
    origin = xy[starts[:-1]]
    shift = _sums(xy - np.repeat(origin, n, axis=0), starts) / n[:, None]
    dx, dy = (xy - np.repeat(origin + shift, n, axis=0)).T
    sums = _sums(np.column_stack([dx * dx, dy * dy, dx * dy]), starts)
    return origin + shift, sums[:, 0], sums[:, 1], sums[:, 2]


def _sums(values: FloatArray, starts: IntArray) -> FloatArray:
    """Sums of (m, k) values over each cluster's rows, in their order."""
    if len(starts) == 1:
        return np.empty((0, values.shape[1]))
    sums: FloatArray = np.add.reduceat(values, starts[:-1], axis=0)
    return sums


def _axes(sxx: FloatArray, syy: FloatArray, sxy: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Elongation, and direction of the major axis in degrees in [0, 180), of covariance ellipses."""
    half, spread = (sxx + syy) / 2.0, np.sqrt(((sxx - syy) / 2.0) ** 2 + sxy**2)
    major, minor = half + spread, np.maximum(half - spread, 0.0)
    elongation = np.where(major > 0, 1.0 - np.sqrt(minor / np.where(major > 0, major, 1.0)), 0.0)
    degrees = np.degrees(0.5 * np.arctan2(2.0 * sxy, sxx - syy)) % 180.0
    return elongation, np.where(degrees == 180.0, 0.0, degrees)


def _bounds(xy: FloatArray, starts: IntArray, b: FloatArray) -> FloatArray:
    """Bounds of the outlines: it holds each member's disc of b, and lies in their convex hull."""
    if len(b) == 0:
        return np.empty((0, 4))
    low = np.minimum.reduceat(xy, starts[:-1], axis=0) - b[:, None]
    high = np.maximum.reduceat(xy, starts[:-1], axis=0) + b[:, None]
    return np.hstack([low, high])
