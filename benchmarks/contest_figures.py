"""Figures of the comparison with other methods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from caml_dask.evaluation.charts import GRAY, legend_below, panels, save, table_of_squares

LOOK = {
    "CAML XPILJZ": ("#0072B2", "o"),
    "CAML 07VEJJ": ("#D55E00", "s"),
    "CAML 87B144": ("#009E73", "^"),
    "CAML field-2d": ("#CC3311", "<"),
    "DBSCAN": ("#000000", "D"),
    "HDBSCAN": ("#888888", "v"),
    "Getis-Franklin": ("#CC79A7", "P"),
    "SR-Tesseler": ("#E69F00", "X"),
    "ToMATo": ("#56B4E9", "*"),
    "Dominant sets": ("#332288", "p"),
    "Bayesian": ("#882255", "h"),
}
GROUPS = {
    "uniform-p20-r50-c50-d100": "discs of 20, r 50",
    "uniform-p20-r20-c50-d100": "r 20 nm",
    "uniform-p20-r80-c50-d100": "r 80 nm",
    "uniform-p20-r50-c20-d100": "20 % clustered",
    "uniform-p20-r50-c80-d100": "80 % clustered",
    "uniform-p10-r50-c50-d50": "sparse (50/µm²)",
    "uniform-p50-r50-c50-d500": "dense (500/µm²)",
    "uniform-p100-r100-c50-d300": "large (100, r 100)",
    "gaussian-p20-r50-c50-d100": "Gaussian",
    "line-p20-r50-c50-d100": "lines",
    "ring-p20-r50-c50-d100": "rings",
}
NIEVES = {
    "s2": "base",
    "s3": "dense noise",
    "s5": "100 clusters",
    "s6": "elliptical",
    "s8": "5-15 points",
    "s9": "15-135 points",
}


def group_title(group: str) -> str:
    """What a scenario or folder is, in a few words."""
    folder = group.rsplit("/", 1)[-1]
    for prefix, what in (("ground_truth_", "molecules"), ("multiple_blinking_", "blinking")):
        if folder.startswith(prefix):
            scene = folder.removeprefix(prefix)
            return f"{what}: {NIEVES.get(scene, scene)}"
    return GROUPS.get(group, folder)


def in_order(names: Iterable[str]) -> list[str]:
    """Methods, each once: networks of the user's own first, then those of LOOK in its order."""
    there = set(names)
    return [*sorted(there - LOOK.keys()), *(name for name in LOOK if name in there)]


def look(method: str) -> dict[str, Any]:
    color, marker = LOOK.get(method, ("#000000", "P"))
    return {"color": color, "marker": marker}


def draw_accuracy(means: pd.DataFrame, out: Path) -> None:
    """Rand index by group as squares, for each kind of field."""
    empty = means["group"].str.startswith("csr")
    for kind, title in (("simulated", "simulated scenarios"), ("labelled", "tables that others labelled")):
        rows = means[(means["kind"] == kind) & ~empty]
        if not rows.empty:
            _squares(rows, title, out / f"ari_by_scenario_{kind}.png")


CHOICES = {
    "default": "as they come, with default parameters",
    "kind": "with one setting for everything, the best on average, found on the truth",
    "folder": "with the best parameters for each column, found on its truth",
}


def _squares(rows: pd.DataFrame, title: str, path: Path) -> None:
    methods = in_order(rows["method"])[::-1]
    order = [g for g in GROUPS if g in set(rows["group"])]
    order += sorted(set(rows["group"]) - set(order))
    size = (max(9.0, 2.2 + 0.72 * len(order)), 1.5 + 0.28 * len(methods))
    heading = f"Clusters found in {title}: adjusted Rand index (1 perfect, 0 chance)"
    figure, axes = panels(3, f"{heading}\nCAML and the Bayesian analysis have nothing to tune", 1, size)
    for panel, (choice, what) in zip(axes, CHOICES.items(), strict=True):
        values = with_fixed(rows, choice).pivot(index="method", columns="group", values="ari")
        values = values.reindex(index=methods, columns=order)
        values.insert(len(order), "mean", values.mean(axis=1, skipna=False))
        image = table_of_squares(panel, values, (0.0, 1.0), "viridis", lambda v: f"{v:.2f}")
        panel.set_xticks(range(len(order) + 1), [*map(group_title, order), "mean"])
        panel.set_yticks(range(len(methods)), methods)
        panel.tick_params(axis="x", rotation=40, length=0)
        for text in panel.get_xticklabels():
            text.set(ha="right", rotation_mode="anchor", fontsize=8)
        panel.axvline(len(order) - 0.5, color="white", lw=4)
        panel.axhline(len([m for m in methods if not m.startswith("CAML")]) - 0.5, color="white", lw=4)
        panel.set_title(f"Other methods {what}", fontsize=10)
        panel.spines[:].set_visible(False)
    figure.colorbar(image, ax=axes, label="adjusted Rand index", shrink=0.4)
    save(figure, path)


def with_fixed(rows: pd.DataFrame, choice: str) -> pd.DataFrame:
    """Rows of a choice; methods that have nothing to choose stand in every choice as they are."""
    searched = set(rows.loc[rows["choice"] != "default", "method"])
    return rows[(rows["choice"] == choice) | (~rows["method"].isin(searched) & (rows["choice"] == "default"))]


