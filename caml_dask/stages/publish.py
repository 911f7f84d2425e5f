"""The last stage of an image: its clusters, outlines and picture, and its part of summary.json."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from caml_dask.io.rois.geojson import geojson_of
from caml_dask.io.rois.roi import Roi
from caml_dask.networks.field.trained import TrainedFieldNetwork
from caml_dask.schema import NO_REGION, NON_CLUSTERED
from caml_dask.stages.drift.summary import summary_of_drift, warnings_of_drift
from caml_dask.stages.field.told import summary_of_told, warnings_of_told
from caml_dask.stages.merging.summary import summary_of_merging, warnings_of_merging
from caml_dask.stages.merging.tables import DETECTION_BOXES, DETECTION_CUTS, DETECTION_FACTS, MERGE_TALLY
from caml_dask.stages.methods.settle import summary_of_settled, warnings_of_settled
from caml_dask.stages.shared.hull import hull_area_um2
from caml_dask.stages.shared.measured import MeasuredClusters, write_clusters
from caml_dask.stages.shared.picture import draw
from caml_dask.stages.shared.tally import Counts, tally
from caml_dask.stages.shared.tested import summary_of_test, warnings_of_test
from caml_dask.stages.shared.warnings import warnings
from caml_dask.stages.shared.work import Work
from caml_dask.stages.stage import UNCOMPARED, Stage, reading
from caml_dask.stages.tables import (
    BOXES,
    CELL_MASK,
    CSR_TEST,
    CUTS,
    FACTS,
    HULL,
    MEASURED,
    MEMBERSHIP,
    OUTLINES,
    PIXELS,
    ROIS,
    TALLY,
    TILE,
    VERDICTS,
)
from caml_dask.stats import median_iqr


def publish(work: Work, unit: int) -> dict[str, Any]:
    """Write what the image leaves besides its points, and summarise it."""
    clusters = MeasuredClusters(work)
    write_clusters(work, clusters)
    summary = summarise(work, clusters)
    if work.settings.save_features:
        group = {"zarr_format": 3, "node_type": "group", "attributes": {}}
        work.store.output("features.zarr/zarr.json", lambda path: path.write_text(json.dumps(group)))
    if rois := work.rois():
        work.store.output("regions.geojson", lambda path: path.write_text(geojson_of(rois), encoding="utf-8"))
    work.store.output("overview.png", lambda path: draw(work, clusters, summary, path))
    return {"rows": summary["localizations"], "summary": summary}


def summarise(work: Work, clusters: MeasuredClusters) -> dict[str, Any]:
    """Counts, percent clustered, clusters per um2, the area and how it was defined, medians with IQR, warnings.

    Where detections are merged, localizations are molecules, and `merge` says how many detections there were.
    With regions of interest, all figures but duplicates, saturated windows and contrast count what lies in them, and
    `regions` has those of each: localizations by their place, clusters by their centroid.
    From a network of more than two classes, some of them for each class of clusters too, as `by_class`.
    """
    facts, counts, rois = work.facts(), tally(work), work.rois()
    whole, definition = _whole(work, counts, clusters, rois)
    read, merged = facts, dict[str, Any]()
    if work.settings.merge is not None:
        read, merged = work.detection_facts(), {"merge": summary_of_merging(work)}
    tested, radii_nm = _tested(work, whole, clusters), clusters.column("radius_of_gyration_nm")
    told = {"re_blinking": summary_of_told(work)} if isinstance(work.network, TrainedFieldNetwork) else {}
    settled = {} if work.settings.method is None else summary_of_settled(work)
    drifted = {} if work.settings.drift is None else {"drift": summary_of_drift(work)}
    warned = (
        warnings(work, facts | {"nonfinite": read["nonfinite"]}, counts, clusters, whole.area_um2)
        + (warnings_of_test(work, tested, radii_nm[whole.clusters]) if tested else [])
        + warnings_of_settled(settled.get("settled", {}))
        + (warnings_of_drift(drifted["drift"]) if drifted else [])
        + (warnings_of_merging(merged["merge"]) if merged else [])
    )
    return {
        "image_id": work.image.image_id,
        "network": work.network.name if work.settings.method is None else None,
        "method": None if work.settings.method is None else work.settings.method.as_dict(),
        "rows": read["rows"],
        "localizations": whole.localizations,
        "dropped_nonfinite": read["nonfinite"],
        "dropped_where": read["rows"] - read["nonfinite"] - read["finite"],
        "outside_regions": facts["finite"] - whole.localizations,
        "duplicates": counts.duplicates,
        "labelled_clustered": int(whole.labelled[NON_CLUSTERED + 1 :].sum()),
        **_figures(whole, slice(None)),
        "area_um2": whole.area_um2,
        "area_defined_by": definition,
        "bounds_nm": facts["bounds_nm"],
        "chunks": facts["chunks"],
        "tiles": work.partition().n_tiles,
        "window_saturated": counts.window_saturated,
        "contrast": counts.contrast,
        "medians": _medians(clusters, whole.clusters),
        **_by_class(work, clusters, whole),
        **_by_region(work, counts, clusters, rois),
        **settled,
        **told,
        **tested,
        **drifted,
        **merged,
        "warnings": warned + (warnings_of_told(work, told["re_blinking"], warned) if told else []),
    }


@dataclass(frozen=True)
class _Counted:
    """What is counted of an image, or of a region of interest, and on which area.

    labelled, in_clusters : (classes,) int64, localizations of each class, and of those in clusters
    clusters : (c,) bool, which of the clusters
    """

    labelled: np.ndarray
    in_clusters: np.ndarray
    clusters: np.ndarray
    area_um2: float

    @property
    def localizations(self) -> int:
        return int(self.labelled.sum())


def _whole(work: Work, counts: Counts, clusters: MeasuredClusters, rois: Sequence[Roi]) -> tuple[_Counted, str]:
    """What is counted of an image, and how its area is defined."""
    if rois:
        inside = clusters.column("region_id") != NO_REGION
        area = math.fsum(roi.area_um2 for roi in rois)
        labelled, in_clusters = (c.sum(axis=0) for c in (counts.labelled_by_region, counts.in_clusters_by_region))
        found = work.settings.cell_mask is not None
        return _Counted(labelled, in_clusters, inside, area), "cell mask" if found else "regions of interest"
    given = work.settings.area_um2
    area = given if given is not None else hull_area_um2(work)
    definition = "given" if given is not None else "convex hull of the localizations"
    return _Counted(counts.labelled, counts.in_clusters, np.ones(len(clusters), dtype=bool), area), definition


def _figures(counted: _Counted, classes: slice | int) -> dict[str, Any]:
    """Localizations in clusters and their percentage, from the classes given; clusters and their density."""
    in_clusters, clusters = int(counted.in_clusters[classes].sum()), int(counted.clusters.sum())
    return {
        "in_clusters": in_clusters,
        "percent_clustered": 100.0 * in_clusters / max(1, counted.localizations),
        "clusters": clusters,
        "clusters_per_um2": clusters / counted.area_um2 if counted.area_um2 > 0 else None,
    }


def _by_class(work: Work, clusters: MeasuredClusters, whole: _Counted) -> dict[str, Any]:
    """The summary's part on each class, from a network that tells more than two apart."""
    names = work.network.classes
    if len(names) <= 2:
        return {}
    of, found = clusters.column("label"), {}
    for label, name in enumerate(names):
        if label == NON_CLUSTERED:
            continue
        mine = replace(whole, clusters=whole.clusters & (of == label))
        found[name] = {
            "localizations": int(whole.labelled[label]),
            **_figures(mine, label),
            "medians": _medians(clusters, mine.clusters),
        }
    return {"by_class": found}


