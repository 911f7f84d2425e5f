"""An image of a run as layers of napari: what each shows of a view, and in which colors. No window is needed."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from caml_dask.errors import UsageError
from caml_dask.io.exporters.channels import channels_of
from caml_dask.io.exporters.exporter import Exportable, Options
from caml_dask.io.exporters.ome_zarr import EXPORTER, Levels
from caml_dask.io.exporters.write import export
from caml_dask.io.run_directory import EXPORTS
from caml_dask.napari_plugin.clusters import Clusters, Mask
from caml_dask.napari_plugin.levels import Counted, Source, brightest, planes, stored
from caml_dask.napari_plugin.places import Floats, Ints, Places
from caml_dask.overview.raster import CLUSTERED_COLOR, FIBER_COLOR, NON_CLUSTERED_COLOR
from caml_dask.plotting.colors import GRAY, PALETTE, Classes, Values, color_of_cluster, coloring
from caml_dask.plotting.view import Bounds
from caml_dask.results.image import ImageResult

LayerData: TypeAlias = tuple[Any, dict[str, Any], str]
"""Data, settings and type of a layer."""

_NOWHERE: Bounds = (np.inf, np.inf, -np.inf, -np.inf)
MOST_POINTS = 20_000
MOST_OUTLINES = 1_500
SELECTION_FORMATS = ("clusters-csv", "geojson")
_DOT_NM = 15.0
_DOT_PX = (4.5, 12.0)
_OUTLINE_PX = 1.5
_DIM = 0.25  # opacity of what is not selected
_CLIP = (0.01, 0.99)  # quantiles that the colors of a number reach
_NM = {"units": ("nm", "nm"), "axis_labels": ("y", "x")}


@dataclass(frozen=True)
class Points:
    """The localizations of a view.

    Parameters
    ----------
    yx_nm : (n, 2) float64
        Where they are.
    features : pandas.DataFrame
        Of each its label and cluster_id, and the column of the points that it is colored by.
    colors : (n, 4) float64
        Red, green, blue and opacity.
    in_view : int
        How many there are; an estimate where these are not all.
    """

    yx_nm: Floats
    features: pd.DataFrame
    colors: Floats
    in_view: int


@dataclass(frozen=True)
class Outlines:
    """The outlines of a view.

    Parameters
    ----------
    rings : list of (k, 2) float64
        Their corners, y and x in nm.
    rows : (rings,) int64
        The cluster of each, by its row in the table.
    features : pandas.DataFrame
        The row of the table of clusters for each ring.
    colors : (rings, 4) float64
        Red, green, blue and opacity.
    shown, in_view : int
        How many clusters these are of, and how many outlines come into the view.
    """

    rings: list[Floats]
    rows: Ints
    features: pd.DataFrame
    colors: Floats
    shown: int
    in_view: int


class Scene:
    """An image of a run as it is looked at.

    Parameters
    ----------
    result : ImageResult
        The image. Its localizations are sorted by place to a folder for temporary files.

    Raises
    ------
    StoreError
        A file of the run is not as the run left it.
    DiskFullError
        The disk for temporary files has no room for them.
    """

    def __init__(self, result: ImageResult) -> None:
        self.image_id = result.image_id
        self.folder = folder_of(result)
        self.image: Exportable = result.exportable()
        with ThreadPoolExecutor(1) as beside:
            clusters = beside.submit(Clusters, self.image)
            self._sort(result)
            self.clusters = clusters.result()
        self.selected: Mask = np.zeros(len(self.clusters), bool)
        self.why = ""
        self.color = "label"

    def _sort(self, result: ImageResult) -> None:
        self.source: Source
        exported = stored(_pyramid(result), self.image)
        if exported is not None:
            self.levels, self.source = exported
            self.places = Places(self.image)
        else:
            self.levels = Levels.of(self.image, Options())
            counted = Counted(self.levels, len(channels_of(self.image.schema)))
            self.places = counted.places = Places(self.image, counted.add)
            self.source = counted

    @property
    def colors(self) -> list[str]:
        """What points and outlines can be colored by: the class, the cluster, and columns of numbers."""
        ours = [name for name in self.image.schema.names if name not in ("loc_id", "cluster_id", "label")]
        numerical = [n for n in ours if _is_number(self.image.schema.field(n).type)]
        return ["label", "cluster", *dict.fromkeys([*self.clusters.measures, *numerical])]

    def select(self, chosen: Mask, why: str) -> None:
        """Select clusters; without any, all are drawn alike.

        Parameters
        ----------
        chosen : (clusters,) bool
            Which.
        why : str
            How they were chosen, in words.
        """
        self.selected, self.why = chosen, why

    def pictures(self) -> list[LayerData]:
        """A layer for each channel."""
        side = self.levels.pixel_nm
        corner = [(first + 0.5) * side for first in (self.levels.row, self.levels.column)]
        found: list[LayerData] = []
        hues = (NON_CLUSTERED_COLOR, CLUSTERED_COLOR, FIBER_COLOR)
        for channel, (name, hue) in enumerate(zip(channels_of(self.image.schema), hues)):
            pyramid = planes(self.source, self.levels, channel)
            about = {
                "name": f"{self.image_id}: {name}",
                "multiscale": True,
                "scale": (side, side),
                "translate": corner,
                "contrast_limits": (0.0, brightest(pyramid[-1])),
                "colormap": {"colors": np.array([[0, 0, 0], hue / 255]), "name": f"caml_dask {name}"},
                "gamma": 0.5,  # finer pixels hold fewer localizations
                "blending": "additive",
                **self._known(),
            }
            found.append((pyramid, about, "image"))
        return found

    def layers(self, followed: bool = False) -> list[LayerData]:
        """The layers of the whole image: pictures, localizations, outlines.

        Parameters
        ----------
        followed : bool
            They will follow the view: localizations and outlines are left to who sees to that.
        """
        bounds = _NOWHERE if followed else self.image.bounds_nm
        points, outlines = self.points(bounds), self.outlines(bounds)
        of_points = {
            "name": f"{self.image_id}: localizations",
            "features": points.features,
            "face_color": points.colors if len(points.colors) else "white",  # napari takes no empty array of colors
            "border_width": 0,
            "border_color": "transparent",  # which small dots have even so
            "size": _DOT_NM,
            "canvas_size_limits": _DOT_PX,
            **self._known(),
        }
        of_outlines = {
            "name": f"{self.image_id}: outlines",
            "shape_type": "polygon",
            "features": outlines.features,
            "edge_color": outlines.colors if outlines.rings else "white",
            "face_color": np.zeros((len(outlines.rings), 4)) if outlines.rings else "transparent",
            "edge_width": self.edge_nm(self.image.bounds_nm),
            "opacity": 1.0,
            **self._known(),
        }
        return [
            *self.pictures(),
            (points.yx_nm, of_points, "points"),
            (outlines.rings, of_outlines, "shapes"),
        ]

    def _known(self) -> dict[str, Any]:
        about = {"image_id": self.image_id, "folder": self.folder, **self.image.provenance}
        return {**_NM, "metadata": {"caml_dask": about}}

    def edge_nm(self, bounds: Bounds, wide_px: float = 800.0) -> float:
        """Width of outlines that is the same in pixels whatever is seen.

        Parameters
        ----------
        bounds : tuple of float
            x0, y0, x1, y1 in nm of the view.
        wide_px : float
            Its width in pixels.
        """
        return max(1e-3, _OUTLINE_PX * (bounds[2] - bounds[0]) / wide_px)

    def points(self, bounds: Bounds) -> Points:
        """The localizations of a view, at most `MOST_POINTS`: of more, an even sample that depends on nothing but the
        view.

        Parameters
        ----------
        bounds : tuple of float
            x0, y0, x1, y1 in nm.
        """
        how, found = coloring(self.image, self.color), self.places.sample(bounds, MOST_POINTS)
        known = pa.RecordBatch.from_pydict({"label": found.label, "cluster_id": found.cluster_id})
        if read := [name for name in how.columns if name not in known.schema.names]:
            for name, column in zip(read, taken(self.image, found.rows, read).columns):
                known = known.append_column(name, column)
        if isinstance(how, Classes):
            colors = opaque(how.colors[how.of(known)])
        elif isinstance(how, Values):
            colors = self._shades(how.of(known))
        else:
            raise UsageError(
                f"localizations cannot be colored by {self.color!r}: choose one of {', '.join(self.colors)}"
            )
        return Points(found.xy_nm[:, ::-1], known.to_pandas(), colors, found.in_view)

    def outlines(self, bounds: Bounds) -> Outlines:
        """The outlines of a view, of at most `MOST_OUTLINES` clusters: of more, the selected, then the widest.

        Corners that lie within a third of the lines' width are left out: napari takes a millisecond for a few of them.

        Parameters
        ----------
        bounds : tuple of float
            x0, y0, x1, y1 in nm.
        """
        rows, in_view = self.clusters.in_view(bounds, MOST_OUTLINES, self.selected)
        rings, of = self.clusters.rings(rows, self.edge_nm(bounds) / 3)
        of_ring = rows[of]
        features = self.clusters.table.take(pa.array(of_ring)).to_pandas()
        return Outlines(
            [ring[:, ::-1] for ring in rings], of_ring, features, self.outline_colors()[of_ring], len(rows), in_view
        )

    def outline_colors(self) -> Floats:
        """(clusters, 4) float64, red, green, blue and opacity; where some are selected, others are faint."""
        if self.color in self.clusters.measures:
            colors = self._shades(self.clusters.values(self.color))
        elif self.color == "cluster":
            colors = opaque(PALETTE[color_of_cluster(self.clusters.ids)])
        else:
            colors = np.ones((len(self.clusters), 4))
        if self.selected.any():
            colors[~self.selected, 3] = _DIM
        return colors

    def _shades(self, values: Floats) -> Floats:
        """Colors of numbers; of a measure of clusters, they are the same for localizations and outlines in any view."""
        measured = self.color in self.clusters.measures
        return shades(values, self.clusters.values(self.color) if measured else values)

    def said(self, points: Points, outlines: Outlines) -> str:
        """What of a view is shown, in words."""
        n, whole = len(points.yx_nm), points.in_view
        drawn = f"all {n:,}" if n == whole else f"{n:,} of some {whole:,}, an even sample"
        first = "the selected, then the widest" if self.selected.any() else "the widest"
        outlined = f"all {outlines.shown:,}"
        if outlines.shown < outlines.in_view:
            outlined = f"{outlines.shown:,} of {outlines.in_view:,}, {first}"
        return f"localizations in view: {drawn}; outlines: {outlined}"

    def export_selection(self, folder: Path) -> list[Path]:
        """Write the selected clusters as CSV and GeoJSON.

        Parameters
        ----------
        folder : Path
            Where the files go; it is made.

        Returns
        -------
        list of Path
            The files.

        Raises
        ------
        OutputError
            A file is there already, and nothing is written; or the folder cannot be made.
        """
        chosen = self.clusters.exportable(self.image, self.selected, self.why)
        return export([chosen], SELECTION_FORMATS, folder, Options(), overwrite=False)


def folder_of(result: ImageResult) -> str:
    """The folder of an image, which tells it from images of the same image_id of other runs."""
    return str(result.directory.resolve())


def _pyramid(result: ImageResult) -> Path:
    return result.directory.parent / EXPORTS / f"{result.image_id}{EXPORTER.endings[0]}"


def taken(image: Exportable, rows: Ints, columns: Sequence[str]) -> pa.RecordBatch:
    """Some rows of the points.

    Parameters
    ----------
    image : Exportable
        The image; all batches of these columns are read.
    rows : (n,) int64
        The rows, ascending.
    columns : sequence of str
        Which columns.

    Returns
    -------
    pyarrow.RecordBatch
        (n,) rows.
    """
    found, start = [], 0
    for batch in image.points(columns):
        first, last = np.searchsorted(rows, (start, start + len(batch)))
        if first < last:
            found.append(batch.take(pa.array(rows[first:last] - start)))
        start += len(batch)
    schema = pa.schema([image.schema.field(name) for name in columns])
    whole = pa.Table.from_batches([b.cast(schema) for b in found], schema).combine_chunks().to_batches()
    return whole[0] if whole else pa.RecordBatch.from_pylist([], schema)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def opaque(rgb: npt.NDArray[np.float64]) -> Floats:
    """(n, 4) colors of (n, 3)."""
    return np.column_stack([rgb, np.ones(len(rgb))])


def shades(values: Floats, of: Floats) -> Floats:
    """(n, 4) colors of (n,) numbers: viridis without its darkest third, gray for NaN.

    The colors reach from the first to the last percentile of the numbers `of`, so that a few extremes do not take them
    all.
    """
    from napari.utils.colormaps import ensure_colormap

    known, among = np.isfinite(values), of[np.isfinite(of)]
    low, high = np.quantile(among, _CLIP) if len(among) else (0.0, 1.0)
    place = np.clip((np.where(known, values, low) - low) / (high - low if high > low else 1.0), 0, 1)
    colors = np.asarray(ensure_colormap("viridis").map(0.3 + 0.7 * place), dtype=np.float64)
    colors[~known] = [*GRAY, 1]
    return colors
