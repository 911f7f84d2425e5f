"""Pieces of figures: colors and marks of the networks, panels with titles and units, files of a bounded size.

Matplotlib is imported when something is drawn, with its Agg backend: no window, no display.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKS = ("o", "s", "^", "D", "v", "P", "X")
_ORDER = ("XPILJZ", "07VEJJ", "87B144", "GAXJPR", "3TXKFS")
GRAY = "#666666"
DPI = 110
AXIS_TITLES = {
    "density_per_um2": "localizations per µm²",
    "points_per_cluster": "localizations per cluster",
    "r_max_nm": "cluster radius (nm)",
    "percent_clustered": "localizations in clusters (%)",
}
LOGARITHMIC = ("density_per_um2",)


def look(name: str) -> dict[str, Any]:
    """Color and mark of a network: the same in every figure, and told apart by the color-blind."""
    at = _ORDER.index(name) if name in _ORDER else len(_ORDER)
    return {"color": _OKABE_ITO[at], "marker": _MARKS[at]}


def panels(n: int, title: str, columns: int = 2, size: tuple[float, float] = (4.6, 3.5)) -> tuple[Figure, list[Axes]]:
    """A figure with a title and n panels in rows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(columns, n)
    rows = math.ceil(n / columns)
    figure = Figure((size[0] * columns, size[1] * rows + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(rows, columns, i + 1) for i in range(n)]
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=12)
    return figure, axes


def legend_below(figure: Figure, axes: Sequence[Axes]) -> None:
    """One legend for all panels, under them, each name once."""
    named: dict[str, Any] = {}
    for panel in axes:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=min(len(named), 4), frameon=False)


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG; equal figures are equal bytes."""
    figure.savefig(path, dpi=DPI, metadata={"Software": None})


def lines(panel: Axes, table: pd.DataFrame, x: str, y: str, scale: float = 1.0) -> None:
    """A line for each network, of a column against another."""
    for name, rows in table.groupby("network", sort=True):
        rows = rows.dropna(subset=[x, y]).sort_values(x)
        panel.plot(rows[x], scale * rows[y], label=name, lw=1.6, ms=5, **look(str(name)))
    panel.set_xlabel(AXIS_TITLES.get(x, x))
    if x in LOGARITHMIC:
        panel.set_xscale("log")
        ticks = sorted(table[x].dropna().unique())
        panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        panel.minorticks_off()
    panel.grid(axis="y", color="#dddddd", lw=0.6)


def bars(
    panel: Axes, groups: Sequence[str], heights: Iterable[tuple[str, Sequence[float]]], label_turn: float = 0.0
) -> None:
    """Bars side by side: for each group one of each network, and a dash where it has none."""
    sets = list(heights)
    width = 0.8 / max(len(sets), 1)
    for i, (name, values) in enumerate(sets):
        at = np.arange(len(groups)) + (i - (len(sets) - 1) / 2) * width
        panel.bar(at, values, width * 0.92, label=name, color=look(name)["color"])
    turned = {"rotation": label_turn, "ha": "right", "rotation_mode": "anchor"} if label_turn else {}
    panel.set_xticks(range(len(groups)), groups, **turned)
    panel.grid(axis="y", color="#dddddd", lw=0.6)
    panel.set_axisbelow(True)


def table_of_squares(
    panel: Axes,
    values: pd.DataFrame,
    limits: tuple[float, float],
    colors: str,
    write: Callable[[float], str],
) -> Any:
    """A matrix as colored squares with their numbers; returns what a color bar needs."""
    image = panel.imshow(values.to_numpy(), vmin=limits[0], vmax=limits[1], cmap=colors, origin="lower", aspect="auto")
    panel.set_xticks(range(values.shape[1]), [_tick(c) for c in values.columns])
    panel.set_yticks(range(values.shape[0]), [_tick(r) for r in values.index])
    for (row, column), value in np.ndenumerate(values.to_numpy()):
        if not math.isnan(value):
            red, green, blue, _ = image.cmap(image.norm(value))
            dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
            panel.text(
                column, row, write(value), ha="center", va="center", fontsize=7, color="white" if dark else "black"
            )
    return image


def _tick(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}"