def _tested(work: Work, whole: _Counted, clusters: MeasuredClusters) -> dict[str, Any]:
    """The summary's part on the test against randomness."""
    if not work.settings.test:
        return {}
    dropped = {} if work.settings.fdr is None else {"clusters_dropped": len(work.get(VERDICTS, 0)) - len(clusters)}
    return {"csr_test": _test_of(work, NO_REGION, whole), **dropped}


def _test_of(work: Work, region: int, counted: _Counted) -> dict[str, Any] | None:
    """What the test found of a region, or of all that is counted; None where it could not be tested."""
    found = [row for row in work.get(CSR_TEST, 0).to_pylist() if row["region_id"] == region]
    figures = _figures(counted, slice(None))
    return summary_of_test(found[0], figures, counted.localizations, counted.area_um2) if found else None


def _by_region(work: Work, counts: Counts, clusters: MeasuredClusters, rois: Sequence[Roi]) -> dict[str, Any]:
    """The summary's part on each region of interest."""
    if not rois:
        return {}
    of, found, tested = clusters.column("region_id"), [], work.settings.test
    for number, roi in enumerate(rois):
        labelled, in_clusters = counts.labelled_by_region[number], counts.in_clusters_by_region[number]
        counted = _Counted(labelled, in_clusters, of == number, roi.area_um2)
        about = {"region_id": number, "name": roi.name, "area_um2": roi.area_um2}
        found.append(
            about
            | {"localizations": counted.localizations}
            | _figures(counted, slice(None))
            | {"medians": _medians(clusters, counted.clusters)}
            | ({"csr_test": _test_of(work, number if len(rois) > 1 else NO_REGION, counted)} if tested else {})
        )
    return {"regions": found}


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
    reads=(FACTS, ROIS, CELL_MASK, BOXES, CUTS, TILE, MEMBERSHIP, MEASURED, OUTLINES, TALLY, HULL, PIXELS),
    writes=(),
)
MERGING_STAGE = reading(STAGE, (DETECTION_FACTS, DETECTION_BOXES, DETECTION_CUTS, MERGE_TALLY))
