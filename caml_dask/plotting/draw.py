"""An image drawn on matplotlib axes: localizations, outlines, a scale bar and what the colors mean."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import shapely

from caml_dask.extras import require
from caml_dask.io.exporters.exporter import Exportable
from caml_dask.overview.panel import MOST_OUTLINES, OUTLINE_COLOR
from caml_dask.overview.scale import round_length
from caml_dask.plotting.colors import (
    GRAY,
    PALETTE,
    PAPER,
    Classes,
    Coloring,
    Density,
    Values,
    color_of_cluster,
    coloring,
)
from caml_dask.plotting.pixels import Averaged, Counted, Grid
from caml_dask.plotting.view import Bounds, Region, bounds_of, outlines_in, points_in, rings_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_DOTS = 50_000
"""Localizations drawn as dots each; more of them are counted on pixels."""
_PIXELS = 300, 1400  # along the longer side of a picture
_DOT_PT = 0.5, 5.0  # diameter
_VECTORS = 5_000  # dots that are kept as such in PDF and SVG; more of them become a picture there
_NARROWEST_PT = 6.0  # of the median cluster that is outlined
_INCHES = 6.0
_SCALE = 0.2  # of the width, at most
_CLIP = 0.01, 0.99  # quantiles that the colors of a number reach
_DENSEST = 0.999


def plot(
    image: Exportable,
    region: Region | None = None,
    ax: Axes | None = None,
    color: str = "label",
    outlines: bool | None = None,
) -> Axes:
    """Draw an image, or a region of it; y points down, as programs for single-molecule localization show it.

    Parameters
    ----------
    image : Exportable
        What to draw; its points are read once, batch by batch.
    region : sequence of float, int or None
        x0, y0, x1, y1 in nm; or the cluster_id of a cluster, to see it and its surroundings. None is the whole image.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    color : str
        "label", "cluster", "density", or the name of a column of numbers: of the points, or of the clusters.
    outlines : bool, optional
        Whether the clusters' outlines are drawn; by default where they are wide enough to be seen.

    Returns
    -------
    matplotlib.axes.Axes
        The axes, in nm.

    Raises
    ------
    UsageError
        Matplotlib is missing, a region that spans no area or names no cluster, or no such column of numbers.
    """
    require("plot", "plot()")
    bounds, how = bounds_of(image, region), coloring(image, color)
    axes = _new_axes(bounds) if ax is None else ax
    x0, y0, x1, y1 = bounds
    axes.set(xlim=(x0, x1), ylim=(y1, y0), xticks=[], yticks=[], facecolor=PAPER, aspect="equal")
    _draw_points(axes, image, bounds, how)
    _draw_outlines(axes, image, bounds, color, outlines)
    _scale_bar(axes, x1 - x0)
    return axes


def _new_axes(bounds: Bounds) -> Axes:
    from matplotlib import pyplot as plt

    x0, y0, x1, y1 = bounds
    share = min(max((y1 - y0) / (x1 - x0), 0.25), 2.0)
    return plt.subplots(figsize=(_INCHES, _INCHES * share + 0.6), layout="constrained")[1]


def _points_wide(axes: Axes) -> float:
    """Width of the axes on paper, in points."""
    return float(axes.get_window_extent().width * 72 / axes.figure.dpi)


def _draw_points(axes: Axes, image: Exportable, bounds: Bounds, how: Coloring) -> None:
    """Localizations as dots where there are few in the rectangle, otherwise as a picture of them."""
    dots: list[tuple[npt.NDArray[np.float64], Any]] = []
    picture: Counted | Averaged | None = _picture(axes, bounds, how) if isinstance(how, Density) else None
    n = 0
    for xy_nm, rows in points_in(image, bounds, how.columns):
        found = np.zeros(len(xy_nm), np.int64) if isinstance(how, Density) else how.of(rows)
        dots.append((xy_nm, found))
        n += len(xy_nm)
        if picture is None and n > MOST_DOTS:
            picture = _picture(axes, bounds, how)
        if picture is not None:
            for some in dots:
                picture.add(*some)
            dots.clear()
    if isinstance(picture, Averaged) and isinstance(how, Values):
        _show_means(axes, picture, how.title)
    elif isinstance(picture, Counted):
        _show_counts(axes, picture, how)
    elif dots:
        _show_dots(axes, np.concatenate([xy for xy, _ in dots]), np.concatenate([found for _, found in dots]), how)
    if isinstance(how, Classes):
        _legend(axes, how)


def _picture(axes: Axes, bounds: Bounds, how: Coloring) -> Counted | Averaged:
    wide = axes.get_window_extent()
    grid = Grid(bounds, int(np.clip(round(max(wide.width, wide.height)), *_PIXELS)))
    if isinstance(how, Values):
        return Averaged(grid)
    return Counted(grid, len(how.colors) if isinstance(how, Classes) else 1)


def _show(axes: Axes, grid: Grid, pixels: Any, **options: Any) -> Any:
    """The pixels in their place, what was shown of the axes kept."""
    limits = axes.get_xlim(), axes.get_ylim()
    shown = axes.imshow(pixels, extent=grid.extent_nm, interpolation="nearest", zorder=1, **options)
    axes.set(xlim=limits[0], ylim=limits[1])
    return shown


def _show_counts(axes: Axes, picture: Counted, how: Coloring) -> None:
    from matplotlib.colors import PowerNorm

    if isinstance(how, Classes):
        _show(axes, picture.grid, picture.painted(how.colors))
        return
    density = picture.density_per_um2()
    top = float(np.quantile(density[density > 0], _DENSEST)) if density.any() else 1.0
    shown = _show(axes, picture.grid, density, cmap="inferno", norm=PowerNorm(0.5, 0, top))
    _color_bar(axes, shown, "localizations per µm²", "max")


def _show_means(axes: Axes, picture: Averaged, title: str) -> None:
    from matplotlib.cm import ScalarMappable

    means = picture.means()
    mapping = ScalarMappable(_norm(means[~np.isnan(means)]), _colors_of_numbers())
    _show(axes, picture.grid, picture.painted(lambda values: np.asarray(mapping.to_rgba(values)), GRAY))
    _color_bar(axes, mapping, title, "both")


def _show_dots(axes: Axes, xy_nm: npt.NDArray[np.float64], found: npt.NDArray[Any], how: Coloring) -> None:
    """Dots whose area on paper is a tenth of the room that each has."""
    wide = _points_wide(axes)
    size = float(np.clip(wide * math.sqrt(0.1 / len(xy_nm)), *_DOT_PT)) ** 2
    options: dict[str, Any] = {"s": size, "linewidths": 0, "zorder": 1, "rasterized": len(xy_nm) > _VECTORS}
    x, y = xy_nm.T
    if isinstance(how, Classes):
        over = np.argsort(found > 0, kind="stable")
        axes.scatter(x[over], y[over], c=how.colors[found[over]], **options)
        return
    known = ~np.isnan(found)
    axes.scatter(x[~known], y[~known], color=GRAY, **options)
    mapping = {"cmap": _colors_of_numbers(), "norm": _norm(found[known])}
    shown = axes.scatter(x[known], y[known], c=found[known], **mapping, **options)
    _color_bar(axes, shown, how.title if isinstance(how, Values) else "", "both")


def _norm(values: npt.NDArray[np.float64]) -> Any:
    from matplotlib.colors import Normalize

    finite = values[np.isfinite(values)]
    low, high = np.quantile(finite, _CLIP) if len(finite) else (0.0, 1.0)
    return Normalize(low, high if high > low else low + 1)


def _colors_of_numbers() -> Any:
    """Viridis without its darkest third, which the dark ground would hide."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    return ListedColormap(colormaps["viridis"](np.linspace(0.3, 1, 256)))


