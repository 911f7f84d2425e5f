"""The last stage of an image: its clusters, outlines and picture, and its part of summary.json."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from caml_dask.schema import NON_CLUSTERED
from caml_dask.stages.merging.summary import summary_of_merging, warnings_of_merging
from caml_dask.stages.merging.tables import DETECTION_BOXES, DETECTION_CUTS, DETECTION_FACTS, MERGE_TALLY
from caml_dask.stages.shared.hull import hull_area_um2
from caml_dask.stages.shared.measured import MeasuredClusters, write_clusters
from caml_dask.stages.shared.picture import draw
from caml_dask.stages.shared.tally import Counts, tally
from caml_dask.stages.shared.warnings import warnings
from caml_dask.stages.shared.work import Work
from caml_dask.stages.stage import UNCOMPARED, Stage, reading
from caml_dask.stages.tables import BOXES, CUTS, FACTS, HULL, MEASURED, MEMBERSHIP, OUTLINES, PIXELS, TALLY, TILE
from caml_dask.stats import median_iqr


def publish(work: Work, unit: int) -> dict[str, Any]:
    """Write what the image leaves besides its points, and summarise it."""
    clusters = MeasuredClusters(work)
    write_clusters(work, clusters)
    summary = summarise(work, clusters)
    if work.settings.save_features:
        group = {"zarr_format": 3, "node_type": "group", "attributes": {}}
        work.store.output("features.zarr/zarr.json", lambda path: path.write_text(json.dumps(group)))
    work.store.output("overview.png", lambda path: draw(work, clusters, summary, path))
    return {"rows": summary["localizations"], "summary": summary}


def summarise(work: Work, clusters: MeasuredClusters) -> dict[str, Any]:
    """Counts, percent clustered, clusters per um2, the area and how it was defined, medians with IQR, warnings.

    Where detections are merged, localizations are molecules, and `merge` says how many detections there were. From a
    network of more than two classes, some of them for each class of clusters too, as `by_class`.
    """
    facts = work.facts()
    merged: dict[str, Any] = {}
    if work.settings.merge is not None:
        merged = {"merge": summary_of_merging(work)}
        before = work.detection_facts()
        facts |= {"rows": facts["finite"] + before["rows"] - before["finite"]}
    counts = tally(work)
    if work.settings.area_um2 is not None:
        area, definition = work.settings.area_um2, "given"
    else:
        area, definition = hull_area_um2(work), "convex hull of the localizations"
    everything = np.ones(len(clusters), dtype=bool)
    in_clusters = int(counts.in_clusters.sum())
    return {
        "image_id": work.image.image_id,
        "network": work.network.name,
        "rows": work.detection_facts()["rows"] if merged else facts["rows"],
        "localizations": facts["finite"],
        "dropped_nonfinite": facts["rows"] - facts["finite"],
        "duplicates": counts.duplicates,
        "labelled_clustered": counts.labelled_clustered,
        "in_clusters": in_clusters,
        "percent_clustered": 100.0 * in_clusters / max(1, facts["finite"]),
        "clusters": len(clusters),
        "clusters_per_um2": len(clusters) / area if area > 0 else None,
        "area_um2": area,
        "area_defined_by": definition,
        "bounds_nm": facts["bounds_nm"],
        "chunks": facts["chunks"],
        "tiles": work.partition().n_tiles,
        "window_saturated": counts.window_saturated,
        "contrast": counts.contrast,
        "medians": _medians(clusters, everything),
        **_by_class(work, clusters, counts, area),
        **merged,
        "warnings": warnings(work, facts, counts, clusters, area)
        + (warnings_of_merging(merged["merge"]) if merged else []),
    }


def _by_class(work: Work, clusters: MeasuredClusters, counts: Counts, area_um2: float) -> dict[str, Any]:
    """The summary's part on each class, from a network that tells more than two apart."""
    names = work.network.classes
    if len(names) <= 2:
        return {}
    of, finite = clusters.column("label"), work.facts()["finite"]
    found = {}
    for label, name in enumerate(names):
        if label == NON_CLUSTERED:
            continue
        mine = of == label
        found[name] = {
            "localizations": int(counts.labelled[label]),
            "in_clusters": int(counts.in_clusters[label]),
            "percent_clustered": 100.0 * int(counts.in_clusters[label]) / max(1, finite),
            "clusters": int(mine.sum()),
            "clusters_per_um2": int(mine.sum()) / area_um2 if area_um2 > 0 else None,
            "medians": _medians(clusters, mine),
        }
    return {"by_class": found}


def _medians(clusters: MeasuredClusters, which: np.ndarray) -> dict[str, Any]:
    """Median and quartiles of the measures of some clusters, (c,) bool; None for a measure that none has."""
    found = {name: median_iqr(clusters.column(name)[which]) for name in ("n_localizations", *clusters.descriptors)}
    return {
        name: None if m.n == 0 else {"median": m.median, "q25": m.q25, "q75": m.q75, "n": m.n}
        for name, m in found.items()
    }


STAGE = Stage(
    name="publish",
    title="writing clusters and picture",
    per="image",
    run=publish,
    effort=6,
    conserves=UNCOMPARED,
    reads=(FACTS, BOXES, CUTS, TILE, MEMBERSHIP, MEASURED, OUTLINES, TALLY, HULL, PIXELS),
    writes=(),
)
MERGING_STAGE = reading(STAGE, (DETECTION_FACTS, DETECTION_BOXES, DETECTION_CUTS, MERGE_TALLY))
