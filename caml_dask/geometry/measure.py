"""Outline and shape descriptors of clusters, from the coordinates of their members (Williamson et al. 2020)."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from itertools import combinations_with_replacement, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from caml_dask.geometry.outline import closing_outlines
from caml_dask.geometry.volume import closing_volumes

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

NM2_PER_UM2 = 1e6
NM3_PER_UM3 = 1e9


@dataclass(frozen=True)
class _Shapes:
    n_localizations: IntArray
    bounds_nm: FloatArray
    outline: npt.NDArray[np.object_]

    def outline_wkb(self) -> list[bytes | None]:
        """The outlines as little-endian WKB, None where there is none."""
        return list(shapely.to_wkb(self.outline, byte_order=1))

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """The measures by the names they have in schema, without bounds and outlines."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("bounds_nm", "outline")}


@dataclass(frozen=True)
class Shapes(_Shapes):
    """Measures of c clusters that their members alone decide: columns of schema.CLUSTERS, NaN for null.

    Attributes
    ----------
    n_localizations : (c,) int64
        Members of each cluster.
    bounds_nm : (c, 4) float64
        xmin, ymin, xmax, ymax of each outline.
    outline : (c,) object
        shapely geometries in nm, None where b is 0. A Polygon samples the outline; `area_nm2` and `perimeter_nm` are
        the closed forms.
    area_nm2, perimeter_nm, circularity, elongation, orientation_deg : (c,) float64
        As in schema.CLUSTERS.
    radius_of_gyration_nm, mean_nn_nm, density_per_um2, centroid_x_nm, centroid_y_nm : (c,) float64
        As in schema.CLUSTERS.
    """

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


@dataclass(frozen=True)
class Shapes3D(_Shapes):
    """Measures of c clusters in 3D that their members alone decide: columns of schema.CLUSTERS_3D, NaN for null.

    Attributes
    ----------
    n_localizations : (c,) int64
        Members of each cluster.
    bounds_nm : (c, 4) float64
        xmin, ymin, xmax, ymax of the outline of the members seen along z.
    outline : (c,) object
        The outlines seen along z, as in :class:`Shapes`.
    volume_nm3, projected_area_nm2, extent_x_nm, extent_y_nm, extent_z_nm, elongation : (c,) float64
        As in schema.CLUSTERS_3D.
    radius_of_gyration_nm, mean_nn_nm, density_per_um3 : (c,) float64
        As in schema.CLUSTERS_3D.
    centroid_x_nm, centroid_y_nm, centroid_z_nm : (c,) float64
        As in schema.CLUSTERS_3D.
    """

    volume_nm3: FloatArray
    projected_area_nm2: FloatArray
    extent_x_nm: FloatArray
    extent_y_nm: FloatArray
    extent_z_nm: FloatArray
    elongation: FloatArray
    radius_of_gyration_nm: FloatArray
    mean_nn_nm: FloatArray
    density_per_um3: FloatArray
    centroid_x_nm: FloatArray
    centroid_y_nm: FloatArray
    centroid_z_nm: FloatArray


def measure_clusters(xy_nm: FloatArray, nn_nm: FloatArray, starts: IntArray, b_nm: FloatArray) -> Shapes:
    """Measure c clusters; the order of the members within a cluster changes no bit of any result.

    The outline is the union of discs of radius 2b on the members, eroded by b; holes are kept. Williamson et al. 2020
    take b as 1.2 times the members' mean distance to their nearest neighbor.

    Parameters
    ----------
    xy_nm : (m, 2) float64
        Coordinates of the members in nm, cluster by cluster.
    nn_nm : (m,) float64
        Distance of each member in nm to its nearest localization, of any cluster or none.
    starts : (c + 1,) int64
        Members of cluster i are rows starts[i] to starts[i + 1]; no cluster is empty.
    b_nm : (c,) float64
        b of each cluster in nm. Where it is 0 (duplicates only) area and perimeter are 0; outline, density and
        circularity null.

    Returns
    -------
    Shapes
        Measures and outlines, in the order of the clusters.

    Raises
    ------
    ValueError
        Shapes do not fit together, a cluster is empty, a coordinate, distance or b is not finite, or a distance or b
        is negative.
    """
    xy_nm, nn_nm = np.asarray(xy_nm, np.float64), np.asarray(nn_nm, np.float64)
    starts, b_nm = np.asarray(starts, np.int64), np.asarray(b_nm, np.float64)
    _check("xy_nm", 2, xy_nm, nn_nm, starts, b_nm)
    n = np.diff(starts)
    xy = _in_order(xy_nm, n)
    outlines = closing_outlines(xy, starts, b_nm)
    centroid, (sxx, sxy, syy) = _moments(xy, starts)
    elongation, orientation = _axes(sxx, syy, sxy)
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
        mean_nn_nm=_means(nn_nm, starts),
        density_per_um2=density,
        centroid_x_nm=centroid[:, 0],
        centroid_y_nm=centroid[:, 1],
        bounds_nm=_bounds(xy, starts, b_nm),
        outline=outlines.polygons,
    )


