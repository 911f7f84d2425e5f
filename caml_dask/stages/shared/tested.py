"""The part of an image's summary on the test against randomness, and what it warns of."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from caml_dask.stages.shared.work import Work
from caml_dask.stages.tables import CSR_TEST

_OF_TABLE = ("detections_per_molecule", "precision_nm")
_USUAL = 0.05  # p value from which on an image cannot be told from randomness
_MANY_DETECTIONS = 1.5  # of a molecule
_MANY_NARROW = 0.25  # share of the clusters
_PRECISIONS_NM = 0.5, 200.0


def summary_of_test(
    row: Mapping[str, Any], figures: Mapping[str, Any], localizations: int, area_um2: float
) -> dict[str, Any]:
    """The p value, and by how much the image exceeds random fields, with an interval of 95 %.

    row : of :data:`caml_dask.stages.tables.CSR_TEST`
    figures : percent_clustered and clusters_per_um2 of what is counted
    """
    per_um2 = localizations / area_um2 if area_um2 > 0 else None
    excess = figures["percent_clustered"] - row["percent"]
    found = {
        "p_value": row["p_value"],
        "percent_clustered_random": row["percent"],
        "percent_clustered_excess": excess,
        "percent_clustered_excess_interval": [excess - row["percent_error"], excess + row["percent_error"]],
        "clusters_per_um2_random": None,
        "clusters_per_um2_excess": None,
        "clusters_per_um2_excess_interval": None,
    }
    if per_um2 is not None:
        random, error = (row[name] * per_um2 for name in ("clusters", "clusters_error"))
        excess = figures["clusters_per_um2"] - random
        found["clusters_per_um2_random"], found["clusters_per_um2_excess"] = random, excess
        found["clusters_per_um2_excess_interval"] = [excess - error, excess + error]
    return found | {name: row[name] for name in ("sub_fields", "random_fields", "localizations", *_OF_TABLE)}


def warnings_of_test(work: Work, tested: Mapping[str, Any], radius_of_gyration_nm: np.ndarray) -> list[str]:
    """What a user should know of the test, and of the columns that it looked at, a sentence each.

    radius_of_gyration_nm : (c,) float64 of the clusters that are counted
    """
    test, clusters = tested["csr_test"], len(radius_of_gyration_nm)
    if test is None:
        return [
            "not-tested: the image, or what is counted of it, has too few localizations or no area to compare with "
            "random fields: p and q values are null"
        ]
    found = []
    if clusters and test["p_value"] >= _USUAL:
        found.append(
            f"not-beyond-randomness: p {test['p_value']:.2g}: the {clusters} clusters cannot be told from what chance "
            "makes of as many localizations on the same area: do not report them as clusters without further evidence"
        )
    if tested.get("clusters_dropped"):
        found.append(
            f"clusters-dropped: {tested['clusters_dropped']} clusters were dropped by --fdr; their localizations count "
            "as in no cluster"
        )
    return found + list(_of_columns(work, test["detections_per_molecule"], radius_of_gyration_nm))


def _of_columns(work: Work, detections_per_molecule: float, radius_of_gyration_nm: np.ndarray) -> Iterator[str]:
    """What frames and precisions tell of the clusters."""
    row = work.get(CSR_TEST, 0).to_pylist()[0]
    precision_nm, missing = row["precision_nm"], row["precision_missing"]
    if detections_per_molecule > _MANY_DETECTIONS:
        yield (
            f"repeated-detections: by their frames, molecules are detected {detections_per_molecule:.1f} times in the "
            "mean: clusters count detections, not molecules: merge them with --merge auto"
        )
    if precision_nm is None:
        return
    if missing > 0:
        yield (
            f"precision-missing: {100 * missing:.2g} % of the localizations have a precision of 0, below 0 or none: "
            "it was not used: mend the column uncertainty, or leave these rows out with --where"
        )
    if not _PRECISIONS_NM[0] <= precision_nm <= _PRECISIONS_NM[1]:
        yield (
            f"precision-unlikely: the median precision is {precision_nm:.3g} nm; microscopes reach "
            f"{_PRECISIONS_NM[0]:g} to {_PRECISIONS_NM[1]:g} nm: check the unit of the column"
        )
    narrow = int(np.count_nonzero(radius_of_gyration_nm <= precision_nm * math.sqrt(work.dimensions())))
    if narrow > _MANY_NARROW * len(radius_of_gyration_nm):
        yield (
            f"narrower-than-precision: {narrow} of {len(radius_of_gyration_nm)} clusters are no wider than the "
            f"detections of one molecule at the median precision of {precision_nm:.3g} nm: their size is that of the "
            "precision, and they may be single molecules that were detected repeatedly"
        )
