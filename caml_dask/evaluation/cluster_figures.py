"""Figures of what whole analyses find: properties against their truth, and fragments of large clusters."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from caml_dask.evaluation.charts import GRAY, common_limits, in_order, legend_below, look, panels, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_KINDS = {"clustered": "", "round": ", round", "fiber": ", fibers"}
_SHIFT_POINTS = 5.0


def draw_found_against_true(records: pd.DataFrame, flat: bool, path: Path) -> None:
    """A mark for each analysed field, of what was found against what is there.

    Parameters
    ----------
    records : of clusters, in the plane where `flat`, in space otherwise.
    """
    if records.empty:
        return
    size = ("median_area_nm2", "median area of clusters (nm²)")
    if not flat:
        size = ("median_volume_nm3", "median volume of clusters (nm³)")
    shown = (
        ("clusters_per_um2", "clusters per µm²", False),
        ("median_points_per_cluster", "median localizations per cluster", True),
        (*size, True),
        ("percent_clustered", "localizations in clusters (%)", False),
    )
    where = "small simulated cells" if flat else "simulated slabs, in 3D"
    figure, axes = panels(4, f"What a whole analysis finds in {where}, against the truth", size=(4.6, 3.8))
    for panel, (column, title, logarithmic) in zip(axes, shown, strict=True):
        known = records.dropna(subset=[f"true_{column}", f"found_{column}"])
        pairs = known[[f"true_{column}", f"found_{column}"]].to_numpy()
        if logarithmic:
            panel.set_xscale("log")
            panel.set_yscale("log")
            # Labels of minor ticks run into one another where an axis spans little more than a decade.
            panel.tick_params(axis="x", which="minor", labelbottom=False)
            panel.tick_params(axis="y", which="minor", labelleft=False)
        ends = common_limits(pairs, logarithmic)
        panel.plot(ends, ends, color=GRAY, ls="--", lw=1, label="found = true", zorder=0)
        panel.set(xlim=ends, ylim=ends, xlabel="true (networks set side by side)", ylabel="found")
        panel.set_title(title, fontsize=10)
        _marks(panel, known, column, in_order(records["network"]))
    legend_below(figure, axes)
    save(figure, path)


def _marks(panel: Axes, records: pd.DataFrame, column: str, names: Iterable[str]) -> None:
    """Marks of all networks, side by side where the truth is the same; filled for large clusters."""
    from matplotlib.transforms import ScaledTranslation

    names = list(names)
    for name, kind, large in itertools.product(names, _KINDS, (False, True)):
        of_kind = (records["network"] == name) & (records["class"] == kind)
        rows = records[of_kind & ((records["grid"] == "large") == large)]
        if rows.empty:
            continue
        color = look(name)["color"]
        points = _SHIFT_POINTS * (names.index(name) - (len(names) - 1) / 2)
        panel.scatter(
            rows[f"true_{column}"],
            rows[f"found_{column}"],
            s=26,
            marker="*" if kind == "fiber" else look(name)["marker"],
            facecolors=color if large else "none",
            edgecolors=color,
            linewidths=1.1,
            transform=panel.transData + ScaledTranslation(points / 72, 0, panel.figure.dpi_scale_trans),
            label=f"{name}{_KINDS[kind]}{', clusters of 100-200' if large else ''}",
        )


def draw_fragments(tables: Mapping[str, pd.DataFrame], path: Path) -> None:
    """Stacked bars: true clusters of the `large` grid by how many fragments they were found in."""
    table = tables.get("fragments", pd.DataFrame())
    if table.empty:
        return
    names, points = in_order(table["network"]), sorted(table["points_per_cluster"].unique())
    title = (
        "In how many fragments large clusters are found\n"
        "(a found cluster that holds 10 % or more of a true one's members is one)"
    )
    figure, axes = panels(len(names), title, columns=3, size=(3.9, 3.3))
    shades = (("none", "#D55E00"), ("1", "#0072B2"), ("2", "#56B4E9"), ("3 or more", "#CCCCCC"))
    for panel, name in zip(axes, names, strict=True):
        rows = table[table["network"] == name].groupby("points_per_cluster").mean(numeric_only=True).loc[points]
        base = np.zeros(len(points))
        for (label, color), column in zip(shades, [c for c in rows if c.startswith("percent_in_")], strict=True):
            panel.bar([f"{p:g}" for p in points], rows[column], 0.7, bottom=base, label=label, color=color)
            base += rows[column].to_numpy()
        panel.set_title(name, fontsize=10)
        panel.set_xlabel("localizations per cluster")
        panel.set_ylabel("true clusters (%)")
        panel.set_ylim(0, 100)
    legend_below(figure, axes)
    save(figure, path)
