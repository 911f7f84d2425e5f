"""The Python interface: a scikit-learn clusterer, an analysis in memory, and a run read back.

All three use the kernels and stages of the command.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as pa_dataset
import shapely
from joblib import effective_n_jobs
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import check_array

from caml_dask.atomic import fingerprint, read_json
from caml_dask.errors import ConservationError, OutputError, StoreError, UsageError
from caml_dask.executors.in_memory import analyse
from caml_dask.executors.kernels import compile_kernels
from caml_dask.executors.pending import units_by_stage
from caml_dask.io.readers.in_memory import as_localizations
from caml_dask.io.run_directory import Image, Run
from caml_dask.io.store import DirectoryStore, MemoryStore
from caml_dask.networks.trained import load
from caml_dask.pipeline import CARRIED, LAST
from caml_dask.schema import NO_CLUSTER
from caml_dask.settings import ColumnMap, Settings, network_named
from caml_dask.stages.measure import clusters_of
from caml_dask.stages.publish import summarise
from caml_dask.stages.shared.measured import MeasuredClusters
from caml_dask.stages.shared.work import Work, tile_size
from caml_dask.stages.tables import LABELS, RESULT

_LEAST_TILE = 20_000  # localizations; of smaller tiles the halos would be much of the work


@dataclass(frozen=True)
class Analysis:
    """What an analysis in memory returns; the columns are those of schema.POINTS and schema.CLUSTERS.

    Clusters of 3D localizations have the columns of schema.CLUSTERS_3D.

    points : a row a localization, in input order
    clusters : a row a cluster, by cluster_id
    outlines : (clusters,) shapely geometries in nm, in the order of `clusters`; None where a cluster spans no area; of
        clusters in 3D as seen along z
    summary : counts, percent clustered, clusters per um2, medians with IQR, warnings
    """

    points: pd.DataFrame
    clusters: pd.DataFrame
    outlines: np.ndarray
    summary: dict[str, Any]


def analyze(
    localizations: Any,
    network: str | os.PathLike[str] = "XPILJZ",
    *,
    columns: ColumnMap | str | None = None,
    n_jobs: int | None = -1,
    **settings: Any,
) -> Analysis:
    """Label, cluster, outline and measure localizations held in memory.

    Parameters
    ----------
    localizations : (n, 2) array in nm, or (n, 3) where the network is 3D; or a pandas or Arrow table, whose own columns
        are kept.
    network : name of a network, or the folder of one of your own, as `caml-dask train --out` wrote it.
    columns : which columns are the coordinates, such as ``"x=X,y=Y,unit=um"``, where the headers do not say.
    n_jobs : threads, as scikit-learn counts them: -1 for one a core. Never changes a result.
    settings : other fields of :class:`caml_dask.settings.Settings`, such as ``area_um2=`` or ``min_points=``.

    Raises
    ------
    UsageError : an unknown setting, network or shape.
    InputError : coordinates or units that are not known, or too few localizations for the network.
    """
    named = ColumnMap.of(columns)
    unknown = sorted(set(settings) - set(Settings.__dataclass_fields__))
    if unknown:
        raise UsageError(f"unknown setting {unknown[0]!r}: use one of {', '.join(Settings.__dataclass_fields__)}")
    table = as_localizations(localizations, named)
    threads = effective_n_jobs(n_jobs)
    work = _work(_in_tiles(Settings(network=network_named(network), columns=named, **settings), len(table), threads))
    compile_kernels(work.settings.network)
    analyse(work, [table], {}, threads=threads)
    clusters = MeasuredClusters(work)
    outlines = pa.concat_tables(clusters.outlines())
    return Analysis(
        points=work.get(RESULT, 0).to_pandas(),
        clusters=pa.concat_tables(clusters.tables()).to_pandas(),
        outlines=shapely.from_wkb(outlines["outline"].to_numpy()),
        summary=summarise(work, clusters),
    )


def _work(settings: Settings) -> Work:
    return Work(Image("in_memory"), settings, load(settings.network), MemoryStore(), CARRIED)


def _in_tiles(settings: Settings, n: int, threads: int) -> Settings:
    """Settings by which n localizations fall into tiles enough that no thread waits long for the last of them."""
    if settings.max_localizations is not None or threads == 1:
        return settings
    return replace(settings, max_localizations=min(tile_size(settings, n), max(_LEAST_TILE, n // (2 * threads))))


class CAML(ClusterMixin, BaseEstimator):
    """CAML as a scikit-learn clusterer: takes the place of DBSCAN in a line.

    Parameters
    ----------
    network : name of a network, or the folder of one of your own, as `caml-dask train --out` wrote it.
    min_points : smallest number of localizations in a cluster.
    max_localizations : localizations a tile may hold, which bounds memory; never changes a result.
    n_jobs : threads, as scikit-learn counts them: -1 for one a core; never changes a result.

    Attributes
    ----------
    labels_ : (n,) int64, 0..k-1 in the order of the clusters' first localizations; -1 for none.
    class_labels_ : (n,) int8, the network's class: 0 non-clustered, 1 clustered (round), 2 fiber.
    p_clustered_ : (n,) float32, the network's score for clustered; of three classes, 1 - its score for non-clustered.
    n_features_in_ : int, coordinates a localization.

    References
    ----------
    Williamson et al., Nature Communications 11 (2020), s41467-020-15293-x.
    """

    def __init__(
        self,
        network: str | os.PathLike[str] = "XPILJZ",
        *,
        min_points: int = 3,
        max_localizations: int | None = None,
        n_jobs: int | None = -1,
    ):
        self.n_jobs = n_jobs
        self.network = network
        self.min_points = min_points
        self.max_localizations = max_localizations

    def fit(self, X: Any, y: Any = None) -> CAML:
        """Cluster localizations.

        Parameters
        ----------
        X : (n, 2) array in nm, or (n, 3) where the network is 3D.
        y : ignored.

        Raises
        ------
        ValueError : NaN or infinite coordinates, another shape, or too few localizations for the network.
        """
        points_nm = check_array(X, dtype=np.float64)
        settings = Settings(
            network_named(self.network), self.max_localizations, min_points=self.min_points, any_extent=True
        )
        threads = effective_n_jobs(self.n_jobs)
        work = _work(_in_tiles(settings, len(points_nm), threads))
        compile_kernels(work.settings.network)
        analyse(work, [as_localizations(points_nm, settings.columns)], {}, until="number", threads=threads)
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


@dataclass(frozen=True)
class ImageResult:
    """The results of one image of a run; a file that is not as the run left it is refused when it is read.

    image_id : its name in the run
    directory : where its files stand
    summary : its part of summary.json
    store : its done records
    """

    image_id: str
    directory: Path
    summary: Mapping[str, Any]
    store: DirectoryStore

    def points_in_batches(self, rows: int = 1 << 20) -> Iterator[pa.RecordBatch]:
        """Points in input order, at most `rows` at a time: for images larger than memory."""
        yield from self._points().to_batches(batch_size=rows)

    @cached_property
    def points(self) -> pd.DataFrame:
        """All points, in input order."""
        return self._points().to_table().to_pandas()

    @cached_property
    def clusters(self) -> pd.DataFrame:
        """The measured clusters, by cluster_id."""
        return self._dataset([self.directory / "clusters.parquet"]).to_table().to_pandas()

    @cached_property
    def outlines(self) -> np.ndarray:
        """(clusters,) shapely geometries in nm, in the order of `clusters`; None where a cluster spans no area."""
        table = self._dataset([self.directory / "outlines.parquet"]).to_table()
        return shapely.from_wkb(table["geometry"].to_numpy())

    def _points(self) -> pa_dataset.Dataset:
        parts = self.directory / "points"
        files = [parts / Path(name).name for name in self._stated if Path(name).parent.name == "points"]
        return self._dataset(sorted(files) or [self.directory / "points.parquet"])

    @cached_property
    def _stated(self) -> dict[str, list[int | str]]:
        """Size and digest of each file, as the done records state them."""
        last = self.store.done(LAST.name, 0)
        records = [self.store.done(stage, unit) for stage, unit in units_by_stage(last)] if last else []
        return {name: file for record in records if record for name, file in record["files"].items()}

    def _dataset(self, files: Sequence[Path]) -> pa_dataset.Dataset:
        """Files as the run left them.

        Raises
        ------
        StoreError : one that is missing, truncated or altered.
        """
        for path in files:
            name = f"{self.image_id}/{path.relative_to(self.directory).as_posix()}"
            if self._stated.get(name) != (found := fingerprint(path)) or found is None:
                raise StoreError(f"{path} is missing or altered: make it again with --resume")
        return pa_dataset.dataset(list(files))


@dataclass(frozen=True)
class RunResult:
    """A run read back.

    directory : the run directory
    summary : what summary.json holds
    images : image_id to results, of the images that are done
    failed : image_id to reason, of those that could not be analysed
    """

    directory: Path
    summary: Mapping[str, Any]
    images: Mapping[str, ImageResult]
    failed: Mapping[str, str]


def open_run(directory: Path | str) -> RunResult:
    """Read back what ``caml-dask run`` left in a directory.

    Raises
    ------
    OutputError : a directory that holds no run, or one that is not finished.
    """
    run = Run.open(Path(directory))
    try:
        summary = read_json(run.root / "summary.json")
    except FileNotFoundError:
        raise OutputError(f"{directory} holds a run that is not finished: continue it with --resume") from None
    except ValueError as error:
        raise StoreError(f"{run.root / 'summary.json'} is damaged ({error}): make it again with --resume") from None
    done = {i["image_id"]: i for i in summary["images"] if i["status"] == "done"}
    return RunResult(
        run.root,
        summary,
        {
            image.image_id: ImageResult(
                image.image_id, run.outputs(image.image_id), done[image.image_id], run.store(image)
            )
            for image in run.images
            if image.image_id in done
        },
        {i["image_id"]: i["reason"] for i in summary["images"] if i["status"] == "failed"},
    )
