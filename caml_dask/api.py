"""The Python interface: a scikit-learn clusterer, an analysis in memory, and a run read back.

All three use the kernels and stages of the command.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import shapely
from joblib import effective_n_jobs
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import check_array

from caml_dask import __version__
from caml_dask.errors import ConservationError, UsageError
from caml_dask.executors.in_memory import analyse
from caml_dask.executors.kernels import compile_kernels
from caml_dask.io.exporters.exporter import Exportable, Options
from caml_dask.io.exporters.write import export
from caml_dask.io.manifest import Image
from caml_dask.io.readers.in_memory import Localizations, as_localizations
from caml_dask.io.rois.given import refuse_missing
from caml_dask.io.store import MemoryStore
from caml_dask.networks.trained import load_for
from caml_dask.pipeline import carried_by
from caml_dask.results.image import ImageResult, analyzed_rows, outlines_of
from caml_dask.results.run import Images, RunResult, open_run
from caml_dask.results.words import figures_in_words, warning_lines
from caml_dask.schema import NO_CLUSTER, POINTS
from caml_dask.settings import DEFAULT_NETWORK, ColumnMap, Settings, network_named
from caml_dask.stages.drift.tables import DRIFT_OF_FRAMES
from caml_dask.stages.merging.tables import MOLECULE_RESULT
from caml_dask.stages.publish import summarise
from caml_dask.stages.shared.clusters import clusters_of
from caml_dask.stages.shared.measured import MeasuredClusters
from caml_dask.stages.shared.work import Work, tile_size
from caml_dask.stages.tables import LABELS, RESULT

__all__ = [
    "CAML",
    "Analysis",
    "AnalysisSettings",
    "ImageResult",
    "Images",
    "Localizations",
    "RunResult",
    "analyze",
    "open_run",
]

_LEAST_TILE = 20_000  # localizations; of smaller tiles the halos would be much of the work


class AnalysisSettings(TypedDict, total=False):
    """Settings that :func:`analyze` takes by name; what they mean is said in :class:`caml_dask.settings.Settings`."""

    max_localizations: int | None
    nonfinite: str
    area_um2: float | None
    min_points: int
    any_extent: bool
    save_features: bool
    where: str | None
    roi: str | None
    roi_pixel_nm: float | None
    cell_mask: str | None
    merge: str | None
    drift: str | None
    test: bool
    fdr: float | None
    bootstrap: int | None


@dataclass(frozen=True, repr=False)
class Analysis:
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
        lines = [f"Analysis by {self.summary['network']}: {figures_in_words(self.summary)}"]
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
        points = _typed(pa.Table.from_pandas(self.points, preserve_index=False))
        clusters = pa.Table.from_pandas(self.clusters, preserve_index=False)
        outlines = {"cluster_id": self.outlines.index.to_numpy(), "outline": shapely.to_wkb(self.outlines.to_numpy())}
        exported = Exportable(
            image_id=name,
            localizations=analyzed_rows(self.summary),
            bounds_nm=tuple(self.summary["bounds_nm"]),
            schema=points.schema,
            points=lambda columns: iter((points if columns is None else points.select(list(columns))).to_batches()),
            clusters=lambda: clusters,
            outlines=lambda: iter([pa.table(outlines)]),
            provenance={"program": f"caml_dask {__version__}", "network": str(self.summary["network"])},
        )
        return export([exported], to, Path(folder), Options(pixel_nm), overwrite)


def _typed(points: pa.Table) -> pa.Table:
    """Points with the types of ``schema.POINTS``: in pandas, a missing number makes integers floating-point numbers."""
    types = {column.name: column.type for column in POINTS}
    return points.cast(pa.schema([pa.field(f.name, types.get(f.name, f.type)) for f in points.schema]))


def analyze(
    localizations: Localizations,
    network: str | os.PathLike[str] = DEFAULT_NETWORK,
    *,
    columns: ColumnMap | str | None = None,
    n_jobs: int | None = -1,
    **settings: Unpack[AnalysisSettings],
) -> Analysis:
    """Label, cluster, outline and measure the localizations of a file or in memory.

    Parameters
    ----------
    localizations : path, array or table
        The path of a file of one image, or its s3:// or https:// URL; an (n, 2) array in nm, or (n, 3) where the
        network is 3D; or a table of pandas, Arrow, polars or any other library with
        ``__arrow_c_stream__`` or ``__dataframe__``, whose own columns are kept.
    network : str or path
        Name of a network, or the folder of one of your own, as ``caml-dask train --out`` wrote it.
    columns : str or ColumnMap, optional
        Which columns are the coordinates, such as ``"x=X,y=Y,unit=um"``, where the headers do not say.
    n_jobs : int, optional
        Threads, as scikit-learn counts them: -1 for one a core. Never changes a result.
    **settings
        Other fields of :class:`caml_dask.settings.Settings`, such as ``where=``, ``area_um2=`` or
        ``test=False``.

    Returns
    -------
    Analysis
        Points, clusters, outlines and summary.

    Raises
    ------
    UsageError
        An unknown setting, network, type or shape.
    InputError
        A file that cannot be read or holds several channels, coordinates or units that are not known, or too few
        localizations for the network.
    """
    named = ColumnMap.of(columns)
    unknown = sorted(set(settings) - set(Settings.__dataclass_fields__))
    if unknown:
        raise UsageError(f"unknown setting {unknown[0]!r}: use one of {', '.join(Settings.__dataclass_fields__)}")
    chosen = Settings(network=network_named(network), columns=named, **settings)
    refuse_missing(chosen.roi)
    table = as_localizations(localizations, named)
    threads = effective_n_jobs(n_jobs)
    work = _work(_in_tiles(chosen, len(table), threads))
    compile_kernels(work.settings.network)
    analyse(work, [table], {}, threads=threads)
    clusters = MeasuredClusters(work)
    outlines = pa.concat_tables(clusters.outlines())
    return Analysis(
        points=work.get(RESULT, 0).to_pandas(),
        clusters=pa.concat_tables(clusters.tables()).to_pandas(),
        outlines=outlines_of(outlines),
        summary=summarise(work, clusters),
        molecules=None if work.settings.merge is None else work.get(MOLECULE_RESULT, 0).to_pandas(),
        drift=None if work.settings.drift is None else work.get(DRIFT_OF_FRAMES, 0).to_pandas(),
    )


def _work(settings: Settings) -> Work:
    carried = carried_by(settings)
    return Work(Image("in_memory"), settings, load_for(settings), MemoryStore(), carried)


def _in_tiles(settings: Settings, n: int, threads: int) -> Settings:
    """Settings by which n localizations fall into tiles enough that no thread waits long for the last of them."""
    if settings.max_localizations is not None or threads == 1:
        return settings
    return replace(settings, max_localizations=min(tile_size(settings, n), max(_LEAST_TILE, n // (2 * threads))))


class CAML(ClusterMixin, BaseEstimator):
    """CAML as a scikit-learn clusterer: takes the place of DBSCAN in a line.

    Parameters
    ----------
    network : str or path-like
        Name of a network, or the folder of one of your own, as `caml-dask train --out` wrote it.
    min_points : int
        Smallest number of localizations in a cluster.
    max_localizations : int or None
        Localizations a tile may hold, which bounds memory; never changes a result.
    n_jobs : int or None
        Threads, as scikit-learn counts them: -1 for one a core. Never changes a result.

    Attributes
    ----------
    labels_ : (n,) int64
        0..k-1 in the order of the clusters' first localizations; -1 for none.
    class_labels_ : (n,) int8
        The network's class: 0 non-clustered, 1 clustered (round), 2 fiber.
    p_clustered_ : (n,) float32
        The network's score for clustered; of three classes, 1 - its score for non-clustered.
    n_features_in_ : int
        Coordinates of a localization, 2 or 3.

    References
    ----------
    Williamson et al., Nature Communications 11 (2020), s41467-020-15293-x.
    """

    def __init__(
        self,
        network: str | os.PathLike[str] = DEFAULT_NETWORK,
        *,
        min_points: int = 3,
        max_localizations: int | None = None,
        n_jobs: int | None = -1,
    ):
        self.n_jobs = n_jobs
        self.network = network
        self.min_points = min_points
        self.max_localizations = max_localizations

    def fit(self, X: npt.ArrayLike, y: object = None) -> CAML:
        """Cluster localizations.

        Parameters
        ----------
        X : (n, 2) or (n, 3) array_like of float
            Coordinates in nm; three of them for a 3D network.
        y : None
            Ignored.

        Returns
        -------
        CAML
            The clusterer itself, fitted.

        Raises
        ------
        ValueError
            NaN or infinite coordinates, another shape, or too few localizations for the network.
        """
        points_nm = check_array(X, dtype=np.float64)
        settings = Settings(
            network_named(self.network), self.max_localizations, min_points=self.min_points, any_extent=True
        )
        threads = effective_n_jobs(self.n_jobs)
        work = _work(_in_tiles(settings, len(points_nm), threads))
        compile_kernels(work.settings.network, measures=False)
        analyse(work, [as_localizations(points_nm, settings.columns)], {}, before="measure", threads=threads)
        cluster = np.empty(len(points_nm), dtype=np.int64)
        self.p_clustered_ = np.full(len(points_nm), np.nan, dtype=np.float32)
        self.class_labels_ = np.zeros(len(points_nm), dtype=np.int8)
        first_score = work.network.score_columns[0]
        for tile in range(work.partition().n_tiles):
            labels = work.get(LABELS, tile)
            rows = labels["loc_id"].to_numpy().astype(np.int64)
            cluster[rows] = clusters_of(work, tile)[0]
            score = labels[first_score].to_numpy()
            self.p_clustered_[rows] = score if first_score == "p_clustered" else 1 - score
            self.class_labels_[rows] = labels["label"].to_numpy()
        if np.isnan(self.p_clustered_).any():
            raise ConservationError(
                f"{np.isnan(self.p_clustered_).sum()} of {len(points_nm)} localizations have no score"
            )
        found = np.unique(cluster[cluster != NO_CLUSTER])
        self.labels_ = np.where(cluster == NO_CLUSTER, -1, np.searchsorted(found, cluster))
        self.n_features_in_ = points_nm.shape[1]
        return self
