"""The picture of an image: each tile counts its localizations on the pixels, the last stage adds them up and draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import shapely

from caml_dask.overview.draw import Spot, draw_overview
from caml_dask.overview.panel import MOST_OUTLINES
from caml_dask.overview.raster import Raster
from caml_dask.overview.spots import Found, MeanScores, spots_of
from caml_dask.schema import NO_CLUSTER, NON_CLUSTERED
from caml_dask.stages.shared.measured import MeasuredClusters
from caml_dask.stages.shared.work import Work, xy
from caml_dask.stages.tables import MEMBERSHIP, OUTLINES, PIXELS, TILE

# Pixels along the longer side of the picture: fewer where there are few localizations, whose dots are drawn the larger.
_LONGEST_PX = 1200, 1600
_PX_OF_ROOT = 12.0  # times the root of the number of localizations
_SPOT_PX = 540


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
    spots = _spots(work, clusters, tuple(summary["bounds_nm"]))
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
    outlines = _outlines(work, [spot.raster for spot in spots] if len(clusters) > MOST_OUTLINES else [whole])
    draw_overview(
        whole,
        outlines,
        summary["image_id"],
        caption,
        path,
        len(clusters),
        spots,
        classes=work.network.classes,
        regions=[roi.shape for roi in work.rois()],
    )


def _spots(work: Work, clusters: MeasuredClusters, bounds_nm: tuple[float, float, float, float]) -> list[Spot]:
    """What is magnified, its localizations counted."""
    found = Found(
        clusters.centroids_nm[:, :2],
        clusters.column("n_localizations"),
        clusters.column("projected_area_nm2" if work.dimensions() == 3 else "area_nm2"),
        clusters.column("radius_of_gyration_nm"),
        _mean_scores(work, clusters),
    )
    classes = len(work.network.classes)
    spots = [
        Spot(name, Raster(bounds, _SPOT_PX, margin=0.0, classes=classes)) for name, bounds in spots_of(found, bounds_nm)
    ]
    for tile in _tiles_in(work, [spot.raster for spot in spots]):
        table, rows = work.get(TILE, tile), work.get(MEMBERSHIP, tile, ["label", "cluster_id"])
        points = xy(table)[np.argsort(table["loc_id"].to_numpy())]
        drawn_as = _drawn_as(rows["label"].to_numpy(), rows["cluster_id"].to_numpy())
        for spot in spots:
            spot.raster.add(points[:, 0], points[:, 1], drawn_as)
    return spots


def _mean_scores(work: Work, clusters: MeasuredClusters) -> np.ndarray | None:
    """(c,) float64, mean score for clustered, of whichever class, of members of each cluster; None from a method."""
    if not work.network.score_columns:
        return None
    name = work.network.score_columns[0]
    scores = MeanScores(clusters.ids)
    for tile in range(work.partition().n_tiles):
        rows = work.get(MEMBERSHIP, tile, [name, "cluster_id"])
        ids = rows["cluster_id"].to_numpy()
        there = ids != NO_CLUSTER
        scores.add(ids[there], rows[name].to_numpy()[there])
    return scores.means() if name == "p_clustered" else 1 - scores.means()


def _tiles_in(work: Work, rasters: Sequence[Raster]) -> list[int]:
    """The tiles that any of some rasters shows."""
    boxes = [np.reshape(raster.bounds_nm, (2, 2)) for raster in rasters]
    return sorted({tile for low, high in boxes for tile in work.partition().overlapping(low, high).tolist()})


def _outlines(work: Work, rasters: Sequence[Raster]) -> Iterator[shapely.Geometry]:
    """Outlines of the clusters at home in the tiles that rasters show."""
    for tile in _tiles_in(work, rasters):
        yield from shapely.from_wkb(work.get(OUTLINES, tile, ["outline"])["outline"].to_numpy())
