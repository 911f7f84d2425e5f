"""The results of one image of a run: its tables, read when they are asked for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from caml_dask.atomic import fingerprint
from caml_dask.errors import OutputError, StoreError
from caml_dask.executors.pending import units_by_stage
from caml_dask.io.exporters.exporter import Exportable, Options
from caml_dask.io.exporters.write import export
from caml_dask.io.manifest import content_of
from caml_dask.io.readers.picasso import metadata_of
from caml_dask.io.run_directory import Run
from caml_dask.io.store import DirectoryStore
from caml_dask.overview.thumbnail import embedded
from caml_dask.pipeline import LAST
from caml_dask.results.shown import THUMBNAIL_PX, Shown
from caml_dask.results.words import Summary, figures_in_words, finder_of, warning_lines

if TYPE_CHECKING:
    import pandas as pd
    from pyarrow.dataset import Dataset

_EXPORTED_ROWS = 1 << 17  # of points, at a time
_OUTLINES = 10_000  # exported at a time
_BUFFER_BYTES = 1 << 20


def analyzed_rows(summary: Mapping[str, Any]) -> int:
    """Rows of the points that have results."""
    rows: int = summary["rows"] - summary["dropped_nonfinite"] - summary["dropped_where"]
    return rows


def outlines_of(table: pa.Table) -> pd.Series:
    """Outlines by the ids of their clusters.

    Parameters
    ----------
    table : pyarrow.Table
        cluster_id, and the outlines as WKB.

    Returns
    -------
    pandas.Series
        (clusters,) shapely geometries in nm, None where a cluster spans no area; its index is the cluster_id.
    """
    import pandas as pd

    ids, geometries = (column.to_numpy() for column in table.columns)
    found = np.asarray(shapely.from_wkb(geometries), dtype=object)
    return pd.Series(found, index=pd.Index(ids, name="cluster_id"), name="outline", dtype=object)


@dataclass(frozen=True, repr=False)
class ImageResult(Shown):
    """The results of one image of a run; a file that is not as the run left it is refused when it is read.

    Attributes
    ----------
    image_id : str
        Its name in the run.
    directory : Path
        Where its files are.
    summary : mapping
        Its part of summary.json.
    store : DirectoryStore
        Its done records.
    """

    image_id: str
    directory: Path
    summary: Summary
    store: DirectoryStore

    def __repr__(self) -> str:
        channel = "" if self.summary["channel"] is None else f", channel {self.summary['channel']}"
        lines = [
            f"ImageResult {self.image_id}: {figures_in_words(self.summary)}",
            f"  of {self.summary['path']}{channel}; in {self.directory}",
            *warning_lines(self.summary),
            "  .points, .clusters, .outlines, .summary; .plot(); .points_in_batches() where points do not fit memory",
        ]
        return "\n".join(lines)

    @property
    def path(self) -> Path:
        """The input file."""
        return Path(self.summary["path"])

    def points_in_batches(self, rows: int = 1 << 20) -> Iterator[pa.RecordBatch]:
        """Points in input order, at most `rows` at a time: for images larger than memory.

        Parameters
        ----------
        rows : int
            Rows of the largest batch.

        Returns
        -------
        iterator of pyarrow.RecordBatch
            Columns as of ``schema.POINTS``, then the input's own.
        """
        yield from self._points().to_batches(batch_size=rows)

    @cached_property
    def points(self) -> pd.DataFrame:
        """All points, a row a localization in input order; columns as of ``schema.POINTS``."""
        return self._points().to_table().to_pandas()

    @cached_property
    def clusters(self) -> pd.DataFrame:
        """The measured clusters, by cluster_id; columns as of ``schema.CLUSTERS`` or ``schema.CLUSTERS_3D``."""
        return self._dataset([self.directory / "clusters.parquet"]).to_table().to_pandas()

    @cached_property
    def outlines(self) -> pd.Series:
        """(clusters,) shapely geometries in nm, indexed by cluster_id; None where a cluster spans no area."""
        return outlines_of(self._dataset([self.directory / "outlines.parquet"]).to_table())

    def export(
        self, to: str | Iterable[str], folder: Path | str, *, pixel_nm: float | None = None, overwrite: bool = False
    ) -> list[Path]:
        """Write the image for other programs, as `caml-dask export` does; points are streamed.

        Parameters
        ----------
        to : str or iterable of str
            Names of formats, such as "picasso" or "thunderstorm": those that `caml-dask export --help` lists.
        folder : path
            Where the files go; it is made.
        pixel_nm : float, optional
            Size of the pixels of a picture, of ImageJ regions and of Picasso's coordinates, in nm.
        overwrite : bool
            Replace files that are there already.

        Returns
        -------
        list of Path
            The files, each named by the image_id.

        Raises
        ------
        UsageError
            A format that is not known, that needs an extra, or that cannot hold the image.
        OutputError
            A file is there already.
        StoreError
            A file of the run is not as the run left it.
        """
        return export([self.exportable()], to, folder, Options(pixel_nm), overwrite)

    def exportable(self) -> Exportable:
        """The image as exporters take it."""
        run, points, of = Run.open(self.directory.parent), self._points(), self.path
        channel = self.summary["channel"]
        kind, by = finder_of(self.summary["network"], self.summary.get("method"))
        return Exportable(
            image_id=self.image_id,
            localizations=analyzed_rows(self.summary),
            bounds_nm=tuple(self.summary["bounds_nm"]),
            schema=points.schema,
            points=lambda columns: _batches(points.files, columns),
            clusters=lambda: self._dataset([self.directory / "clusters.parquet"]).to_table(),
            outlines=lambda: _outlines(self._dataset([self.directory / "outlines.parquet"]).files),
            provenance={
                "program": f"caml_dask {run.manifest['version']}",
                kind: by,
                "input": of.name if channel is None else f"{of.name}, channel {channel}",
                "image": self.image_id,
                "settings digest": run.manifest["settings_digest"],
            },
            pixel_nm=run.settings.columns.pixel_nm,
            picasso_metadata=lambda: metadata_of(of) if run.manifest["inputs"].get(str(of)) == content_of(of) else (),
        )

    @cached_property
    def thumbnail(self) -> str | None:
        """A small picture, a PNG as a data URI; None where overview.png is not there or altered."""
        path = self.directory / "overview.png"
        if self._stated.get(f"{self.image_id}/{path.name}") != fingerprint(path):
            return None
        return embedded(path, THUMBNAIL_PX)

    @cached_property
    def digest(self) -> str:
        """What tells these results from others: a digest of the sizes and digests that its done records state."""
        return hashlib.blake2b(json.dumps(self._stated, sort_keys=True).encode(), digest_size=16).hexdigest()

    @cached_property
    def molecules(self) -> pd.DataFrame:
        """Where detections were merged, the molecules, by molecule_id; columns as of ``schema.MOLECULES``.

        Raises
        ------
        OutputError
            Detections of this image were not merged.
        """
        files = self._parts("molecules")
        if not files:
            raise OutputError(f"detections of {self.image_id} were not merged: analyze it with --merge auto")
        return self._dataset(files).to_table().to_pandas()

    @cached_property
    def drift(self) -> pd.DataFrame:
        """Where drift was corrected, that in each frame; columns as of ``schema.DRIFT``.

        Raises
        ------
        OutputError
            Drift of this image was not corrected.
        """
        if self.summary.get("drift") is None:
            raise OutputError(f"drift of {self.image_id} was not corrected: analyze it with --drift aim")
        return self._dataset([self.directory / "drift.parquet"]).to_table().to_pandas()

    def _points(self) -> Dataset:
        return self._dataset(self._parts("points") or [self.directory / "points.parquet"])

    def _parts(self, table: str) -> list[Path]:
        """The files of a table that may be in parts."""
        names = [Path(name) for name in self._stated]
        parts = [self.directory / table / name.name for name in names if name.parent.name == table]
        whole = [self.directory / name.name for name in names if name.name == f"{table}.parquet"]
        return sorted(parts or whole)

    @cached_property
    def _stated(self) -> dict[str, list[int | str]]:
        """Size and digest of each file, as the done records state them."""
        last = self.store.done(LAST.name, 0)
        records = [self.store.done(stage, unit) for stage, unit in units_by_stage(last)] if last else []
        return {name: file for record in records if record for name, file in record["files"].items()}

    def _dataset(self, files: Sequence[Path]) -> Dataset:
        """Files as the run left them.

        Raises
        ------
        StoreError
            One that is missing, truncated or altered.
        """
        from pyarrow.dataset import dataset
        from pyarrow.fs import LocalFileSystem

        for path in files:
            name = f"{self.image_id}/{path.relative_to(self.directory).as_posix()}"
            if self._stated.get(name) != (found := fingerprint(path)) or found is None:
                raise StoreError(f"{path} is missing or altered: make it again with --resume")
        # A file system that is named: Arrow takes a relative name with a colon for a URI.
        return dataset([str(path.absolute()) for path in files], filesystem=LocalFileSystem())


def _batches(
    files: Sequence[str], columns: Sequence[str] | None = None, rows: int = _EXPORTED_ROWS
) -> Iterator[pa.RecordBatch]:
    """Rows of Parquet files by pages: unlike a dataset, which reads ahead, it holds little more than a batch."""
    for name in files:
        with pq.ParquetFile(name, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
            yield from file.iter_batches(rows, columns=None if columns is None else list(columns))


def _outlines(files: Sequence[str]) -> Iterator[pa.Table]:
    for batch in _batches(files, rows=_OUTLINES):
        yield pa.Table.from_batches([batch])
