"""The figures of an evaluation, from its tables; what a table does not hold is not drawn."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from caml_dask.evaluation.charts import (
    GRAY,
    in_order,
    legend_below,
    lines,
    look,
    panels,
    save,
    side_by_side,
    table_of_squares,
)
from caml_dask.evaluation.cluster_figures import draw_found_against_true, draw_fragments
from caml_dask.evaluation.summaries import AXES

PUBLISHED_BY_DENSITY = {10.0: 84.5, 50.0: 89.2}
"""Percent right at localizations per um2, of the networks with 100 neighbors (Williamson et al. 2020)."""
FAMILIES = {
    "densities": ("accuracy_in_the_plane", "Labels right in simulated cells, clusters and background mixed"),
    "slabs": ("accuracy_in_3d", "Labels right in simulated slabs, in 3D"),
    "fibers": ("accuracy_with_fibers", "Labels right in simulated cells with round clusters and fibers"),
}
"""Grids whose accuracy is drawn by density, points per cluster, radius and percent clustered."""

Tables: TypeAlias = Mapping[str, pd.DataFrame]


def draw_figures(clusters: pd.DataFrame, tables: Tables, folder: Path) -> None:
    """Draw what records of clusters and tables hold into a new folder, as PNG files."""
    folder.mkdir()
    for grid, (name, title) in FAMILIES.items():
        _accuracy(tables, grid, title, folder / f"{name}.png")
    for draw, name in (
        (_accuracy_by_grid, "accuracy_by_grid"),
        (_heat_maps, "accuracy_by_radius_and_percent_clustered"),
        (_calibration, "calibration"),
        (_csr, "called_clustered_in_csr"),
        (_confusion, "confusion"),
        (draw_fragments, "fragments_of_large_clusters"),
        (_labelled, "labelled_tables"),
    ):
        draw(tables, folder / f"{name}.png")
    for flat, name in ((True, "found_against_true"), (False, "found_against_true_in_3d")):
        draw_found_against_true(clusters[clusters["z_max_nm"].isna() == flat], flat, folder / f"{name}.png")


def _accuracy(tables: Tables, grid: str, title: str, path: Path) -> None:
    found = {by: _of(tables, f"accuracy_by_{by}", grid) for by in AXES}
    if any(table.empty for table in found.values()):
        return
    figure, axes = panels(4, f"{title}\n(balanced accuracy, mean over fields)")
    for panel, (by, column) in zip(axes, AXES.items(), strict=True):
        lines(panel, found[by], column, "balanced_accuracy", 100.0)
        panel.set_ylabel("balanced accuracy (%)")
    lowest = min(100 * table["balanced_accuracy"].min() for table in found.values())
    if grid == "densities":
        axes[0].plot(
            list(PUBLISHED_BY_DENSITY),
            list(PUBLISHED_BY_DENSITY.values()),
            ls="none",
            marker="*",
            ms=13,
            color="black",
            label="published, 100 neighbors",
        )
        lowest = min(lowest, *PUBLISHED_BY_DENSITY.values())
    for panel in axes:
        panel.set_ylim(5 * np.floor((lowest - 1) / 5), 100.5)
    legend_below(figure, axes)
    save(figure, path)


GRID_TITLES = {
    "densities": "all densities",
    "evaluation": "discs, 20 points",
    "gaussian": "Gaussian",
    "lines": "lines",
    "rings": "rings",
    "large": "100-200 points",
    "slabs": "3D",
    "novel-slabs": "3D, novel",
    "fibers": "fibers",
    "novel-fibers": "fibers, novel",
}


def _accuracy_by_grid(tables: Tables, path: Path) -> None:
    table = tables.get("accuracy_by_grid", pd.DataFrame())
    if table.empty:
        return
    grids = [grid for grid in GRID_TITLES if grid in set(table["grid"])]
    figure, (panel,) = panels(1, "Labels right by kind of simulated cell", size=(8.5, 3.8))
    values = table.pivot(index="grid", columns="network", values="balanced_accuracy").reindex(grids)
    side_by_side(panel, 100 * values, [GRID_TITLES[grid] for grid in grids], bars=False)
    panel.set_ylabel("balanced accuracy,\nmean over fields (%)")
    lowest = 100 * np.nanmin(values.to_numpy())
    panel.set_ylim(5 * np.floor((lowest - 1) / 5), 100.5)
    legend_below(figure, [panel])
    save(figure, path)


def _heat_maps(tables: Tables, path: Path) -> None:
    table = tables.get("accuracy_by_radius_and_percent_clustered", pd.DataFrame())
    if table.empty:
        return
    names = in_order(table["network"])
    title = "Balanced accuracy (%) with clusters of 20 localizations at 100 per µm²"
    figure, axes = panels(len(names), title, columns=3, size=(4.6, 3.9))
    lowest = 100 * float(table["balanced_accuracy"].min())
    for panel, name in zip(axes, names, strict=True):
        values = table[table["network"] == name].pivot(
            index="r_max_nm", columns="percent_clustered", values="balanced_accuracy"
        )
        image = table_of_squares(panel, 100 * values, (min(lowest, 95.0), 100.0), "viridis", lambda v: f"{v:.0f}")
        panel.set_title(name, fontsize=10)
        panel.set_xlabel("localizations in clusters (%)")
        panel.set_ylabel("cluster radius (nm)")
    figure.colorbar(image, ax=axes, label="balanced accuracy (%)", shrink=0.8)
    save(figure, path)


def _calibration(tables: Tables, path: Path) -> None:
    table = pd.concat([_of(tables, "calibration", grid) for grid in FAMILIES])
    if table.empty:
        return
    title = "Is a score a probability? Localizations by the score they were given"
    figure, (panel, counts) = panels(2, title)
    panel.plot([0, 1], [0, 100], color=GRAY, ls="--", lw=1, label="score = share clustered")
    for name in in_order(table["network"]):
        rows = table[table["network"] == name]
        known = rows[rows["localizations"] > 0]
        panel.plot(known["mean_score"], known["percent_clustered"], label=name, lw=1.6, ms=5, **look(name))
        share = 100 * rows["localizations"] / rows["localizations"].sum()
        counts.plot((rows["score_from"] + rows["score_to"]) / 2, share, label=name, lw=1.6, ms=5, **look(name))
    panel.set_xlabel("mean score of clustered")
    panel.set_ylabel("truly clustered (%)")
    counts.set_xlabel("score of clustered, in tenths")
    counts.set_ylabel("localizations (%)")
    counts.set_ylim(bottom=0)
    legend_below(figure, [panel])
    save(figure, path)


def _csr(tables: Tables, path: Path) -> None:
    table = tables.get("csr", pd.DataFrame())
    if table.empty:
        return
    figure, (panel,) = panels(1, "Called clustered where nothing is clustered (CSR)", size=(6.2, 3.8))
    lines(panel, table, "density_per_um2", "percent_called_clustered")
    panel.set_ylabel("localizations called clustered (%)")
    panel.set_ylim(bottom=0)
    legend_below(figure, [panel])
    save(figure, path)


def _confusion(tables: Tables, path: Path) -> None:
    table = pd.concat([_of(tables, "confusion", grid) for grid in FAMILIES])
    if table.empty:
        return
    grid_of = dict(zip(table["network"], table["grid"]))
    kinds = [(name, grid_of[name]) for name in in_order(grid_of)]
    title = "What the localizations of each true class are called (% of the true class)"
    figure, axes = panels(len(kinds), title, columns=3, size=(3.6, 3.1))
    for panel, (name, grid) in zip(axes, kinds, strict=True):
        rows = table[(table["network"] == name) & (table["grid"] == grid)]
        classes = list(dict.fromkeys(rows["true_class"]))
        values = rows.pivot(index="true_class", columns="called_class", values="percent_of_true_class")
        values = values.loc[classes[::-1], classes]
        table_of_squares(panel, values, (0.0, 100.0), "Blues", lambda v: f"{v:.1f}")
        panel.set_title(f"{name}, {GRID_TITLES[grid]}", fontsize=10)
        panel.set_xlabel("called")
        panel.set_ylabel("true class")
    save(figure, path)


def _labelled(tables: Tables, path: Path) -> None:
    table = tables.get("labelled_by_folder", pd.DataFrame())
    if table.empty:
        return
    folders = sorted(table["folder"].unique())
    title = "Tables that others simulated and labelled, mean over the tables of a folder"
    figure, axes = panels(2, title, columns=1, size=(max(6.0, 2.0 + 0.55 * len(folders)), 3.0))
    for panel, column, label in zip(
        axes, ("balanced_accuracy", "ari"), ("balanced accuracy\nof labels (%)", "adjusted Rand index\nof clusters")
    ):
        values = table.pivot(index="folder", columns="network", values=column).reindex(folders)
        scale = 100 if column == "balanced_accuracy" else 1
        side_by_side(panel, scale * values, folders, bars=True)
        panel.set_ylabel(label)
        panel.set_ylim(min(0.0, float(np.nanmin(values.to_numpy()))), scale)
    axes[0].set_xticklabels([])
    legend_below(figure, axes[:1])
    save(figure, path)


def _of(tables: Tables, name: str, grid: str) -> pd.DataFrame:
    """The rows of a table that are of a grid."""
    table = tables.get(name, pd.DataFrame(columns=["grid"]))
    return table[table["grid"] == grid]
