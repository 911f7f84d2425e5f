"""The overview as a figure of lines and text: the whole image, and the spots that overview.png magnifies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from caml_dask.atomic import publish
from caml_dask.errors import UsageError
from caml_dask.extras import require
from caml_dask.io.exporters.columns import numbers
from caml_dask.io.exporters.exporter import Exportable
from caml_dask.overview.marks import frame_of, places_of
from caml_dask.overview.raster import Bounds, Raster
from caml_dask.overview.spots import Found, MeanScores, spots_of
from caml_dask.plotting.draw import plot
from caml_dask.plotting.view import bounds_of, points_in
from caml_dask.schema import NO_CLUSTER

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ENDINGS = (".pdf", ".svg", ".png")

_INCHES = 12.0
_DPI = 200  # of what is a picture: dots, where they are many
_RASTER_PX = 800  # on which room for letters is looked for
_LETTER_PT = 11
_FIXED: dict[str, dict[str, str | None]] = {
    ".pdf": {"CreationDate": None},
    ".svg": {"Date": None},
    ".png": {},
}
"""What matplotlib would write of the time: equal results give equal files."""


def save_overview(image: Exportable, lines: Sequence[str], path: Path) -> Path:
    """Write the figure.

    Parameters
    ----------
    image : Exportable
        What it shows; its points are read once for each panel.
    lines : sequence of str
        What is said below it.
    path : Path
        The file: PDF, SVG or PNG by its ending.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    UsageError
        Matplotlib is missing, or another ending.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise UsageError(f"{path.name} ends in no kind of picture: use one of {', '.join(ENDINGS)}")
    require("plot", "the overview as a figure")
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    spots = _spots(image)
    x0, y0, x1, y1 = bounds_of(image, None)
    share = min(max((y1 - y0) / (x1 - x0), 0.5), 1.5)
    figure = Figure(figsize=(_INCHES, _INCHES / 2 * max(share, 0.9) + 1.0), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 4)
    whole = plot(image, ax=figure.add_subplot(grid[:, :2]))
    for k, (name, bounds) in enumerate(spots):
        axes = plot(image, bounds, figure.add_subplot(grid[k // 2, 2 + k % 2]))
        axes.set_title(f"{_letter(k)}  {name}", loc="left")
        if (legend := axes.get_legend()) is not None:
            legend.remove()
    _mark(whole, image, [bounds for _, bounds in spots])
    figure.suptitle(image.image_id, x=0.01, ha="left")
    figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=10)
    options: dict[str, Any] = {"format": ending[1:], "dpi": _DPI, "metadata": _FIXED[ending]}
    with mpl.rc_context({"svg.hashsalt": image.image_id, "svg.fonttype": "none", "pdf.fonttype": 42}):
        publish(path, lambda working: figure.savefig(working, **options))
    return path


def _letter(k: int) -> str:
    return chr(ord("A") + k)


def _mean_scores(image: Exportable, ids: np.ndarray) -> np.ndarray | None:
    """(c,) float64, mean score for clustered of the members of each cluster; None from a method."""
    name = next((name for name in image.schema.names if name in ("p_clustered", "p_non")), None)
    if name is None:
        return None
    scores = MeanScores(ids)
    for batch in image.points(["cluster_id", name]):
        of = batch.column("cluster_id")
        there = of.is_valid().to_numpy(zero_copy_only=False) & (numbers(of) != NO_CLUSTER)
        kept = batch.filter(there)
        scores.add(kept.column("cluster_id").to_numpy(), kept.column(name).to_numpy())
    return scores.means() if name == "p_clustered" else 1 - scores.means()


def _spots(image: Exportable) -> list[tuple[str, Bounds]]:
    """What overview.png magnifies."""
    clusters = image.clusters()
    means = _mean_scores(image, clusters["cluster_id"].to_numpy())

    def column(name: str) -> np.ndarray:
        return numbers(clusters[name].combine_chunks())

    area = "projected_area_nm2" if "projected_area_nm2" in clusters.column_names else "area_nm2"
    centroids = np.column_stack([column("centroid_x_nm"), column("centroid_y_nm")])
    found = Found(centroids, column("n_localizations"), column(area), column("radius_of_gyration_nm"), means)
    return spots_of(found, image.bounds_nm)


def _mark(axes: Axes, image: Exportable, spots: Sequence[Bounds]) -> None:
    """Frame spots, with letters that lie on no cluster."""
    from matplotlib.patches import Rectangle

    whole = Raster(image.bounds_nm, _RASTER_PX)
    for xy_nm, rows in points_in(image, bounds_of(image, None), ()):
        whole.add(xy_nm[:, 0], xy_nm[:, 1], rows.column("cluster_id").to_numpy() != NO_CLUSTER)
    frames = [frame_of(whole, bounds) for bounds in spots]
    letter_px = round(_LETTER_PT / 72 / (_INCHES / 2) * _RASTER_PX)
    corner = np.array([whole.x0_nm, whole.y0_nm] * 2)
    for k, (box, at) in enumerate(zip(frames, places_of(whole, frames, letter_px), strict=True)):
        left, top, right, bottom = (np.array(box) * whole.pixel_nm + corner).tolist()
        rim = Rectangle((left, top), right - left, bottom - top, edgecolor="white", facecolor="none", zorder=3)
        axes.add_patch(rim)
        if at is None:
            continue
        x, y = ((np.array(at[:2]) + at[2:]) / 2 * whole.pixel_nm + corner[:2]).tolist()
        near = (min(max(x, left), right), min(max(y, top), bottom))
        line = {"arrowstyle": "-", "color": "white", "linewidth": 0.7, "shrinkA": 5, "shrinkB": 0}
        far = np.hypot(x - near[0], y - near[1]) > 1.5 * letter_px * whole.pixel_nm
        axes.annotate(
            _letter(k),
            near,
            (x, y),
            color="white",
            fontsize=_LETTER_PT,
            ha="center",
            va="center",
            zorder=3,
            arrowprops=line if far else None,
        )