def measure_clusters_3d(xyz_nm: FloatArray, nn_nm: FloatArray, starts: IntArray, b_nm: FloatArray) -> Shapes3D:
    """Measure c clusters in 3D; the order of the members within a cluster changes no bit of any result.

    The volume is that of balls of radius 2b on the members, united, then eroded by b, to about 1 %
    (:mod:`caml_dask.geometry.volume`), without its voids. The outline is that of the members seen along z, by
    :func:`measure_clusters`' rule with the same b.

    Parameters
    ----------
    xyz_nm : (m, 3) float64
        Coordinates of the members in nm, cluster by cluster.
    nn_nm : (m,) float64
        Distance of each member in nm to its nearest localization, of any cluster or none.
    starts : (c + 1,) int64
        Members of cluster i are rows starts[i] to starts[i + 1]; no cluster is empty.
    b_nm : (c,) float64
        b of each cluster in nm. Where it is 0 (duplicates only) volume and projected area are 0; outline and density
        null.

    Returns
    -------
    Shapes3D
        Measures and outlines, in the order of the clusters.

    Raises
    ------
    ValueError
        As :func:`measure_clusters`.
    """
    xyz_nm, nn_nm = np.asarray(xyz_nm, np.float64), np.asarray(nn_nm, np.float64)
    starts, b_nm = np.asarray(starts, np.int64), np.asarray(b_nm, np.float64)
    _check("xyz_nm", 3, xyz_nm, nn_nm, starts, b_nm)
    n = np.diff(starts)
    xyz = _in_order(xyz_nm, n)
    outlines = closing_outlines(xyz[:, :2], starts, b_nm)
    volume = closing_volumes(xyz, starts, b_nm)
    centroid, squares = _moments(xyz, starts)
    low, high = _corners(xyz, starts)
    with np.errstate(divide="ignore", invalid="ignore"):
        density = np.where(volume == 0, np.nan, n / (volume / NM3_PER_UM3))
    return Shapes3D(
        n_localizations=n,
        volume_nm3=volume,
        projected_area_nm2=outlines.area,
        extent_x_nm=high[:, 0] - low[:, 0],
        extent_y_nm=high[:, 1] - low[:, 1],
        extent_z_nm=high[:, 2] - low[:, 2],
        elongation=_elongation(squares),
        radius_of_gyration_nm=np.sqrt((squares[0] + squares[3] + squares[5]) / n),
        mean_nn_nm=_means(nn_nm, starts),
        density_per_um3=density,
        centroid_x_nm=centroid[:, 0],
        centroid_y_nm=centroid[:, 1],
        centroid_z_nm=centroid[:, 2],
        bounds_nm=_bounds(xyz[:, :2], starts, b_nm),
        outline=outlines.polygons,
    )


def touches_border(bounds_nm: FloatArray, bbox_nm: FloatArray, b_nm: FloatArray) -> BoolArray:
    """Whether each outline comes within 2b of its image's bounding box, or reaches over it.

    Parameters
    ----------
    bounds_nm : (c, 4) float64
        xmin, ymin, xmax, ymax of the outlines, in nm.
    bbox_nm : (4,) float64
        The same of all localizations of the image.
    b_nm : (c,) float64
        b of each cluster, in nm.

    Returns
    -------
    (c,) bool
        True for a cluster at the border.
    """
    margin = 2.0 * np.asarray(b_nm)[:, None]
    low = bounds_nm[:, :2] - margin <= np.asarray(bbox_nm)[:2]
    high = bounds_nm[:, 2:] + margin >= np.asarray(bbox_nm)[2:]
    touches: BoolArray = np.any(low | high, axis=1)
    return touches


