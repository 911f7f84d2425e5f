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
from numpy.typing import NDArray

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


def in_order(names: Iterable[str]) -> list[str]:
    """Networks, each once, in the order in which figures show them."""
    return sorted(set(names), key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))


def panels(n: int, title: str, columns: int = 2, size: tuple[float, float] = (4.6, 3.5)) -> tuple[Figure, list[Axes]]:
    """A figure with a title and n panels in rows."""
    from matplotlib.figure import Figure

    columns = min(columns, n)
    rows = math.ceil(n / columns)
    figure = Figure((size[0] * columns, size[1] * rows + 0.5), dpi=DPI, layout="constrained")
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
    figure.legend(
        named.values(),
        named.keys(),
        loc="outside lower center",
        ncols=len(named) if len(named) <= 5 else 4,
        frameon=False,
    )


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG of 256 colors, which takes a third of the room; equal figures are equal bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[:, :, :3]
    colors = Image.fromarray(np.ascontiguousarray(pixels)).quantize(256, dither=Image.Dither.NONE)
    colors.save(path, format="PNG", optimize=True)


def lines(panel: Axes, table: pd.DataFrame, x: str, y: str, scale: float = 1.0) -> None:
    """A line for each network, of a column against another."""
    for name in in_order(table["network"]):
        rows = table[table["network"] == name].dropna(subset=[x, y]).sort_values(x)
        panel.plot(rows[x], scale * rows[y], label=name, lw=1.6, ms=5, **look(name))
    panel.set_xlabel(AXIS_TITLES.get(x, x))
    if x in LOGARITHMIC:
        panel.set_xscale("log")
        ticks = sorted(table[x].dropna().unique())
        panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        panel.minorticks_off()
    panel.grid(axis="y", color="#dddddd", lw=0.6)


def common_limits(values: NDArray[np.float64], logarithmic: bool) -> tuple[float, float]:
    """Ends of an axis that holds all values, with some room; positive where it is logarithmic."""
    if logarithmic:
        values = values[values > 0]
    if values.size == 0:
        return 1.0, 10.0
    low, high = float(values.min()), float(values.max())
    if logarithmic:
        return low / 1.5, high * 1.5
    room = 0.06 * (high - low) or 1.0
    return low - room, high + room


def side_by_side(panel: Axes, values: pd.DataFrame, titles: Sequence[str], *, bars: bool) -> None:
    """Values of networks (columns) in groups (rows), those that a group has next to one another around its tick.

    Bars where the axis begins at 0, marks where it does not.
    """
    names = in_order(values)
    width = 0.8 / len(names)
    there = values[names].notna().to_numpy()
    place = np.arange(len(values))[:, None] + width * (there.cumsum(axis=1) - (there.sum(axis=1) + 1)[:, None] / 2)
    for i, name in enumerate(names):
        at, height = place[there[:, i], i], values.loc[there[:, i], name]
        if bars:
            panel.bar(at, height, width * 0.92, label=name, color=look(name)["color"])
        else:
            panel.plot(at, height, ls="none", ms=7, label=name, **look(name))
    panel.set_xticks(range(len(values)), titles)
    panel.tick_params(axis="x", rotation=30, length=0)
    for text in panel.get_xticklabels():
        text.set(ha="right", rotation_mode="anchor")
    for border in np.arange(len(values) - 1) + 0.5:
        panel.axvline(border, color="#eeeeee", lw=0.8, zorder=0)
    panel.set_xlim(-0.5, len(values) - 0.5)
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
    return value.replace("-", "-\n") if isinstance(value, str) else f"{value:g}"
