"""The picture of a description: three functions of each region, over those of random fields."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from caml_dask.evaluation.charts import GRAY, panels, save
from caml_dask.extras import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 6
"""Regions that a picture shows, the first ones of the table."""
_LINE, _BAND, _GLOBAL = "#0072B2", "#b9bec7", "#e4e7ec"
_HIGHEST_CORRELATION = 0.02  # share of the rings whose pair correlation may lie above the panel


def draw_description(curves: pd.DataFrame, title: str, path: Path) -> None:
    """Write the functions of regions as PNG: a row for each of the first `SHOWN` regions.

    Parameters
    ----------
    curves : pandas.DataFrame
        Columns as of ``describing.tables.DESCRIPTION``.
    title : str
        What stands above.
    path : Path
        File to write; it may have any name.

    Raises
    ------
    UsageError
        Matplotlib is not installed.
    """
    require("plot", "a picture")
    regions = [table for _, table in curves.groupby("region_id")][:SHOWN]
    figure, axes = panels(3 * len(regions), title, columns=3, size=(4.2, 3.2))
    for number, table in enumerate(regions):
        of_l, of_g, of_nearest = axes[3 * number : 3 * number + 3]
        _draw(of_l, table, "l_minus_r{}_nm", 0.0)
        _draw(of_g, table, "pair_correlation{}", 1.0)
        _draw(of_nearest, table, "nearest_neighbor_share{}", table["nearest_neighbor_share_random"])
        of_l.set_ylabel("L(r) - r (nm)")
        of_l.set_title(table["region"].iloc[0], loc="left", fontsize=10)
        of_g.set_ylabel("pair correlation g(r)")
        highest = float(np.quantile(table["pair_correlation"], 1 - _HIGHEST_CORRELATION))
        of_g.set_ylim(0, 1.15 * max(highest, 1.5))
        of_nearest.set_ylabel("share with a neighbor within r")
        of_nearest.set_xlim(0, _where_all_have_one(table))
    axes[2].legend(frameon=False, fontsize=8, loc="lower right")
    save(figure, path)


def _draw(panel: Axes, table: pd.DataFrame, name: str, random: float | pd.Series) -> None:
    """A function, what randomness gives, and the envelopes where there are any."""
    r = table["r_nm"]
    ends = name.format("_global_low"), name.format("_global_high")
    if ends[0] in table and table[ends[0]].notna().any():
        panel.fill_between(r, table[ends[0]], table[ends[1]], color=_GLOBAL, lw=0, label="95 % of random fields")
    if table[name.format("_low")].notna().any():
        low, high = table[name.format("_low")], table[name.format("_high")]
        panel.fill_between(r, low, high, color=_BAND, lw=0, label="95 % at each distance")
    panel.plot(r, np.broadcast_to(random, len(r)), color=GRAY, lw=1, ls="--", label="randomness")
    panel.plot(r, table[name.format("")], color=_LINE, lw=1.6, label="localizations")
    panel.set_xlabel("r (nm)")
    panel.set_xlim(0, float(r.iloc[-1]))


def _where_all_have_one(table: pd.DataFrame) -> float:
    """The distance at which nearly all have a neighbor, by the data and by randomness."""
    both = np.minimum(table["nearest_neighbor_share"], table["nearest_neighbor_share_random"])
    at = min(int(np.searchsorted(both, 0.999)), len(table) - 1)
    return float(table["r_nm"].iloc[at])
