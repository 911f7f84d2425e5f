"""CAML beside other methods on fields with known truth: simulated scenarios, and folders of labelled tables.

The other methods are given every advantage: beside defaults, their parameters are searched on the truth itself, by the
adjusted Rand index over all localizations with noise as one class. Grids are relative to a field's density. The column
`choice` says how settings were chosen:

- default: what a user takes who knows nothing; CAML and the Bayesian analysis have only that, for they ask for nothing;
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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from contenders import CONTENDERS, Contender, NetworkSpec, Spacing, candidates, contender_named, method, written
from contest_figures import draw_accuracy, draw_field

from caml_dask import __version__
from caml_dask.atomic import fingerprint, publish, publish_text
from caml_dask.errors import CamlError
from caml_dask.evaluation.labelled import labelled_folders, read_labelled
from caml_dask.evaluation.protocol import Protocol, generator, sized_field
from caml_dask.executors.items import each
from caml_dask.metrics import class_scores, cluster_errors, cluster_scores, hull_iou
from caml_dask.networks import load
from caml_dask.schema import NO_CLUSTER
from caml_dask.simulate import scenario_named

SCENARIOS = (
    "uniform-p20-r50-c50-d100",
    "uniform-p20-r20-c50-d100",
    "uniform-p20-r80-c50-d100",
    "uniform-p20-r50-c20-d100",
    "uniform-p20-r50-c80-d100",
    "uniform-p10-r50-c50-d50",
    "uniform-p50-r50-c50-d500",
    "uniform-p100-r100-c50-d300",
    "gaussian-p20-r50-c50-d100",
    "line-p20-r50-c50-d100",
    "ring-p20-r50-c50-d100",
    "csr-d100",
)
SHOWN = "uniform-p20-r50-c50-d100"


@dataclass(frozen=True)
class Field:
    """Where a field comes from.

    place : a labelled table; or a scenario's name, replicate, about how many localizations, and seed.
    """

    place: Path | tuple[str, int, int, int]

    @property
    def name(self) -> str:
        return self.place.name if isinstance(self.place, Path) else str(self.place[1])

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Localizations (n, 2) in nm, and their true clusters (n,), -1 for noise."""
        if isinstance(self.place, Path):
            table = read_labelled(self.place)
            return table.points_nm, table.truth
        name, replicate, localizations, seed = self.place
        scenario = scenario_named(name)
        rng = generator("rivals", scenario, replicate, Protocol(seed=seed))
        field = sized_field(scenario, rng, localizations)
        return field.points_nm, field.truth

    def asked(self) -> Any:
        """What its contents follow from."""
        return [self.name, fingerprint(self.place)] if isinstance(self.place, Path) else list(self.place)


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
        xy, truth = field.read()
        grid = candidates(contender, Spacing.of(xy), task.smoke)
        try:
            found = [_timed(contender, xy, settings) for settings in grid]
        except CamlError as error:
            chosen.append({**about, "field": field.name, "choice": "default", "localizations": len(xy),
                           "reason": str(error)})  # fmt: skip
            continue
        ari = [cluster_scores(truth, labels).ari for labels, _ in found]
        searched.append(
            pd.DataFrame(
                {
                    **about,
                    "field": field.name,
                    "candidate": range(len(grid)),
                    "settings": [written(s) for s in grid],
                    "ari": ari,
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
        xy, truth = field.read()
        grid = candidates(contender, Spacing.of(xy), task.smoke)
        best = {"default": 0}
        if len(grid) > 1 and (truth != NO_CLUSTER).any():
            tried = table[table["candidate"] > 0]
            best["field"] = int(rows.loc[1:, "ari"].idxmax())
            best["folder"] = int(tried.groupby("candidate")["ari"].mean().idxmax())
        for choice, candidate in best.items():
            labels = contender.label(xy, grid[candidate])
            chosen.append({**about, "field": field.name, "choice": choice, "localizations": len(xy),
                           "settings": written(grid[candidate]), "seconds": rows.loc[candidate, "seconds"],
                           **measured(xy, truth, labels), "reason": ""})  # fmt: skip
    return task, pd.DataFrame(chosen), table


def measured(xy: np.ndarray, truth: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """All measures of labels against a truth."""
    clusters = cluster_scores(truth, labels)
    errors = asdict(cluster_errors(xy, truth, labels))
    return {
        "ari": clusters.ari,
        "ari_truly_clustered": clusters.ari_truly_clustered,
        "hull_iou": hull_iou(xy, truth, labels),
        "f1_clustered": class_scores(truth != NO_CLUSTER, labels != NO_CLUSTER).f1,
        **{f"relative_error_{name}": value for name, value in errors.items()},
        "true_clusters": clusters.n_true,
        "found_clusters": clusters.n_found,
        "percent_called_clustered": 100 * float((labels != NO_CLUSTER).mean()),
    }


def _warm_up(contender: Contender) -> None:
    """Import and compile what a method needs, so that the first field's time is like the others'."""
    contender.label(np.random.default_rng(0).uniform(0, 3_000, (1_100, 2)), contender.default)


def _timed(contender: Contender, xy: np.ndarray, settings: Any) -> tuple[np.ndarray, float]:
    start = time.perf_counter()
    labels = contender.label(xy, settings)
    return labels, time.perf_counter() - start


def groups(scenarios: Sequence[str], replicates: int, localizations: int, seed: int, labelled: Path | None) -> list:
    """Kind, name and fields of every scenario and of every folder of labelled tables in the plane."""
    found: list[tuple[str, str, tuple[Field, ...]]] = [
        ("simulated", name, tuple(Field((name, r, localizations, seed)) for r in range(replicates)))
        for name in scenarios
    ]
    for folder in labelled_folders(labelled) if labelled is not None else ():
        fields = tuple(Field(path) for path, dimensions in folder.tables if dimensions == 2)
        if fields:
            found.append(("labelled", folder.name, fields))
    return found


def one_for_all(searched: pd.DataFrame, chosen: pd.DataFrame) -> pd.DataFrame:
    """Rows of the choice "kind": of each method the candidate with the best mean over the groups of a kind.

    Every group weighs the same, whatever its number of fields. Fields without clusters have no say, for their Rand
    index is 1 where nothing is found and 0 elsewhere.
    """
    tried = searched[searched["candidate"] > 0]
    rows = []
    columns = ["method", "kind", "group", "field", "choice", "settings", "ari", "percent_called_clustered", "seconds"]
    for _, table in tried.groupby(["kind", "method"]):
        with_clusters = table[~table["group"].str.startswith("csr")]
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
    parser.add_argument("--scenarios", nargs="*", default=SCENARIOS, help="names that caml-dask simulate knows")
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
        scenarios, replicates, size = [SHOWN, "csr-d100"], 1, 1_500
    found = groups(scenarios, replicates, size, asked.seed, asked.labelled)
    tasks = [Task(*group, method, asked.smoke) for group in found for method in asked.methods]
    pending = [task for task in tasks if not task.part(asked.work).exists()]
    print(f"{len(tasks) - len(pending)} of {len(tasks)} parts are there already", flush=True)
    for task, chosen, searched in each(perform, pending, asked.workers, "methods on folders"):
        publish(task.part(asked.work), lambda folder, c=chosen, s=searched: _write(folder, c, s))
    report(tasks, asked.work, asked.out)
    if set(asked.methods) >= set(CONTENDERS):
        shown = Field((SHOWN, 0, size, asked.seed))
        draw_field(*shown.read(), labels_of_field(shown, tasks, asked.work), asked.out / "field.png")
    about = {"caml_dask": __version__, "replicates": replicates, "localizations": size, "seed": asked.seed,
             "labelled": asked.labelled.name if asked.labelled else None, "smoke": asked.smoke}  # fmt: skip
    publish_text(asked.out / "accuracy.json", json.dumps(about, indent=1) + "\n")


def report(tasks: Sequence[Task], work: Path, out: Path) -> None:
    """Tables and figures of all parts."""
    out.mkdir(parents=True, exist_ok=True)
    chosen, searched = (
        pd.concat(
            [
                _of_others(out / standing, tasks),
                *(pd.read_parquet(task.part(work) / f"{name}.parquet") for task in tasks),
            ],
            ignore_index=True,
        )
        for name, standing in (("chosen", "accuracy.parquet"), ("searched", "searched.parquet"))
    )
    chosen = pd.concat([chosen, one_for_all(searched, chosen)], ignore_index=True)
    chosen.to_parquet(out / "accuracy.parquet", index=False)
    chosen.to_csv(out / "accuracy.csv", index=False, float_format="%.5g", lineterminator="\n")
    searched.to_parquet(out / "searched.parquet", index=False, compression="zstd")
    means = summarised(chosen)
    means.to_csv(out / "accuracy_by_group.csv", index=False, float_format="%.5g", lineterminator="\n")
    draw_accuracy(means, out)
    overall = means[~means["group"].str.startswith("csr")].groupby(["kind", "method", "choice"])["ari"].mean().unstack()
    print(overall.round(3).to_string())


def _of_others(standing: Path, tasks: Sequence[Task]) -> pd.DataFrame:
    """Rows of a table that stands of other methods than those of the tasks, without what is chosen over all groups."""
    if not standing.exists():
        return pd.DataFrame()
    found = pd.read_parquet(standing)
    others = found[~found["method"].isin({contender_named(task.method).name for task in tasks})]
    return others[others["choice"] != "kind"] if "choice" in others else others


def labels_of_field(field: Field, tasks: Sequence[Task], work: Path) -> dict[str, np.ndarray]:
    """Labels of one field by each method, with the parameters that were best for its scenario."""
    xy, _ = field.read()
    labels = {}
    for task in tasks:
        if task.group != field.place[0]:
            continue
        contender = contender_named(task.method)
        chosen = pd.read_parquet(task.part(work) / "chosen.parquet")
        grid = candidates(contender, Spacing.of(xy), task.smoke)
        rows = chosen[(chosen["field"] == field.name) & chosen["choice"].isin(["folder", "default"])]
        if rows.empty or "settings" not in rows:
            continue
        wanted = rows.sort_values("choice").iloc[-1]["settings"]
        match = next(s for s in grid if written(s) == wanted)
        labels[contender.name] = contender.label(xy, match)
    return labels


def _write(folder: Path, chosen: pd.DataFrame, searched: pd.DataFrame) -> None:
    folder.mkdir()
    chosen.to_parquet(folder / "chosen.parquet", index=False)
    searched.to_parquet(folder / "searched.parquet", index=False)


if __name__ == "__main__":
    main()
