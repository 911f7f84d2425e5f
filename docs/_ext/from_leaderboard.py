"""Tables of the committed leaderboard; figures stand in its file alone."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markdown_table import table

_FIXED = "\N{NO-BREAK SPACE}"
_TUNINGS = ("default", "one", "others", "none")
_TUNED = {
    "default": "default",
    "one": "one for all, on the truth",
    "others": "on the truth of other fields",
    "none": "nothing to tune",
}
_WITHOUT = "no clusters (CSR)"


def of_leaderboard(results: Path) -> dict[str, str]:
    """Every table by what it shows."""
    found = json.loads(results.read_text())
    return {"ranks": ranks(found), "scores": scores(found), "fields": fields(found)}


def ranks(found: Mapping[str, Any]) -> str:
    """Rand index by method and family, share in clusters where there are none, time and memory; best untuned first."""
    counts = {of["family"]: of["fields"] for of in found["families"]}
    costs = {of["method"]: of for of in found["costs"]}
    scored = [family for family in counts if family != _WITHOUT]
    ranked: list[tuple[tuple[int, float], tuple[str, ...]]] = []
    for method in dict.fromkeys(row["method"] for row in found["rows"]):
        mine = [row for row in found["rows"] if row["method"] == method]
        untuned = [r["ari"] for r in mine if r["tuning"] in ("default", "none") and r["family"] in scored]
        cells = [_by_tuning(mine, family, "ari", "{:.2f}", counts[family]) for family in scored]
        called = _by_tuning(mine, _WITHOUT, "percent_called_clustered", "{:.1f}", counts[_WITHOUT])
        name = method.replace(" ", _FIXED)
        row = (name, *cells, called, *_cost(costs.get(method)))
        ranked.append(((-len(untuned), -statistics.mean(untuned or [-1.0])), row))
    header = ("method", *scored, "% in clusters in CSR", "s for 1e5", "GiB")
    return table(header, [row for _, row in sorted(ranked)])


def scores(found: Mapping[str, Any]) -> str:
    """A table for each family: all scores of each method and tuning, best first."""
    parts = []
    for family in (of for of in found["families"] if of["family"] != _WITHOUT):
        rows = [r for r in found["rows"] if r["family"] == family["family"] and r["tuning"] != "one"]
        cells = [
            (
                row["method"].replace(" ", _FIXED),
                _TUNED[row["tuning"]],
                *(_hundredths(row[score]) for score in ("ari", "ari_truly_clustered", "hull_iou", "f1_clustered")),
                f"{row['found_clusters']:,} of {row['true_clusters']:,}",
                _hundredths(row["median_area_ratio"]),
                row["fields"],
            )
            for row in sorted(rows, key=lambda row: -row["ari"])
        ]
        header = ("method", "tuned", "ARI", "without noise", "IoU", "F1", "clusters found", "area to true", "fields")
        parts.append(f"### {family['family'].capitalize()}\n\n{table(header, cells)}")
    return "\n\n".join(parts)


def fields(found: Mapping[str, Any]) -> str:
    """What the families hold; and how large the run was."""
    rows = [(of["family"], len(of["groups"]), of["fields"], f"{of['localizations']:,}") for of in found["families"]]
    quick = "**A quick run: small fields and few settings. Its figures only show that it works.** "
    said = f"Version {found['about']['caml_dask']}, seed {found['about']['seed']}."
    said = (quick if found["about"]["quick"] else "") + said
    return f"{said}\n\n" + table(("family", "scenarios or folders", "fields", "localizations"), rows)


def _by_tuning(rows: Sequence[dict[str, Any]], family: str, score: str, written: str, fields: int) -> str:
    """A score by tuning: default / one for all / on other fields; with the fields that a method could take, if few."""
    of = {row["tuning"]: row for row in rows if row["family"] == family}
    said = [written.format(of[tuning][score]) for tuning in _TUNINGS if tuning in of]
    few = min((row["fields"] for row in of.values()), default=fields)
    return f"{_FIXED}/{_FIXED}".join(said) + (f" ({few} of {fields} fields)" if few < fields else "") or "-"


def _cost(of: dict[str, Any] | None) -> tuple[str, str]:
    """Seconds for 1e5 localizations, in proportion and with their number where fewer were taken, and memory."""
    if of is None or of["seconds"] is None:
        return ("-", "-") if of is None else (of["status"], "-")
    seconds = 1e5 * of["seconds"] / of["localizations"]
    more = ">" if of["status"] != "done" else ""
    fewer = f" (by {of['localizations']:,})" if of["localizations"] < 1e5 else ""
    return more + (f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.2g}") + fewer, f"{of['peak_gib']:.1f}"


def _hundredths(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