def _color_bar(axes: Axes, shown: Any, title: str, extend: str) -> None:
    beside = axes.inset_axes((1.02, 0, 0.04, 1))  # as high as the axes, whatever their aspect
    axes.figure.colorbar(shown, cax=beside, label=title, extend=extend)


def _legend(axes: Axes, how: Classes) -> None:
    """Names of the classes under the axes, where they lie on no cluster."""
    if not how.names:
        return
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], linestyle="", marker="o", color=color, label=name)
        for color, name in zip(how.colors, how.names, strict=True)
    ]
    axes.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0, 0),
        borderaxespad=0.4,
        borderpad=0,
        ncols=len(handles),
        frameon=False,
        handletextpad=0.1,
        columnspacing=1.0,
    )


def _draw_outlines(axes: Axes, image: Exportable, bounds: Bounds, color: str, wanted: bool | None) -> None:
    if wanted is False:
        return
    ids, shapes = outlines_in(image, bounds)
    if not len(shapes) or (wanted is None and not _seen(axes, shapes, bounds)):
        return
    from matplotlib.collections import LineCollection

    lines, of = rings_of(shapes)
    colors = PALETTE[color_of_cluster(ids[of])] if color == "cluster" else np.array(OUTLINE_COLOR) / 255
    axes.add_collection(LineCollection(lines, colors=colors, linewidths=0.7, zorder=2), autolim=False)


def _seen(axes: Axes, shapes: npt.NDArray[np.object_], bounds: Bounds) -> bool:
    """Whether outlines are few, and the median one wide enough on paper to be more than a line.

    The width of an outline is four times its area over its length: the diameter of a disc, the width of a strip.
    """
    if len(shapes) > MOST_OUTLINES:
        return False
    per_nm = _points_wide(axes) / (bounds[2] - bounds[0])
    length = np.maximum(shapely.length(shapes), np.finfo(float).tiny)
    return bool(np.median(4 * shapely.area(shapes) / length) * per_nm >= _NARROWEST_PT)


def _scale_bar(axes: Axes, width_nm: float) -> None:
    """A bar of a round length under the axes, at the right."""
    from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

    length, words = round_length(_SCALE * width_nm)
    bar = AnchoredSizeBar(
        axes.transData,
        length,
        words.replace("um", "µm"),
        loc="upper right",
        bbox_to_anchor=(1, 0),
        bbox_transform=axes.transAxes,
        frameon=False,
        borderpad=0.4,
        pad=0,
        sep=2,
        size_vertical=0.006 * width_nm,
        label_top=False,
    )
    axes.add_artist(bar)
