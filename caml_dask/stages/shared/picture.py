"""The picture of an image: each tile counts its localizations on the pixels, the last stage adds them up and draws."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import shapely

from caml_dask.overview.draw import MOST_OUTLINES, Raster, draw_overview, zoom_bounds
from caml_dask.schema import NO_CLUSTER, NON_CLUSTERED
from caml_dask.stages.shared.measured import MeasuredClusters
from caml_dask.stages.shared.work import Work, xy
from caml_dask.stages.tables import MEMBERSHIP, OUTLINES, PIXELS, TILE

# Pixels along the longer side of the picture: fewer where there are few localizations, whose dots are drawn the larger.
_LONGEST_PX = 1200, 1600
_PX_OF_ROOT = 12.0  # times the root of the number of localizations
_ZOOM_PX = 800


def _whole(work: Work) -> Raster:
    facts = work.facts()
    longest_px = int(np.clip(_PX_OF_ROOT * np.sqrt(facts["finite"]), *_LONGEST_PX))
    return Raster(tuple(facts["bounds_nm"]), longest_px, classes=len(work.network.classes))


def _drawn_as(label: np.ndarray, cluster_id: np.ndarray) -> np.ndarray:
    """The class each localization is drawn as: what is in no cluster as non-clustered."""
    return np.where(cluster_id == NO_CLUSTER, np.int8(NON_CLUSTERED), label)


def put_pixels(work: Work, unit: int, points_nm: np.ndarray, label: np.ndarray, cluster_id: np.ndarray) -> None:
    """Count a tile's localizations, (n, 2) in nm, on the pixels of the picture of the whole image."""
    place, number = _whole(work).count(points_nm[:, 0], points_nm[:, 1], _drawn_as(label, cluster_id))
    work.put(PIXELS, unit, pa.table({"place": place, "number": number}))


def draw(work: Work, clusters: MeasuredClusters, summary: dict[str, Any], path: Path) -> None:
    """Write the overview of an image whose tiles have counted their localizations."""
    whole = _whole(work)
    for tile in range(work.partition().n_tiles):
        pixels = work.get(PIXELS, tile)
        whole.add_counted(pixels["place"].to_numpy(), pixels["number"].to_numpy())
    x0, y0, x1, y1 = summary["bounds_nm"]
    area_nm2 = clusters.column("projected_area_nm2" if work.dimensions() == 3 else "area_nm2")
    width_nm = float(2 * np.sqrt(np.median(area_nm2) / np.pi)) if len(clusters) else 0.0
    zoom = _zoom(work, zoom_bounds(clusters.centroids_nm[:, :2], (x0, y0, x1, y1), width_nm))
    rate = summary["clusters_per_um2"]
    method = work.settings.method
    by = f"network {summary['network']}" if method is None else f"method {method.in_words()}"
    caption = [by, *([f"{rate:.2f} clusters per um2"] if rate is not None else [])]
    if work.dimensions() == 3:
        caption.append("3D, seen along z")
    if "by_class" in summary:
        caption.append(
            ", ".join(f"{found['clusters']:,} {name} clusters" for name, found in summary["by_class"].items())
        )
    outlines = _outlines(work, zoom if len(clusters) > MOST_OUTLINES else whole)
    draw_overview(
        whole,
        outlines,
        summary["image_id"],
        caption,
        path,
        len(clusters),
        zoom,
        classes=work.network.classes,
        regions=[roi.shape for roi in work.rois()],
    )


def _tiles_in(work: Work, raster: Raster) -> list[int]:
    x0, y0, x1, y1 = raster.bounds_nm
    return work.partition().overlapping(np.array([x0, y0]), np.array([x1, y1])).tolist()


def _zoom(work: Work, bounds_nm: tuple[float, float, float, float]) -> Raster:
    zoom = Raster(bounds_nm, _ZOOM_PX, margin=0.0, classes=len(work.network.classes))
    for tile in _tiles_in(work, zoom):
        table, rows = work.get(TILE, tile), work.get(MEMBERSHIP, tile, ["label", "cluster_id"])
        points = xy(table)[np.argsort(table["loc_id"].to_numpy())]
        zoom.add(points[:, 0], points[:, 1], _drawn_as(rows["label"].to_numpy(), rows["cluster_id"].to_numpy()))
    return zoom


def _outlines(work: Work, raster: Raster) -> Iterator[shapely.Geometry]:
    """Outlines of the clusters at home in the tiles that a raster shows."""
    for tile in _tiles_in(work, raster):
        yield from shapely.from_wkb(work.get(OUTLINES, tile, ["outline"])["outline"].to_numpy())
