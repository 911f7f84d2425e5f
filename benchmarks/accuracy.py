"""CAML beside other methods on fields with known truth: simulated scenarios, and folders of labelled tables.

The other methods are given every advantage: beside defaults, their parameters are searched on the truth itself, by the
adjusted Rand index over all localizations with noise as one class. Grids are relative to a field's density. The column
`choice` says how settings were chosen:

- default: what a user takes who knows nothing; CAML and the Bayesian analysis have only that, for they ask for nothing;
- others: for each field the best mean over the other fields of its folder or scenario;
- field: the best of the grid for each field by itself;
- folder: the best mean over the fields of a folder or scenario;
- kind: the best mean over all folders, or over all scenarios: one setting for everything (adjusted Rand index only).

    python benchmarks/accuracy.py --labelled FOLDER --out benchmarks/results/rivals

Parts are kept under --work; run again, it goes on where it was stopped. What stands in --out of other methods stays, so
that one of them can be tried anew: --methods "CAML field-2d". Labelled tables only judge: no network is
trained or tuned on them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from contenders import (
    CONTENDERS,
    Contender,
    NetworkSpec,
    Spacing,
    candidates,
    contender_named,
    labels_of,
    method,
    written,
)
from contest_fields import RANDOM, SCENARIOS, Field, Localized, drawn, labelled
from contest_figures import draw_accuracy, draw_field

from caml_dask import __version__
from caml_dask.atomic import publish, publish_text
from caml_dask.errors import InputError
from caml_dask.evaluation.clusters import true_sizes
from caml_dask.executors.items import each
from caml_dask.metrics import class_scores, cluster_errors, cluster_scores, hull_iou
from caml_dask.networks import load
from caml_dask.schema import NO_CLUSTER

SHOWN = SCENARIOS[0]
CSR = "csr-d100"


@dataclass(frozen=True)
class Task:
    """One method on the fields of a folder or scenario."""

    kind: str
    group: str
    fields: tuple[Field, ...]
    method: str
    smoke: bool

    def key(self) -> str:
        """Digest of all that decides its results."""
        contender = contender_named(self.method)
        grid = [written(s) for s in candidates(contender, Spacing(100.0, 100.0), self.smoke)]
        own = load(contender.default.network).identity if isinstance(contender.default, NetworkSpec) else {}
        asked = [__version__, own, self.kind, self.group, grid, [field.asked() for field in self.fields]]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]

    def part(self, work: Path) -> Path:
        name = contender_named(self.method).name.replace(" ", "_")
        return work / "accuracy" / f"{name}-{self.group.replace('/', '_')}-{self.key()}"


def perform(task: Task) -> tuple[Task, pd.DataFrame, pd.DataFrame]:
    """Search, choose and measure: the task, chosen settings with all measures, and the grid with its Rand indices."""
    contender = contender_named(task.method)
    about = {"method": contender.name, "kind": task.kind, "group": task.group}
    searched, chosen = [], []
    _warm_up(contender)
    for field in task.fields:
        given = field.read()
        grid = candidates(contender, Spacing.of(given.points_nm), task.smoke)
        try:
            found = [_timed(contender, given, settings) for settings in grid]
        except InputError as error:
            chosen.append({**about, "field": field.name, "choice": "default", "localizations": len(given.truth),
                           "reason": str(error)})  # fmt: skip
            continue
        searched.append(
            pd.DataFrame(
                {
                    **about,
                    "field": field.name,
                    "candidate": range(len(grid)),
                    "settings": [written(s) for s in grid],
                    "ari": [cluster_scores(given.truth, labels).ari for labels, _ in found],
                    "percent_called_clustered": [100 * float((labels != NO_CLUSTER).mean()) for labels, _ in found],
                    "seconds": [seconds for _, seconds in found],
                }
            )
        )
    table = pd.concat(searched) if searched else pd.DataFrame()
    for field in task.fields if searched else ():
        rows = table[table["field"] == field.name].set_index("candidate")
        if rows.empty:
            continue
        given = field.read()
        grid = candidates(contender, Spacing.of(given.points_nm), task.smoke)
        clusters = (given.truth != NO_CLUSTER).any()
        for choice, candidate in _choices(table, field.name, clusters).items():
            labels = labels_of(contender, given, grid[candidate])
            chosen.append({**about, "field": field.name, "choice": choice, "localizations": len(given.truth),
                           "settings": written(grid[candidate]), "seconds": rows.loc[candidate, "seconds"],
                           **measured(given.points_nm, given.truth, labels), "reason": ""})  # fmt: skip
    return task, pd.DataFrame(chosen), table


def _choices(searched: pd.DataFrame, field: str, clusters: bool) -> dict[str, int]:
    """Candidates for one field, by how they were chosen; without clusters there is no truth to choose by."""
    tried = searched[searched["candidate"] > 0]
    if tried.empty or not clusters:
        return {"default": 0}
    mine = tried["field"] == field
    told_by = {"field": tried[mine], "folder": tried, "others": tried[~mine]}
    best = {choice: rows.groupby("candidate")["ari"].mean().idxmax() for choice, rows in told_by.items() if len(rows)}
    return {"default": 0, **{choice: int(candidate) for choice, candidate in best.items()}}


def measured(xy: np.ndarray, truth: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """All measures of labels against a truth."""
    clusters = cluster_scores(truth, labels)
    errors = asdict(cluster_errors(xy, truth, labels))
    true_area, area = (np.median(sizes) if len(sizes := true_sizes(xy, ids)[0]) else np.nan for ids in (truth, labels))
    return {
        "ari": clusters.ari,
        "ari_truly_clustered": clusters.ari_truly_clustered,
        "hull_iou": hull_iou(xy, truth, labels),
        "f1_clustered": class_scores(truth != NO_CLUSTER, labels != NO_CLUSTER).f1,
        **{f"relative_error_{name}": value for name, value in errors.items()},
        "median_area_ratio": float(area / true_area) if true_area > 0 else np.nan,
        "true_clusters": clusters.n_true,
        "found_clusters": clusters.n_found,
        "percent_called_clustered": 100 * float((labels != NO_CLUSTER).mean()),
    }


def _warm_up(contender: Contender) -> None:
    """Import and compile what a method needs, so that the first field's time is like the others'."""
    noise = np.random.default_rng(0).uniform(0, 3_000, (1_100, 2))
    with suppress(InputError):
        contender.label(noise, contender.default)


def _timed(contender: Contender, given: Localized, settings: Any) -> tuple[np.ndarray, float]:
    start = time.perf_counter()
    labels = labels_of(contender, given, settings)
    return labels, time.perf_counter() - start


def worked(tasks: Sequence[Task], work: Path, workers: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Chosen settings and grids of all tasks; parts that are there already are read."""
    pending = [task for task in tasks if not task.part(work).exists()]
    print(f"{len(tasks) - len(pending)} of {len(tasks)} parts are there already", flush=True)
    for task, chosen, searched in each(perform, pending, workers, "methods on folders"):
        publish(task.part(work), lambda folder, c=chosen, s=searched: _write(folder, c, s))
    return tuple(
        pd.concat([pd.read_parquet(task.part(work) / f"{name}.parquet") for task in tasks], ignore_index=True)
        for name in ("chosen", "searched")
    )


