"""The Python interface: a scikit-learn clusterer, an analysis in memory, and a run read back.

All three use the kernels and stages of the command.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TypedDict, Unpack

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from joblib import effective_n_jobs
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import check_array

from caml_dask.errors import ConservationError, UsageError
from caml_dask.executors.in_memory import analyse
from caml_dask.executors.kernels import compile_kernels
from caml_dask.io.manifest import Image
from caml_dask.io.readers.in_memory import Localizations, as_localizations
from caml_dask.io.rois.given import refuse_missing
from caml_dask.io.store import MemoryStore
from caml_dask.methods import Method
from caml_dask.networks.trained import load_for
from caml_dask.pipeline import carried_by
from caml_dask.results.analysis import Analysis
from caml_dask.results.image import ImageResult, outlines_of
from caml_dask.results.run import Images, RunResult, open_run
from caml_dask.schema import NO_CLUSTER
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
    min_points: int | None
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
    method: Method | None


def analyze(
    localizations: Localizations,
    network: str | os.PathLike[str] | None = None,
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
    network : str or path, optional
        Name of a network, or the folder of one of your own, as ``caml-dask train --out`` wrote it. Without it, and
        without ``method=``, it is field-2d.
    columns : str or ColumnMap, optional
        Which columns are the coordinates, such as ``"x=X,y=Y,unit=um"``, where the headers do not say.
    n_jobs : int, optional
        Threads, as scikit-learn counts them: -1 for one a core. Never changes a result.
    **settings
        Other fields of :class:`caml_dask.settings.Settings`, such as ``where=``, ``area_um2=``, ``test=False``, or
        ``method=DBSCAN(eps_nm=30, min_samples=5)`` in place of a network.

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
    chosen = Settings(network=None if network is None else network_named(network), columns=named, **settings)
    refuse_missing(chosen.roi)
    table = as_localizations(localizations, named)
    threads = effective_n_jobs(n_jobs)
    work = _work(_in_tiles(chosen, len(table), threads))
    compile_kernels(work.settings.finder)
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
    min_points : int or None
        Smallest number of localizations in a cluster; None takes 3 of a network, and what a method says.
    max_localizations : int or None
        Localizations a tile may hold, which bounds memory; never changes a result.
    n_jobs : int or None
        Threads, as scikit-learn counts them: -1 for one a core. Never changes a result.
    method : Method or None
        A method that finds the clusters in place of the network, such as ``Voronoi(density_factor=2)``.

    Attributes
    ----------
    labels_ : (n,) int64
        0..k-1 in the order of the clusters' first localizations; -1 for none.
    class_labels_ : (n,) int8
        The network's or method's class: 0 non-clustered, 1 clustered (round), 2 fiber.
    p_clustered_ : (n,) float32
        The network's score for clustered; of three classes, 1 - its score for non-clustered. NaN of a method.
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
        min_points: int | None = None,
        max_localizations: int | None = None,
        n_jobs: int | None = -1,
        method: Method | None = None,
    ):
        self.method = method
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
        network = network_named(self.network)
        settings = Settings(
            None if self.method is not None and network == DEFAULT_NETWORK else network,
            self.max_localizations,
            min_points=self.min_points,
            any_extent=True,
            method=self.method,
        )
        threads = effective_n_jobs(self.n_jobs)
        work = _work(_in_tiles(settings, len(points_nm), threads))
        compile_kernels(work.settings.finder, measures=False)
        analyse(work, [as_localizations(points_nm, settings.columns)], {}, before="measure", threads=threads)
        cluster = np.empty(len(points_nm), dtype=np.int64)
        self.p_clustered_ = np.full(len(points_nm), np.nan, dtype=np.float32)
        self.class_labels_ = np.zeros(len(points_nm), dtype=np.int8)
        first_score = next(iter(work.network.score_columns), None)
        for tile in range(work.partition().n_tiles):
            labels = work.get(LABELS, tile)
            rows = labels["loc_id"].to_numpy().astype(np.int64)
            cluster[rows] = clusters_of(work, tile)[0]
            self.class_labels_[rows] = labels["label"].to_numpy()
            if first_score is not None:
                score = labels[first_score].to_numpy()
                self.p_clustered_[rows] = score if first_score == "p_clustered" else 1 - score
        if first_score is not None and np.isnan(self.p_clustered_).any():
            raise ConservationError(
                f"{np.isnan(self.p_clustered_).sum()} of {len(points_nm)} localizations have no score"
            )
        found = np.unique(cluster[cluster != NO_CLUSTER])
        self.labels_ = np.where(cluster == NO_CLUSTER, -1, np.searchsorted(found, cluster))
        self.n_features_in_ = points_nm.shape[1]
        return self
