"""The results of an analysis in memory."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import shapely

from caml_dask import __version__
from caml_dask.errors import UsageError
from caml_dask.io.exporters.exporter import Exportable, Options
from caml_dask.io.exporters.write import export
from caml_dask.overview.raster import Raster
from caml_dask.overview.thumbnail import embedded_raster
from caml_dask.results.image import analyzed_rows
from caml_dask.results.shown import THUMBNAIL_PX, Shown
from caml_dask.results.words import figures_in_words, finder_of, warning_lines
from caml_dask.schema import NO_CLUSTER, NON_CLUSTERED, POINTS


@dataclass(frozen=True, repr=False)
class Analysis(Shown):
    """What an analysis in memory returns.

    Attributes
    ----------
    points : pandas.DataFrame
        A row a localization, in input order; columns as of ``schema.POINTS``, then the input's own.
    clusters : pandas.DataFrame
        A row a cluster, by cluster_id; columns as of ``schema.CLUSTERS``, of 3D localizations ``schema.CLUSTERS_3D``.
    outlines : pandas.Series
        (clusters,) shapely geometries in nm, indexed by cluster_id; None where a cluster spans no area; of clusters in
        3D as seen along z.
    summary : dict
        Counts, percent clustered, clusters per um2, medians with IQR, warnings.
    molecules : pandas.DataFrame or None
        Where detections are merged, a row a molecule, by molecule_id; columns as of ``schema.MOLECULES``.
    drift : pandas.DataFrame or None
        Where drift is corrected, a row a frame; columns as of ``schema.DRIFT``.
    """

    points: pd.DataFrame
    clusters: pd.DataFrame
    outlines: pd.Series
    summary: dict[str, Any]
    molecules: pd.DataFrame | None = None
    drift: pd.DataFrame | None = None

    def __repr__(self) -> str:
        _, by = finder_of(self.summary["network"], self.summary.get("method"))
        lines = [f"Analysis by {by}: {figures_in_words(self.summary)}"]
        lines += warning_lines(self.summary)
        rows = f"{len(self.points):,} rows), .clusters ({len(self.clusters):,}), .outlines ({len(self.outlines):,}"
        return "\n".join([*lines, f"  .points ({rows}), .summary"])

    def export(
        self,
        to: str | Iterable[str],
        folder: str | os.PathLike[str],
        *,
        name: str = "analysis",
        pixel_nm: float | None = None,
        overwrite: bool = False,
    ) -> list[Path]:
        """Write the results for other programs, as `caml-dask export` does.

        Parameters
        ----------
        to : str or iterable of str
            Names of formats, such as "picasso" or "thunderstorm": those that `caml-dask export --help` lists.
        folder : path
            Where the files go; it is made.
        name : str
            What the names of the files begin with.
        pixel_nm : float, optional
            Size of the pixels of a picture, of ImageJ regions and of Picasso's coordinates, in nm.
        overwrite : bool
            Replace files that are there already.

        Returns
        -------
        list of Path
            The files.

        Raises
        ------
        UsageError
            A format that is not known, that needs an extra, or that cannot hold the results; or a name that is none of
            a file.
        OutputError
            A file is there already.
        """
        if not name or name.startswith(".") or os.sep in name:
            raise UsageError(f"name={name!r} cannot begin the name of a file: use letters and digits")
        return export([self.exportable(name)], to, Path(folder), Options(pixel_nm), overwrite)

    def exportable(self, name: str = "analysis") -> Exportable:
        """The results as exporters and pictures take them, under a name."""
        points = _typed(pa.Table.from_pandas(self.points, preserve_index=False))
        clusters = pa.Table.from_pandas(self.clusters, preserve_index=False)
        kind, by = finder_of(self.summary["network"], self.summary.get("method"))
        outlines = {"cluster_id": self.outlines.index.to_numpy(), "outline": shapely.to_wkb(self.outlines.to_numpy())}
        return Exportable(
            image_id=name,
            localizations=analyzed_rows(self.summary),
            bounds_nm=tuple(self.summary["bounds_nm"]),
            schema=points.schema,
            points=lambda columns: iter((points if columns is None else points.select(list(columns))).to_batches()),
            clusters=lambda: clusters,
            outlines=lambda: iter([pa.table(outlines)]),
            provenance={"program": f"caml_dask {__version__}", kind: by},
        )

    @cached_property
    def thumbnail(self) -> str:
        """A small picture, a PNG as a data URI."""
        rows = self.points[self.points["cluster_id"].notna()]
        raster = Raster(tuple(self.summary["bounds_nm"]), 2 * THUMBNAIL_PX, classes=3)
        of = np.where(rows["cluster_id"] == NO_CLUSTER, NON_CLUSTERED, rows["label"]).astype(np.int8)
        raster.add(rows["x_nm"].to_numpy(), rows["y_nm"].to_numpy(), of)
        return embedded_raster(raster, THUMBNAIL_PX)


def _typed(points: pa.Table) -> pa.Table:
    """Points with the types of ``schema.POINTS``: in pandas, a missing number makes integers floating-point numbers."""
    types = {column.name: column.type for column in POINTS}
    return points.cast(pa.schema([pa.field(f.name, types.get(f.name, f.type)) for f in points.schema]))