def one_for_all(searched: pd.DataFrame, chosen: pd.DataFrame) -> pd.DataFrame:
    """Rows of the choice "kind": of each method the candidate with the best mean over the groups of a kind.

    Every group weighs the same, whatever its number of fields. Fields without clusters have no say, for their Rand
    index is 1 where nothing is found and 0 elsewhere.
    """
    tried = searched[searched["candidate"] > 0]
    rows = []
    columns = ["method", "kind", "group", "field", "choice", "settings", "ari", "percent_called_clustered", "seconds"]
    for _, table in tried.groupby(["kind", "method"]):
        with_clusters = table[~table["group"].str.startswith(RANDOM)]
        by_group = with_clusters.groupby(["candidate", "group"])["ari"].mean()
        best = by_group.groupby("candidate").mean().idxmax()
        rows.append(table[table["candidate"] == best].assign(choice="kind", reason=""))
    if not rows:
        return pd.DataFrame(columns=[*columns, "localizations", "reason"])
    kept = pd.concat(rows)[[*columns, "reason"]]
    sizes = chosen.drop_duplicates(["kind", "group", "field"])[["kind", "group", "field", "localizations"]]
    return kept.merge(sizes, on=["kind", "group", "field"], how="left")


def summarised(chosen: pd.DataFrame) -> pd.DataFrame:
    """Means over the fields of each group: one row a method, choice and group."""
    measures = chosen[chosen["reason"] == ""]
    numbers = [c for c in measures if pd.api.types.is_numeric_dtype(measures[c])]
    by = ["kind", "group", "method", "choice"]
    means = measures.groupby(by)[numbers].mean()
    return means.join(measures.groupby(by).size().rename("fields")).reset_index()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labelled", type=Path, help="folder of folders of labelled tables; none without")
    parser.add_argument("--out", type=Path, required=True, help="where tables and figures go")
    parser.add_argument("--work", type=Path, default=Path("build/rivals"), help="where parts are kept")
    parser.add_argument("--scenarios", nargs="*", default=(*SCENARIOS, CSR), help="names that caml-dask simulate knows")
    parser.add_argument(
        "--methods",
        nargs="*",
        type=method,
        default=list(CONTENDERS),
        help=f"of {', '.join(CONTENDERS)}; and folders of networks that `caml-dask train` wrote",
    )
    parser.add_argument("--replicates", type=int, default=3, help="fields of each scenario")
    parser.add_argument("--localizations", type=int, default=5_000, help="of a simulated field, about")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="worker processes; 0 for this one")
    parser.add_argument("--smoke", action="store_true", help="two small scenarios and a few candidates")
    asked = parser.parse_args()
    scenarios, replicates, size = asked.scenarios, asked.replicates, asked.localizations
    if asked.smoke:
        scenarios, replicates, size = [SHOWN, CSR], 1, 1_500
    found = [("simulated", drawn(name, replicates, size, asked.seed)) for name in scenarios]
    found += [("labelled", group) for group in (labelled(asked.labelled) if asked.labelled else ())]
    tasks = [Task(kind, *group, method, asked.smoke) for kind, group in found for method in asked.methods]
    report(*worked(tasks, asked.work, asked.workers), asked.out)
    if set(asked.methods) >= set(CONTENDERS):
        shown = drawn(SHOWN, 1, size, asked.seed)[1][0]
        given = shown.read()
        labels = labels_of_field(given, shown, tasks, asked.work)
        draw_field(given.points_nm, given.truth, labels, asked.out / "field.png")
    about = {"caml_dask": __version__, "replicates": replicates, "localizations": size, "seed": asked.seed,
             "labelled": asked.labelled.name if asked.labelled else None, "smoke": asked.smoke}  # fmt: skip
    publish_text(asked.out / "accuracy.json", json.dumps(about, indent=1) + "\n")


