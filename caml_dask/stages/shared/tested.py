"""The part of an image's summary on the test against randomness, and what it warns of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_USUAL = 0.05  # p value from which on an image cannot be told from randomness


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
    return found | {name: row[name] for name in ("sub_fields", "random_fields", "localizations", "reblinking")}


def warnings_of_test(tested: Mapping[str, Any], clusters: int) -> list[str]:
    """What a user should know of the test, a sentence each."""
    test = tested["csr_test"]
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
    return found
