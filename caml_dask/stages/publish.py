"""The last stage of an image: its clusters, outlines and picture, and its part of summary.json."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from caml_dask.pictures.overview import MOST_OUTLINES, Raster, draw_overview, zoom_bounds
from caml_dask.schema import DESCRIPTORS, NO_CLUSTER
from caml_dask.stages.clusters import MeasuredClusters, write_clusters
from caml_dask.stages.results import hull_area_um2
from caml_dask.stages.work import Work, xy
from caml_dask.stats import median_iqr

_MANY_SATURATED = 0.05  # share of clustered localizations with a saturated window that earns a warning


def publish(work: Work, unit: int) -> dict[str, Any]:
    """Write what the image leaves besides its points, and summarise it."""
    clusters = MeasuredClusters(work)
    write_clusters(work, clusters)
    summary = summarise(work, clusters)
    if work.settings.save_features:
        group = {"zarr_format": 3, "node_type": "group", "attributes": {}}
        work.store.output("features.zarr/zarr.json", lambda path: path.write_text(json.dumps(group)))
    work.store.output("overview.png", lambda path: _draw(work, clusters, summary, path))
    return {"rows": summary["localizations"], "summary": summary}


def summarise(work: Work, clusters: MeasuredClusters) -> dict[str, Any]:
    """Counts, percent clustered, clusters per um2, the area and how it was defined, medians with IQR, warnings."""
    facts = work.facts()
    counts = _tally(work)
    if work.settings.area_um2 is not None:
        area, definition = work.settings.area_um2, "given"
    else:
        area, definition = hull_area_um2(work), "convex hull of the localizations"
    columns = {name: median_iqr(clusters.column(name)) for name in ("n_localizations", *DESCRIPTORS)}
    return {
        "image_id": work.image.image_id,
        "model": work.classifier.name,
        "rows": facts["rows"],
        "localizations": facts["finite"],
        "dropped_nonfinite": facts["rows"] - facts["finite"],
        "duplicates": counts["duplicates"],
        "labelled_clustered": counts["labelled_clustered"],
        "in_clusters": counts["in_clusters"],
        "percent_clustered": 100.0 * counts["in_clusters"] / max(1, facts["finite"]),
        "clusters": len(clusters),
        "clusters_per_um2": len(clusters) / area if area > 0 else None,
        "area_um2": area,
        "area_defined_by": definition,
        "bounds_nm": facts["bounds_nm"],
        "chunks": facts["chunks"],
        "tiles": work.partition().n_tiles,
        "window_saturated": counts["window_saturated"],
        "medians": {
            name: None if m.n == 0 else {"median": m.median, "q25": m.q25, "q75": m.q75, "n": m.n}
            for name, m in columns.items()
        },
        "warnings": _warnings(work, facts, counts, clusters, area),
    }


def _warnings(
    work: Work, facts: dict[str, Any], counts: dict[str, int], clusters: MeasuredClusters, area_um2: float
) -> list[str]:
    found = []
    if facts["finite"] < facts["rows"]:
        found.append(
            f"{facts['rows'] - facts['finite']} rows have NaN or infinite coordinates and were left out; "
            "they stand in the points with null results"
        )
    if counts["duplicates"]:
        found.append(
            f"{counts['duplicates']} localizations share their exact coordinates with another: repeated rows, "
            "or one molecule exported twice"
        )
    if counts["window_saturated"] > _MANY_SATURATED * max(1, counts["labelled_clustered"]):
        window = work.classifier.n_neighbors
        large = int(np.count_nonzero(clusters.column("n_localizations") >= window))
        found.append(
            f"the {window}-neighbor window of {counts['window_saturated']} clustered localizations holds no "
            "non-clustered one; "
            + (
                f"{large} clusters have {window} localizations or more and may be in fragments: "
                "a network with a larger window would see them whole"
                if large
                else "the field has too few non-clustered localizations to tell where its clusters end"
            )
        )
    if not area_um2 > 0:
        found.append("the localizations span no area: clusters per um2 is null; give the area with --area-um2")
    return found


def _tally(work: Work) -> dict[str, int]:
    """Add up over all tiles what the summary counts."""
    total = {"duplicates": 0, "labelled_clustered": 0, "in_clusters": 0, "window_saturated": 0}
    for tile in range(work.partition().n_tiles):
        labels = work.store.get("labels", tile, ["nearest_nm"])
        rows = work.store.get("membership", tile)
        total["duplicates"] += int(np.count_nonzero(labels["nearest_nm"].to_numpy() == 0))
        total["labelled_clustered"] += int(np.count_nonzero(rows["label"].to_numpy() > 0))
        total["in_clusters"] += int(np.count_nonzero(rows["cluster_id"].to_numpy() != NO_CLUSTER))
        total["window_saturated"] += int(np.count_nonzero(rows["window_saturated"].to_numpy(zero_copy_only=False)))
    return total


def _draw(work: Work, clusters: MeasuredClusters, summary: dict[str, Any], path: Path) -> None:
    x0, y0, x1, y1 = summary["bounds_nm"]
    bounds = (x0, y0, x1, y1)
    width_nm = float(2 * np.sqrt(np.median(clusters.column("area_nm2")) / np.pi)) if len(clusters) else 0.0
    whole, zoom = Raster(bounds), Raster(zoom_bounds(clusters.centroids_nm, bounds, width_nm), 800, margin=0.0)
    for tile in range(work.partition().n_tiles):
        table, rows = work.store.get("tile", tile), work.store.get("membership", tile)
        points = xy(table)[np.argsort(table["loc_id"].to_numpy())]
        member = rows["cluster_id"].to_numpy() != NO_CLUSTER
        for raster in (whole, zoom):
            raster.add(points[:, 0], points[:, 1], member)
    rate = summary["clusters_per_um2"]
    caption = [f"model {summary['model']}", *([f"{rate:.2f} clusters per um2"] if rate is not None else [])]
    outlines = _outlines(work, zoom if len(clusters) > MOST_OUTLINES else whole)
    draw_overview(whole, outlines, summary["image_id"], caption, path, len(clusters), zoom)


def _outlines(work: Work, raster: Raster) -> Iterator[shapely.Geometry]:
    """Outlines of the clusters at home in the tiles that a raster shows."""
    x0, y0, x1, y1 = raster.bounds_nm
    for tile in work.partition().overlapping(np.array([x0, y0]), np.array([x1, y1])):
        yield from shapely.from_wkb(work.store.get("measured", int(tile), ["outline"])["outline"].to_numpy())
