"""Tables that sum up the records of an evaluation, and a short account of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from caml_dask.evaluation.clusters import FRAGMENTS, PROPERTIES
from caml_dask.evaluation.labelled import SCORES
from caml_dask.evaluation.labels import BINS, CLASS_KEYS

AXES = {
    "density": "density_per_um2",
    "points_per_cluster": "points_per_cluster",
    "radius": "r_max_nm",
    "percent_clustered": "percent_clustered",
}
"""What accuracies are averaged by: names of tables, and the columns they go by."""
RATES = ("balanced_accuracy", "accuracy", "f1", "precision", "recall")
CSR = ("csr", "slab-csr")


def summarised(
    labels: pd.DataFrame,
    clusters: pd.DataFrame,
    labelled: pd.DataFrame,
    classes: Mapping[str, Sequence[str]],
    passed_over: Mapping[str, str],
) -> dict[str, pd.DataFrame]:
    """All tables by name; those with no rows are left out.

    Balanced accuracy and the other rates are means over fields; fields with a reason are in ``left_out`` alone.

    Parameters
    ----------
    labels, clusters, labelled : the records.
    classes : names of the classes of each network, by its name.
    passed_over : folders of tables that were not looked at, with the reason.
    """
    scored, analysed, compared = (frame[frame["reason"] == ""] for frame in (labels, clusters, labelled))
    mixed = scored[~scored["grid"].isin(CSR)]
    tables = {"accuracy_by_grid": means(mixed, ["network", "grid"], RATES)}
    for name, column in AXES.items():
        tables[f"accuracy_by_{name}"] = means(mixed, ["network", "grid", column], RATES)
    by = ["network", "grid", "r_max_nm", "percent_clustered"]
    tables |= {
        "accuracy_by_radius_and_percent_clustered": means(mixed[mixed["grid"] == "evaluation"], by, RATES),
        "calibration": calibration(mixed),
        "csr": means(scored[scored["grid"].isin(CSR)], ["network", "grid", "density_per_um2"], _CALLED),
        "confusion": confusion(mixed, classes),
        "clusters": means(analysed, _CLUSTERS_BY, (*PROPERTIES, "ari", "ari_clustered", "hull_iou")),
        "fragments": means(
            analysed[analysed["grid"] == "large"], ["network", "grid", "points_per_cluster", "class"], FRAGMENTS
        ),
        "labelled_by_folder": means(compared, ["network", "folder"], SCORES, count="tables"),
        "left_out": left_out(labels, clusters, labelled, passed_over),
    }
    return {name: table for name, table in tables.items() if len(table)}


_CALLED = ("percent_called_clustered", "mean_score")
_CLUSTERS_BY = [
    *("network", "grid", "points_per_cluster", "r_max_nm", "z_max_nm", "percent_clustered", "percent_fiber"),
    *("density_per_um2", "class"),
]


def means(frame: pd.DataFrame, by: Sequence[str], columns: Sequence[str], count: str = "fields") -> pd.DataFrame:
    """Means of columns over the rows that share `by`, with how many rows they are of; NaN is passed over."""
    if frame.empty:
        return pd.DataFrame()
    groups = frame.groupby(list(by), dropna=False, sort=True)
    return pd.concat([groups.size().rename(count), groups[list(columns)].mean()], axis=1).reset_index()


def calibration(labels: pd.DataFrame) -> pd.DataFrame:
    """By network, grid and tenth of the score: localizations of all fields, their mean score and clustered percent."""
    rows = []
    for (name, grid), fields in labels.groupby(["network", "grid"], sort=True):
        for b in range(BINS):
            n = fields[f"bin{b}_n"]
            total = int(n.sum())
            score, share = (
                (fields[f"bin{b}_{what}"] * n).sum() / total if total else float("nan")
                for what in ("mean_score", "share_clustered")
            )
            rows.append((name, grid, b / BINS, (b + 1) / BINS, total, score, 100 * share))
    columns = ["network", "grid", "score_from", "score_to", "localizations", "mean_score", "percent_clustered"]
    return pd.DataFrame(rows, columns=columns)


def confusion(labels: pd.DataFrame, classes_of: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """By network and grid: localizations of each true and called class, and their percent of the true class."""
    rows = []
    for (name, grid), fields in labels.groupby(["network", "grid"], sort=True):
        classes = classes_of[name]
        for true, true_class in zip(CLASS_KEYS, classes):
            counts = [int(fields[f"n_{true}_called_{called}"].sum()) for called in CLASS_KEYS[: len(classes)]]
            for called_class, count in zip(classes, counts, strict=True):
                percent = 100 * count / sum(counts) if sum(counts) else float("nan")
                rows.append((name, grid, true_class, called_class, count, percent))
    columns = ["network", "grid", "true_class", "called_class", "localizations", "percent_of_true_class"]
    return pd.DataFrame(rows, columns=columns)


def left_out(
    labels: pd.DataFrame, clusters: pd.DataFrame, labelled: pd.DataFrame, passed_over: Mapping[str, str]
) -> pd.DataFrame:
    """Every field, table and folder that a network could not be held against, with the reason."""
    columns = ["what", "network", "group", "item", "replicate", "localizations", "reason"]
    named = {"grid": "group", "scenario": "item", "folder": "group", "file": "item"}
    found = []
    for what, frame in (("labels", labels), ("clusters", clusters), ("labelled", labelled)):
        rows = frame[frame["reason"] != ""].rename(columns=named).assign(what=what)
        found += rows.reindex(columns=columns).to_dict("records")
    found += [{"what": "labelled", "group": name, "reason": reason} for name, reason in sorted(passed_over.items())]
    return pd.DataFrame(found, columns=columns).astype({"replicate": "Int64", "localizations": "Int64"})


def account(tables: dict[str, pd.DataFrame]) -> str:
    """The means by grid and folder, as lines for a terminal."""
    lines = []
    if "accuracy_by_grid" in tables:
        lines.append("Labels, means over fields      fields  balanced accuracy  accuracy     F1")
        lines += [
            f"  {row.network:8s} {row.grid:18s} {row.fields:8d} {100 * row.balanced_accuracy:15.1f} %"
            f" {100 * row.accuracy:7.1f} % {row.f1:6.3f}"
            for row in tables["accuracy_by_grid"].itertuples()
        ]
    if "csr" in tables:
        lines.append("Called clustered where nothing is clustered")
        for (name, _), rows in tables["csr"].groupby(["network", "grid"]):
            shares = (f"{r.percent_called_clustered:.1f} % at {r.density_per_um2:g}" for r in rows.itertuples())
            lines.append(f"  {name:8s} {', '.join(shares)} per um2")
    if "clusters" in tables:
        lines.append("Clusters found / true, adjusted Rand index, means over scenarios")
        for (name, grid, kind), rows in tables["clusters"].groupby(["network", "grid", "class"]):
            ratio = rows["found_clusters"].sum() / rows["true_clusters"].sum()
            lines.append(f"  {name:8s} {grid:18s} {kind:10s} {ratio:6.2f} {rows['ari'].mean():6.2f}")
    if "labelled_by_folder" in tables:
        wide = max(map(len, tables["labelled_by_folder"]["folder"]))
        lines.append(f"{'Labelled tables, means over tables':{wide + 12}s} accuracy     F1    ARI")
        lines += [
            f"  {row.network:8s} {row.folder:{wide}s} {100 * row.accuracy:9.1f} % {row.f1:6.3f} {row.ari:6.3f}"
            for row in tables["labelled_by_folder"].itertuples()
        ]
    if "left_out" in tables:
        lines.append(
            f"{len(tables['left_out'])} fields, tables or folders left out, with the reasons in tables/left_out.csv"
        )
    return "\n".join(lines)
