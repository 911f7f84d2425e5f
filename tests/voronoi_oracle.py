"""SR-Tesseler by scipy's Voronoi diagram, to which the cells of the package are held: another way to the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from caml_dask.baselines.checks import FloatArray, IntArray, hull_area_nm2, numbered
from caml_dask.errors import InputError
from caml_dask.spatial.graph import merge


@dataclass(frozen=True, eq=False)
class Cells:
    """A Voronoi diagram within the bounding box.

    Attributes
    ----------
    site : (n,) int64
        Site of each localization; duplicates share one.
    n : (s,) int64
        Localizations at each site.
    area_nm2 : (s,) float64
        Area of each cell, in nm2.
    neighbors : (m, 2) int64
        Sites whose cells share a side within the box, each pair once.
    """

    site: IntArray
    n: IntArray
    area_nm2: FloatArray
    neighbors: IntArray


def sr_tesseler(xy: np.ndarray, factor: float, rank: int, min_points: int, area_um2: float | None = None) -> np.ndarray:
    """Clusters from 0 in the order of their first localizations, -1 for noise: (n,) int64."""
    field_nm2 = hull_area_nm2(xy) if area_um2 is None else 1e6 * area_um2
    cells = voronoi_cells(xy)
    a, b = cells.neighbors.T
    n, area = cells.n.astype(np.float64), cells.area_nm2
    if rank == 1:
        n = n + np.bincount(a, cells.n[b], len(n)) + np.bincount(b, cells.n[a], len(n))
        area = area + np.bincount(a, area[b], len(n)) + np.bincount(b, area[a], len(n))
    dense = n >= factor * len(xy) / field_nm2 * area
    both = dense[a] & dense[b]
    component = merge(np.arange(len(n)), a[both], b[both])
    cluster = np.where(dense, component, -1)
    return numbered(cluster[cells.site], min_points)


def voronoi_cells(xy: FloatArray) -> Cells:
    """The Voronoi diagram of localizations, cut off at their bounding box.

    Parameters
    ----------
    xy : (n, 2) float64
        Coordinates in nm.

    Returns
    -------
    Cells
        Sites with their areas and neighbors.

    Raises
    ------
    InputError
        All localizations lie on a line along an axis, so that the box has no area.
    """
    from scipy.spatial import Voronoi

    sites, site, n = np.unique(xy, axis=0, return_inverse=True, return_counts=True)
    low, high = sites.min(axis=0), sites.max(axis=0)
    center, half = (low + high) / 2, (high - low) / 2
    if not (half > 0).all():
        raise InputError(f"{len(xy)} localizations span no area: give at least three that are not on a line")
    # Four sites so far away that no border with them enters the box close every cell within it.
    far = center + 4 * half.max() * np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]]) * 2
    diagram = Voronoi(np.vstack([sites, far]) - center)
    ends = np.asarray(diagram.ridge_vertices, dtype=np.int64)
    pair = diagram.ridge_points.astype(np.int64)
    known = (ends >= 0).all(axis=1)
    ends, pair = ends[known], pair[known]
    area = _areas(sites - center, diagram.vertices, ends, pair, half)
    inside = _meets(diagram.vertices[ends[:, 0]], diagram.vertices[ends[:, 1]], half)
    seen = (pair[:, 0] < len(sites)) & (pair[:, 1] < len(sites)) & inside
    return Cells(site.reshape(-1), n, area, pair[seen])


def _areas(sites: FloatArray, vertices: FloatArray, ends: IntArray, pair: IntArray, half: FloatArray) -> FloatArray:
    """Areas of the cells of the first len(sites) sites, cut off at a box around the origin: (s,)."""
    of_site, ridge = pair.T.reshape(-1), np.tile(np.arange(len(pair)), 2)
    ours = of_site < len(sites)
    of_site, ridge = of_site[ours], ridge[ours]
    a, b = (vertices[ends[ridge, k]] - sites[of_site] for k in (0, 1))
    # A cell is the triangles between its site and its sides.
    doubled = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
    area = np.bincount(of_site, doubled / 2, len(sites)).astype(np.float64)
    outside = np.max(np.abs(vertices) / half, axis=1) > 1
    cut = np.zeros(len(sites), dtype=bool)
    cut[of_site[outside[ends[ridge, 0]] | outside[ends[ridge, 1]]]] = True
    rows = np.flatnonzero(cut[of_site])
    rows = rows[np.argsort(of_site[rows], kind="stable")]
    first = np.flatnonzero(np.diff(of_site[rows], prepend=-1))
    for part in np.split(rows, first[1:]) if len(rows) else []:
        s = of_site[part[0]]
        corners = vertices[np.unique(ends[ridge[part]])]
        turn = np.argsort(np.arctan2(corners[:, 1] - sites[s, 1], corners[:, 0] - sites[s, 0]))
        area[s] = _clipped_area(corners[turn], half)
    return area


def _clipped_area(polygon: FloatArray, half: FloatArray) -> float:
    """Area of a convex polygon (c, 2) inside a box of half sides (2,) around the origin (Sutherland and Hodgman)."""
    for axis in (0, 1):
        for sign in (1.0, -1.0):
            over = sign * polygon[:, axis] - half[axis]
            after, over_after = np.roll(polygon, -1, axis=0), np.roll(over, -1)
            kept = []
            for p, q, f, g in zip(polygon, after, over, over_after):
                if f <= 0:
                    kept.append(p)
                if (f < 0 < g) or (g < 0 < f):
                    kept.append(p + (q - p) * (f / (f - g)))
            if len(kept) < 3:
                return 0.0
            polygon = np.array(kept)
    x, y = polygon.T
    return abs(float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())) / 2


def _meets(a: FloatArray, b: FloatArray, half: FloatArray) -> npt.NDArray[np.bool_]:
    """Whether segments a - b, (m, 2) each, enter a box of half sides (2,) around the origin (Liang and Barsky)."""
    step = b - a
    start, stop = np.zeros(len(a)), np.ones(len(a))
    with np.errstate(divide="ignore", invalid="ignore"):
        for axis in (0, 1):
            t = np.stack([(-half[axis] - a[:, axis]) / step[:, axis], (half[axis] - a[:, axis]) / step[:, axis]])
            level = step[:, axis] == 0
            inside = np.abs(a[:, axis]) < half[axis]
            start = np.maximum(start, np.where(level, np.where(inside, 0.0, 2.0), t.min(axis=0)))
            stop = np.minimum(stop, np.where(level, 1.0, t.max(axis=0)))
    return start < stop
