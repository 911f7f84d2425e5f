"""The leaderboard: every method, untuned and tuned, on families of fields with known truth, beside what it costs.

Families: published scenarios of our simulator; unknown samples, with and without re-blinking; complete spatial
randomness (CSR); and each set of labelled tables. A row says how its method was tuned:

- none: there is nothing to tune;
- default: what a user takes who knows nothing of the field;
- one: the setting of the grid with the best mean over all fields of the family, on their truth; on CSR, that of the
  published scenarios;
- others: for each field the setting with the best mean over the other fields of its scenario, folder or kind, on their
  truth: never on its own.

Seconds and memory are those of one field of 1e5 localizations, or of as many as a method takes, in a process of its own
with one core, with settings that a search found on a smaller one.

    python benchmarks/leaderboard.py --work DIR --results benchmarks/results/leaderboard.json --labelled FOLDER

Stopped, it goes on where it was: parts are kept under --work. What stands in --results of other methods stays, if it is
of this version, this size and the same fields, so that a method can be added: --methods FILE.py:NAME, or a folder of
tables of labels (`own_methods.py`). A data set is one more --labelled folder.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import rivals
from accuracy import Task, one_for_all, worked
from contenders import CONTENDERS, MethodSpec, contender_named, method
from contest_fields import RANDOM, SCENARIOS, UNKNOWN, Group, drawn, labelled, write_field
from contest_figures import TUNINGS, draw_leaderboard
from harness import machine
from own_methods import OwnSpec, refuse_unknown

from caml_dask import __version__
from caml_dask.atomic import publish_text
from caml_dask.errors import CamlError

PUBLISHED, NO_CLUSTERS = "published scenarios", "no clusters (CSR)"
SEED = 0
MEANS = ("ari", "ari_truly_clustered", "hull_iou", "f1_clustered", "percent_called_clustered")
LIMIT_S, MEMORY_GIB = 300.0, 16.0


@dataclass(frozen=True)
class Size:
    """How much is looked at.

    replicates, localizations : fields of each scenario, and about how many localizations each has
    unknown, largest : unknown samples of each kind, and localizations of one at most
    random : scenarios without clusters
    tables : of each labelled folder, the first by name
    searched_on, timed_on : localizations of the fields on which settings are searched and times are taken
    """

    scenarios: tuple[str, ...]
    replicates: int
    localizations: int
    unknown: int
    largest: int
    random: tuple[str, ...]
    tables: int
    searched_on: int
    timed_on: int


FULL = Size(SCENARIOS, 2, 2_000, 8, 6_000, ("csr-d10", "csr-d100", "csr-d1000"), 2, 10_000, 100_000)
QUICK = Size(SCENARIOS[:1], 2, 1_500, 2, 1_500, ("csr-d100",), 2, 2_000, 4_000)


def families(size: Size, roots: Sequence[Path]) -> list[tuple[str, Group]]:
    """Every group of fields with its family."""
    published = [drawn(name, size.replicates, size.localizations, SEED) for name in (*size.scenarios, *size.random)]
    unknown = [drawn(name, size.unknown, size.largest, SEED) for name in UNKNOWN]
    others = [(root, group) for root in roots for group in labelled(root, size.tables)]
    return [
        *((PUBLISHED, group) for group in published),
        *((group[0], group) for group in unknown),
        *((_set_of(root, group[0]), group) for root, group in others),
    ]


def _set_of(root: Path, folder: str) -> str:
    """The data set of a labelled folder: what it lies in; re-blinking detections are a family of their own."""
    name = folder.split("/")[0] if "/" in folder else root.resolve().name
    return name + (", re-blinking" if "blinking" in folder else "")


def _shown(kind: str, group: str) -> str:
    """The family of rows: CSR is apart, though its settings are chosen with those of the published scenarios."""
    return NO_CLUSTERS if group.startswith(RANDOM) else kind


def rows(chosen: pd.DataFrame) -> list[dict[str, Any]]:
    """Scores by family, method and tuning: means over groups, sums of clusters, medians of ratios of areas."""
    tunings = {"default": "default", "kind": "one", "others": "others"}
    table = chosen[(chosen["reason"] == "") & chosen["choice"].isin(tunings)]
    table = table.assign(family=[_shown(*of) for of in zip(table["kind"], table["group"], strict=True)])
    tuned = set(table.loc[table["choice"] != "default", "method"])
    found = []
    for (family, name, choice), part in table.groupby(["family", "method", "choice"], sort=False):
        whole = choice != "kind"  # of one setting for all, no labels are kept
        means = part.groupby("group")[list(MEANS)].mean().mean()
        scores = {score: None if pd.isna(value) else round(value, 4) for score, value in means.items()}
        ratio = part["median_area_ratio"].median() if whole else None
        if family == NO_CLUSTERS:
            scores, ratio = {"percent_called_clustered": scores["percent_called_clustered"]}, None
        found.append(
            {
                "family": family,
                "method": name,
                "tuning": tunings[choice] if name in tuned else "none",
                "fields": len(part),
                **scores,
                "true_clusters": int(part["true_clusters"].sum()) if whole else None,
                "found_clusters": int(part["found_clusters"].sum()) if whole else None,
                "median_area_ratio": None if pd.isna(ratio) else round(ratio, 4),
            }
        )
    return sorted(found, key=lambda row: (row["method"], list(TUNINGS).index(row["tuning"])))


def costs(methods: Sequence[str], size: Size, work: Path, quick: bool) -> list[dict[str, Any]]:
    """Seconds and memory of each method on one field, one after another; tables of labels have none.

    A method that takes fewer localizations is timed on as many as it takes.
    """
    make = partial(rivals.Task, repeats=1, limit_s=LIMIT_S, memory_gib=MEMORY_GIB, smoke=quick)
    settings = rivals.settings_of(methods, size.searched_on, make, work, 0)
    tasks = [make(name, _timed_on(name, size), settings[name], rivals.SCENARIO.name) for name in methods]
    return [
        {
            "method": contender_named(name).name,
            "localizations": _timed_on(name, size),
            "status": result["status"],
            "seconds": result.get("seconds"),
            "peak_gib": result.get("peak_gib"),
            "reason": result.get("reason"),
            "machine": machine(),
        }
        for name, result in rivals.run(tasks, work, 0, "times").items()
    ]


def _timed_on(name: str, size: Size) -> int:
    spec = contender_named(name).default
    most = spec.method.most_localizations if isinstance(spec, MethodSpec) else None
    return size.timed_on if most is None else min(size.timed_on, most)


def described(groups: Sequence[tuple[str, Group]]) -> list[dict[str, Any]]:
    """Families with their fields; the digest is of all that these follow from."""
    found: dict[str, list[Group]] = {}
    for kind, group in groups:
        found.setdefault(_shown(kind, group[0]), []).append(group)
    return [
        {
            "family": family,
            "groups": [name for name, _ in of],
            "fields": sum(len(fields) for _, fields in of),
            "localizations": sum(len(field.read().truth) for _, fields in of for field in fields),
            "digest": hashlib.sha256(json.dumps([f.asked() for _, fs in of for f in fs]).encode()).hexdigest()[:16],
        }
        for family, of in found.items()
    ]


def joined(new: dict[str, Any], results: Path) -> dict[str, Any]:
    """New results with those of other methods that stand, of this version and size and on the same fields."""
    standing = json.loads(results.read_text()) if results.exists() else {"about": None}
    if standing["about"] != new["about"]:
        return new
    digests = {of["family"]: of["digest"] for of in new["families"]}
    before = [of for of in standing["families"] if digests.get(of["family"], of["digest"]) == of["digest"]]
    named = {row["method"] for row in new["rows"]}
    kept = [row for row in standing["rows"] if row["method"] not in named]
    return {
        **new,
        "families": new["families"] + [of for of in before if of["family"] not in digests],
        "rows": [row for row in kept if row["family"] in {of["family"] for of in before}] + new["rows"],
        "costs": [row for row in standing["costs"] if row["method"] not in named] + new["costs"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("build/leaderboard"), help="where parts are kept")
    parser.add_argument("--results", type=Path, help="the JSON file of results; the plot goes beside it")
    parser.add_argument("--labelled", type=Path, nargs="*", default=[], help="folders of (folders of) labelled tables")
    parser.add_argument(
        "--methods",
        nargs="*",
        default=list(CONTENDERS),
        help=f"of {', '.join(CONTENDERS)}; folders of networks; FILE.py:NAME, MODULE:NAME, folders of tables of labels",
    )
    parser.add_argument("--fields", type=Path, help="write the fields to this folder, without their truth, and end")
    parser.add_argument("--workers", type=int, default=2, help="worker processes; 0 for this one")
    parser.add_argument("--quick", action="store_true", help="small fields and few settings, in about a minute")
    asked = parser.parse_args()
    if not asked.results and not asked.fields:
        parser.error("give --results FILE, or --fields FOLDER")
    try:
        run(asked)
    except CamlError as error:
        parser.error(str(error))


def run(asked: argparse.Namespace) -> None:
    """Everything from nothing, or from where it was stopped."""
    size = QUICK if asked.quick else FULL
    groups = families(size, asked.labelled)
    fields = [field for _, group in groups for field in group[1]]
    if asked.fields:
        for field in fields:
            write_field(field, asked.fields)
        return
    methods = [method(text) for text in asked.methods]
    own = {name: spec for name in methods if isinstance(spec := contender_named(name).default, OwnSpec)}
    for spec in own.values():
        refuse_unknown(spec, [field.key for field in fields])
    tasks = [Task(kind, *group, name, asked.quick) for kind, group in groups for name in methods]
    chosen, searched = worked(tasks, asked.work, asked.workers)
    timed = [name for name in methods if name not in own or own[name].folder is None]
    found = {
        "about": {"caml_dask": __version__, "quick": asked.quick, "seed": SEED},
        "families": described(groups),
        "rows": rows(pd.concat([chosen, one_for_all(searched, chosen)], ignore_index=True)),
        "costs": costs(timed, size, asked.work, asked.quick),
    }
    left_out = chosen[chosen["reason"] != ""]
    for name, reasons in left_out.groupby("method")["reason"]:
        print(f"{name}: {len(reasons)} fields left out, first: {reasons.iloc[0]}")
    found = joined(found, asked.results)
    publish_text(asked.results, json.dumps(found, indent=1) + "\n")
    seconds = {of["method"]: 1e5 * of["seconds"] / of["localizations"] for of in found["costs"] if of["seconds"]}
    table = pd.DataFrame(found["rows"])
    draw_leaderboard(table, seconds, asked.results.with_suffix(".png"))
    print(table.pivot(index=["method", "tuning"], columns="family", values="ari").round(3).to_string())


if __name__ == "__main__":
    main()
