"""What the results of an image can do wherever they are, in memory or in a run: be drawn, printed, handed on."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import shapely

from caml_dask.errors import UsageError
from caml_dask.extras import require
from caml_dask.io.exporters.exporter import Exportable
from caml_dask.plotting.draw import plot
from caml_dask.plotting.overview import save_overview
from caml_dask.plotting.view import Region
from caml_dask.results.html import page_of
from caml_dask.results.words import Summary, figures_in_words, finder_of

if TYPE_CHECKING:
    import pandas as pd
    from geopandas import GeoDataFrame
    from matplotlib.axes import Axes

TABLES = ("points", "clusters", "outlines")
THUMBNAIL_PX = 320
"""Width of a thumbnail."""


class Shown(ABC):
    """Results of one image that can be drawn and handed to other libraries."""

    summary: Summary
    clusters: pd.DataFrame
    outlines: pd.Series

    @abstractmethod
    def exportable(self) -> Exportable:
        """The results as exporters and pictures take them."""

    @property
    @abstractmethod
    def thumbnail(self) -> str | None:
        """A small picture as a data URI; None where there is none."""

    def plot(
        self,
        *,
        region: Region | None = None,
        ax: Axes | None = None,
        color: str = "label",
        outlines: bool | None = None,
    ) -> Axes:
        """Draw the image, or a region of it, on matplotlib axes; y points down.

        Up to 50,000 localizations are drawn as dots. More of them are counted on pixels, batch by batch, so an image
        may be larger than memory.

        Parameters
        ----------
        region : sequence of float or int, optional
            x0, y0, x1, y1 in nm; or the cluster_id of a cluster, to see it with its surroundings. By default the whole
            image.
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure by default.
        color : str
            "label", by the network's class; "cluster", a color for each; "density", localizations per um2; or the name
            of a column of numbers, of the points or of the clusters.
        outlines : bool, optional
            Whether outlines of clusters are drawn; by default where they are wide enough to be seen.

        Returns
        -------
        matplotlib.axes.Axes
            The axes, whose units are nm.

        Raises
        ------
        UsageError
            Matplotlib is missing, a region that spans no area, or a cluster or column that there is not.
        """
        return plot(self.exportable(), region, ax, color, outlines)

    def save_overview(self, path: str | os.PathLike[str]) -> Path:
        """Write the overview as PDF, SVG or PNG by the ending: lines and text stay such, for a talk or a paper.

        Parameters
        ----------
        path : path
            The file; one that is there already is replaced.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        UsageError
            Matplotlib is missing, or another ending.
        """
        by = " ".join(finder_of(self.summary["network"], self.summary.get("method")))
        lines = [figures_in_words(self.summary).replace("um2", "µm²"), by]
        return save_overview(self.exportable(), lines, Path(path))

    def to_arrow(self, table: str = "points") -> pa.Table:
        """A table as Arrow holds it, which polars and DuckDB take over without copying: ``polars.from_arrow(...)``.

        Parameters
        ----------
        table : str
            "points", "clusters" or "outlines"; outlines are WKB, in nm.

        Returns
        -------
        pyarrow.Table
            Its columns and types are those of the files of a run.

        Raises
        ------
        UsageError
            There is no such table.
        """
        image = self.exportable()
        if table == "points":
            return pa.Table.from_batches(image.points(None), image.schema)
        if table == "clusters":
            return image.clusters()
        if table == "outlines":
            return pa.concat_tables(image.outlines()).rename_columns(["cluster_id", "outline"])
        raise UsageError(f"there is no table {table!r}: use one of {', '.join(TABLES)}")

    def to_geopandas(self) -> GeoDataFrame:
        """The clusters with their outlines as geometry, in nm; a cluster that spans no area has none.

        Returns
        -------
        geopandas.GeoDataFrame
            A row a cluster; no coordinate reference system, because nm on a cover slip have none.

        Raises
        ------
        UsageError
            GeoPandas is missing.
        """
        require("geopandas", "to_geopandas()")
        from geopandas import GeoDataFrame

        shapes = self.outlines.reindex(self.clusters["cluster_id"]).to_numpy()
        return GeoDataFrame(self.clusters, geometry=np.asarray(shapely.force_2d(shapes), dtype=object))

    def _repr_html_(self) -> str:
        return page_of(self.summary, self.thumbnail)