TUNINGS = {
    "default": ("default parameters", "white"),
    "one": ("one setting for all, chosen on their truth", "lightgray"),
    "others": ("tuned on the truth of other fields", None),
    "none": ("nothing to tune", None),
}


def draw_leaderboard(rows: pd.DataFrame, seconds: Mapping[str, float], path: Path) -> None:
    """Rand index against seconds for 1e5 localizations: a panel for each family, a line for each method.

    rows : with columns method, tuning, family and ari
    seconds : by method; one without is left out, and if there is none, there is no figure
    """
    rows = rows[rows["method"].isin(seconds) & rows["ari"].notna()]
    families = list(dict.fromkeys(rows["family"]))
    if not families:
        return
    title = (
        "Accuracy against time. White: default parameters; gray: one setting for all; filled: tuned, or nothing to tune"
    )
    figure, axes = panels(len(families), title, 3, (3.6, 3.2))
    for panel, family in zip(axes, families, strict=True):
        here = rows[rows["family"] == family]
        for method in in_order(here["method"]):
            style = look(method)
            aris = here[here["method"] == method].set_index("tuning")["ari"]
            panel.plot([seconds[method]] * len(aris), aris, color=style["color"], lw=0.8, alpha=0.5)
            for tuning, ari in aris.items():
                fill = TUNINGS[tuning][1] or style["color"]
                label = method if TUNINGS[tuning][1] is None else None
                panel.plot(seconds[method], ari, ls="none", ms=7, mfc=fill, label=label, **style)
        panel.set_xscale("log")
        panel.xaxis.set_minor_formatter(lambda value, position: "")
        panel.set_ylim(min(0.0, panel.get_ylim()[0]), 1.0)
        panel.grid(color="#dddddd", lw=0.6)
        panel.set_title(family, fontsize=10)
        panel.set_xlabel("seconds for 1e5 localizations")
        panel.set_ylabel("adjusted Rand index, mean")
    legend_below(figure, axes)
    save(figure, path)


def draw_field(xy: np.ndarray, truth: np.ndarray, labels: dict[str, np.ndarray], path: Path) -> None:
    """A piece of one field with the true clusters, and those of each method, in colors."""
    from caml_dask.metrics import cluster_scores

    side = 3_000.0
    middle = np.median(xy, axis=0)
    inside = (np.abs(xy - middle) < side / 2).all(axis=1)
    shown = {"truth": truth, **{name: labels[name] for name in LOOK if name in labels}}
    title = "3 x 3 µm of a simulated cell: each cluster in a color, noise in gray (other methods tuned on the truth)"
    figure, axes = panels(len(shown), title, 5, (2.7, 2.9))
    at = (xy[inside] - middle) / 1e3
    for panel, (name, cluster) in zip(axes, shown.items(), strict=True):
        part = cluster[inside]
        panel.scatter(*at[part < 0].T, s=2, color="#bbbbbb", lw=0)
        panel.scatter(*at[part >= 0].T, s=5, c=_colors(part[part >= 0]), lw=0)
        panel.set_aspect("equal")
        panel.set_xticks([])
        panel.set_yticks([])
        panel.spines[:].set_visible(True)
        panel.spines[:].set_color("#cccccc")
        scores = cluster_scores(truth, cluster)
        panel.set_title(
            f"truth: {scores.n_true} clusters"
            if name == "truth"
            else f"{name}\n{scores.n_found} found, ARI {scores.ari:.2f}",
            fontsize=9,
        )
    save(figure, path)


def _colors(cluster: np.ndarray) -> np.ndarray:
    """Colors of clusters, (n, 4), unlike for numbers that are near."""
    from matplotlib import colormaps

    return colormaps["turbo"](0.05 + 0.9 * ((cluster * 0.6180339887) % 1.0))


def draw_times(times: pd.DataFrame, limit_s: float, path: Path) -> None:
    """Time, memory and Rand index against the number of localizations."""
    figure, (seconds, memory, ari) = panels(3, "One field, one core: time, memory and accuracy by its size", 3)
    done = times[times["status"] == "done"]
    for method in in_order(times["method"]):
        rows = done[done["method"] == method].sort_values("localizations")
        for panel, column in ((seconds, "seconds"), (memory, "peak_gib"), (ari, "ari")):
            panel.plot(rows["localizations"], rows[column], label=method, lw=1.5, ms=6, **look(method))
        over = times[(times["method"] == method) & times["status"].isin(["over the limit", "best so far"])]
        seconds.plot(over["localizations"], [limit_s] * len(over), ls="none", ms=9, mfc="none", **look(method))
        ari.plot(over["localizations"], over["ari"], ls="none", ms=9, mfc="none", **look(method))
    seconds.axhline(limit_s, color=GRAY, ls="--", lw=1)
    seconds.annotate("ended here (hollow)", (0.02, limit_s), xycoords=("axes fraction", "data"), fontsize=8,
                     xytext=(0, 3), textcoords="offset points", color=GRAY)  # fmt: skip
    for panel, title in (
        (seconds, "seconds"),
        (memory, "peak memory of the process (GiB)"),
        (ari, "adjusted Rand index"),
    ):
        panel.set_xscale("log")
        panel.set_xlabel("localizations")
        panel.set_ylabel(title)
        panel.grid(color="#dddddd", lw=0.6)
    seconds.set_yscale("log")
    memory.set_ylim(bottom=0)
    ari.set_ylim(min(0.5, times["ari"].min() - 0.05), 1.0)
    legend_below(figure, [seconds])
    save(figure, path)