def nearest_centroid_nm(centroids_nm: FloatArray) -> FloatArray:
    """Distance from each centroid to the nearest other one.

    Parameters
    ----------
    centroids_nm : (c, d) float64
        Centroids in nm; d is 2 or 3.

    Returns
    -------
    (c,) float64
        Distances in nm; NaN for a cluster alone.
    """
    from scipy.spatial import cKDTree

    if len(centroids_nm) < 2:
        return np.full(len(centroids_nm), np.nan)
    distance: FloatArray = cKDTree(centroids_nm).query(centroids_nm, k=2)[0][:, 1]
    return distance


def _check(
    name: str, dimensions: int, points_nm: FloatArray, nn_nm: FloatArray, starts: IntArray, b_nm: FloatArray
) -> None:
    m = len(nn_nm)
    if points_nm.shape != (m, dimensions) or len(starts) != len(b_nm) + 1 or starts[0] != 0 or starts[-1] != m:
        raise ValueError(
            f"{name} {points_nm.shape}, nn_nm {nn_nm.shape}, starts {starts.shape}, b_nm {b_nm.shape} do not fit "
            f"together: pass (m, {dimensions}), (m,), (c + 1,) running from 0 to m, and (c,)"
        )
    if len(b_nm) and np.diff(starts).min() < 1:
        raise ValueError(f"cluster {np.diff(starts).argmin()} of this batch is empty: pass clusters with members only")
    for what, values, lowest in ((name, points_nm, -np.inf), ("nn_nm", nn_nm, 0.0), ("b_nm", b_nm, 0.0)):
        wrong = ~(np.isfinite(values) & (values >= lowest))
        if wrong.any():
            raise ValueError(f"{what} holds {values[wrong][0]}: drop non-finite localizations before measuring")


def _in_order(points: FloatArray, n: IntArray) -> FloatArray:
    """Members sorted by their coordinates within each cluster, so that their order shows nowhere."""
    cluster = np.repeat(np.arange(len(n)), n)
    # Adding 0 turns -0.0 into 0.0: they sort as equal, so their order must not show.
    return points[np.lexsort((*points.T[::-1], cluster))] + 0.0


def _means(values: FloatArray, starts: IntArray) -> FloatArray:
    """Mean of each cluster's values, whatever their order."""
    listed = values.tolist()
    means = [math.fsum(listed[i:j]) / (j - i) for i, j in pairwise(starts.tolist())]
    return np.array(means, dtype=np.float64)


def _moments(points: FloatArray, starts: IntArray) -> tuple[FloatArray, FloatArray]:
    """Centroids (c, d), and sums of squares about them, free of the coordinates' offset.

    The sums are (3, c) for xx, xy, yy in 2D, and (6, c) for xx, xy, xz, yy, yz, zz in 3D.
    """
    n = np.diff(starts)
    origin = points[starts[:-1]]
    shift = _sums(points - np.repeat(origin, n, axis=0), starts) / n[:, None]
    away = (points - np.repeat(origin + shift, n, axis=0)).T
    products = [a * b for a, b in combinations_with_replacement(away, 2)]
    return origin + shift, _sums(np.column_stack(products), starts).T


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


def _elongation(squares: FloatArray) -> FloatArray:
    """1 - smallest / largest axis of covariance ellipsoids, (c,), from their sums xx, xy, xz, yy, yz, zz, (6, c)."""
    total = squares[0] + squares[3] + squares[5]
    flat = total == 0
    # Shares of the total do not change with scale, and so does nothing that follows.
    shares = squares / np.where(flat, 1.0, total)
    axes2 = np.linalg.eigvalsh(np.moveaxis(shares[[[0, 1, 2], [1, 3, 4], [2, 4, 5]]], -1, 0))
    smallest, largest = np.maximum(axes2[:, 0], 0.0), np.where(flat, 1.0, axes2[:, 2])
    return np.where(flat, 0.0, 1.0 - np.sqrt(smallest / largest))


def _corners(points: FloatArray, starts: IntArray) -> tuple[FloatArray, FloatArray]:
    """Lower and upper corner of the boxes that bound the members of each cluster, (c, d)."""
    if len(starts) == 1:
        return np.empty((0, points.shape[1])), np.empty((0, points.shape[1]))
    return np.minimum.reduceat(points, starts[:-1], axis=0), np.maximum.reduceat(points, starts[:-1], axis=0)


def _bounds(xy: FloatArray, starts: IntArray, b: FloatArray) -> FloatArray:
    """Bounds of the outlines: it holds each member's disc of b, and lies in their convex hull."""
    low, high = _corners(xy, starts)
    return np.hstack([low - b[:, None], high + b[:, None]])