def report(chosen: pd.DataFrame, searched: pd.DataFrame, out: Path) -> None:
    """Tables and figures, with the rows of other methods that stand."""
    out.mkdir(parents=True, exist_ok=True)
    chosen, searched = (
        pd.concat([_of_others(out / standing, set(chosen["method"])), found], ignore_index=True)
        for standing, found in (("accuracy.parquet", chosen), ("searched.parquet", searched))
    )
    if not (fixed := one_for_all(searched, chosen)).empty:  # without rows, its columns would be of no kind
        chosen = pd.concat([chosen, fixed], ignore_index=True)
    chosen.to_parquet(out / "accuracy.parquet", index=False)
    chosen.to_csv(out / "accuracy.csv", index=False, float_format="%.5g", lineterminator="\n")
    searched.to_parquet(out / "searched.parquet", index=False, compression="zstd")
    means = summarised(chosen)
    means.to_csv(out / "accuracy_by_group.csv", index=False, float_format="%.5g", lineterminator="\n")
    draw_accuracy(means, out)
    overall = means[~means["group"].str.startswith(RANDOM)].groupby(["kind", "method", "choice"])["ari"].mean()
    print(overall.unstack().round(3).to_string())


def _of_others(standing: Path, methods: set[str]) -> pd.DataFrame:
    """Rows of a table that stands of other methods than these, without what is chosen over all groups."""
    if not standing.exists():
        return pd.DataFrame()
    found = pd.read_parquet(standing)
    others = found[~found["method"].isin(methods)]
    return others[others["choice"] != "kind"] if "choice" in others else others


def labels_of_field(given: Localized, field: Field, tasks: Sequence[Task], work: Path) -> dict[str, np.ndarray]:
    """Labels of one field by each method, with the parameters that were best for its scenario."""
    labels = {}
    for task in tasks:
        if task.group != field.group:
            continue
        contender = contender_named(task.method)
        chosen = pd.read_parquet(task.part(work) / "chosen.parquet")
        grid = candidates(contender, Spacing.of(given.points_nm), task.smoke)
        rows = chosen[(chosen["field"] == field.name) & chosen["choice"].isin(["folder", "default"])]
        if rows.empty or "settings" not in rows:
            continue
        wanted = rows.sort_values("choice").iloc[-1]["settings"]
        match = next(s for s in grid if written(s) == wanted)
        labels[contender.name] = labels_of(contender, given, match)
    return labels


def _write(folder: Path, chosen: pd.DataFrame, searched: pd.DataFrame) -> None:
    folder.mkdir()
    chosen.to_parquet(folder / "chosen.parquet", index=False)
    searched.to_parquet(folder / "searched.parquet", index=False)


if __name__ == "__main__":
    main()
