"""Results read back: the images of a run or of a screening, each with its tables; and how results look when printed."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, SupportsIndex, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as pa_dataset
import pyarrow.parquet as pq
import shapely
from pyarrow.fs import LocalFileSystem

from caml_dask.atomic import fingerprint, read_json
from caml_dask.errors import OutputError, StoreError, UnknownImageError
from caml_dask.executors.pending import units_by_stage
from caml_dask.io.exporters.exporter import Exportable, Options
from caml_dask.io.exporters.write import export
from caml_dask.io.readers.picasso import metadata_of
from caml_dask.io.run_directory import EXPORTS, OUTPUT_MARKS, Image, Run, content_of, read_manifest
from caml_dask.io.store import DirectoryStore
from caml_dask.pipeline import LAST

Summary: TypeAlias = Mapping[str, Any]
"""What summary.json says of an image: counts, percent clustered, clusters per um2, medians with IQR, warnings."""

_SHOWN = 10  # images listed when a run is printed
_CLOSE = 5  # image ids named where one is not known
_EXPORTED_ROWS = 1 << 17  # of points, at a time
_OUTLINES = 10_000  # exported at a time
_BUFFER_BYTES = 1 << 20


def figures_in_words(summary: Summary) -> str:
    """The key figures of an image, in a line.

    Parameters
    ----------
    summary : mapping
        Its part of summary.json.

    Returns
    -------
    str
        Localizations, percent clustered, clusters, and clusters per um2.
    """
    rate = "-" if summary["clusters_per_um2"] is None else f"{summary['clusters_per_um2']:.2f}"
    return (
        f"{summary['localizations']:,} localizations, {summary['percent_clustered']:.1f} % clustered, "
        f"{summary['clusters']:,} clusters, {rate} per um2"
    )


def warning_lines(summary: Summary) -> list[str]:
    """The warnings of an image as lines, cut to a readable length.

    Parameters
    ----------
    summary : mapping
        Its part of summary.json.

    Returns
    -------
    list of str
        At most ten lines.
    """
    return [f"  warning: {text if len(text) <= 150 else text[:147] + '...'}" for text in summary["warnings"][:_SHOWN]]


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
    ids, geometries = (column.to_numpy() for column in table.columns)
    found = np.asarray(shapely.from_wkb(geometries), dtype=object)
    return pd.Series(found, index=pd.Index(ids, name="cluster_id"), name="outline", dtype=object)


@dataclass(frozen=True, repr=False)
class ImageResult:
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
            f"  of {self.path}{channel}; in {self.directory}",
            *warning_lines(self.summary),
            "  .points, .clusters, .outlines, .summary; .points_in_batches() where points do not fit memory",
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
        return export([self._exportable()], to, folder, Options(pixel_nm), overwrite)

    def _exportable(self) -> Exportable:
        run, points, of = Run.open(self.directory.parent), self._points(), self.path
        unchanged = run.manifest["inputs"].get(str(of)) == content_of(of)
        channel = self.summary["channel"]
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
                "network": str(run.manifest["network"]["name"]),
                "input": of.name if channel is None else f"{of.name}, channel {channel}",
                "image": self.image_id,
                "settings digest": run.manifest["settings_digest"],
            },
            pixel_nm=run.settings.columns.pixel_nm,
            picasso_metadata=lambda: metadata_of(of) if unchanged else (),
        )

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

    def _points(self) -> pa_dataset.Dataset:
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

    def _dataset(self, files: Sequence[Path]) -> pa_dataset.Dataset:
        """Files as the run left them.

        Raises
        ------
        StoreError
            One that is missing, truncated or altered.
        """
        for path in files:
            name = f"{self.image_id}/{path.relative_to(self.directory).as_posix()}"
            if self._stated.get(name) != (found := fingerprint(path)) or found is None:
                raise StoreError(f"{path} is missing or altered: make it again with --resume")
        # A file system that is named: Arrow takes a relative name with a colon for a URI.
        return pa_dataset.dataset([str(path.absolute()) for path in files], filesystem=LocalFileSystem())


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


class Images(Mapping[str, ImageResult]):
    """The images of a run that are done, by image_id, in the order of the run.

    ``images["0001_cell_a"]`` finds one by its image_id, ``images["cell_a"]`` by the stem of its input, where that is
    one image, and ``images[0]`` by its place. Iteration and ``len`` are those of a mapping of image ids.
    """

    def __init__(self, images: Mapping[str, ImageResult], failed: Mapping[str, str]) -> None:
        self._images, self._failed = dict(images), failed

    def __getitem__(self, key: str | SupportsIndex) -> ImageResult:
        """An image.

        Raises
        ------
        UnknownImageError
            None, or several, are called so; the message names those that may be meant. It is a KeyError.
        """
        if not isinstance(key, str):
            return self._at(key)
        if key in self._images:
            return self._images[key]
        named = [image for image in self._images.values() if image.path.stem == key]
        if len(named) > 1:
            ids = ", ".join(image.image_id for image in named)
            raise UnknownImageError(f"{len(named)} images are of inputs called {key!r}: use one of {ids}")
        if not named:
            raise UnknownImageError(self._unknown(key))
        return named[0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._images)

    def __len__(self) -> int:
        return len(self._images)

    def __repr__(self) -> str:
        lines = [f"{len(self)} image{'s'[: len(self) != 1]}"]
        for place, image in list(enumerate(self._images.values()))[:_SHOWN]:
            lines.append(f"  [{place}] {image.image_id}: {figures_in_words(image.summary)}")
        if len(self) > _SHOWN:
            lines.append(f"  ... and {len(self) - _SHOWN} more")
        return "\n".join(lines)

    def _at(self, place: SupportsIndex) -> ImageResult:
        try:
            return list(self._images.values())[operator.index(place)]
        except TypeError:
            raise UnknownImageError(
                f"{place!r} is of type {type(place).__name__}: name an image by its image_id, the stem of its input "
                "or its place"
            ) from None
        except IndexError:
            ends = f"places are 0 to {len(self) - 1}" if self._images else "none is done"
            raise UnknownImageError(f"no image has the place {place!r}: {ends}") from None

    def _unknown(self, key: str) -> str:
        if key in self._failed:
            return f"{key} could not be analyzed: {self._failed[key]}"
        stems = {image.path.stem: image.image_id for image in self._images.values()}
        close = difflib.get_close_matches(key, [*self._images, *stems], _CLOSE)
        ids = dict.fromkeys(stems.get(name, name) for name in close)
        if ids:
            return f"there is no image {key!r}: did you mean {' or '.join(ids)}?"
        known = ", ".join([*self._images][:_CLOSE]) or "none"
        more = f" and {len(self) - _CLOSE} more" if len(self) > _CLOSE else ""
        return f"there is no image {key!r}: done are {known}{more}"


@dataclass(frozen=True, repr=False)
class RunResult:
    """A run, or a whole screening, read back.

    Attributes
    ----------
    directory : Path
        The directory.
    summary : mapping
        What summary.json holds.
    images : Images
        Results of the images that are done, by image_id, by the stem of their input, or by place.
    failed : mapping
        Image_id to reason, of those that could not be analyzed; of an image of a screening that never got an image_id,
        its path.
    """

    directory: Path
    summary: Mapping[str, Any]
    images: Images
    failed: Mapping[str, str]

    def __repr__(self) -> str:
        failures = [f"  failed: {name}: {reason}" for name, reason in list(self.failed.items())[:_SHOWN]]
        if len(self.failed) > _SHOWN:
            failures.append(f"  ... and {len(self.failed) - _SHOWN} more that failed")
        network = self.summary["network"]["name"]
        done = f"{len(self.images)} of {len(self.images) + len(self.failed)} images done, network {network}"
        return "\n".join(
            [
                f"RunResult {self.directory}: {done}",
                *repr(self.images).splitlines()[1:],
                *failures,
                "  .images[0] or .images[image_id], .failed, .summary",
            ]
        )

    def export(
        self,
        to: str | Iterable[str],
        folder: Path | str | None = None,
        *,
        images: Iterable[str] | None = None,
        pixel_nm: float | None = None,
        overwrite: bool = False,
    ) -> list[Path]:
        """Write images for other programs, as `caml-dask export` does; points are streamed.

        Parameters
        ----------
        to : str or iterable of str
            Names of formats, such as "picasso" or "thunderstorm": those that `caml-dask export --help` lists.
        folder : path, optional
            Where the files go; `export` in the directory of the run by default.
        images : iterable of str, optional
            image_ids, or stems of inputs; all images that are done by default.
        pixel_nm : float, optional
            Size of the pixels of a picture, of ImageJ regions and of Picasso's coordinates, in nm.
        overwrite : bool
            Replace files that are there already.

        Returns
        -------
        list of Path
            The files, image by image, each named by its image_id.

        Raises
        ------
        UnknownImageError
            An image that there is not.
        UsageError
            A format that is not known, that needs an extra, or that cannot hold an image.
        OutputError
            A file is there already; nothing is written.
        StoreError
            A file of the run is not as the run left it.
        """
        chosen = dict.fromkeys(self.images[name].image_id for name in (self.images if images is None else images))
        results = [self.images[name]._exportable() for name in chosen]
        return export(results, to, folder or self.directory / EXPORTS, Options(pixel_nm), overwrite)


def open_run(directory: Path | str) -> RunResult:
    """Read back what ``caml-dask run`` or ``caml-dask screen`` left in a directory.

    Parameters
    ----------
    directory : path
        The directory of a run, of a screening, or of one night of it.

    Returns
    -------
    RunResult
        Its images; tables are read when they are asked for.

    Raises
    ------
    OutputError
        A directory that holds no run, or one that is not finished.
    StoreError
        A summary that is damaged.
    """
    root = Path(directory)
    if read_manifest(root) is None and (root / OUTPUT_MARKS[1]).is_dir():
        return _screening(root)
    run = Run.open(root)
    summary = _summary(root, "run", "continue it with --resume", "make it again with --resume")
    done = {entry["image_id"]: entry for entry in summary["images"] if entry["status"] == "done"}
    images = {
        image.image_id: _image(run, image, done[image.image_id]) for image in run.images if image.image_id in done
    }
    return _result(root, summary, images)


def _screening(root: Path) -> RunResult:
    """All images of a screening, whatever night they are of."""
    summary = _summary(root, "screening", "call `caml-dask screen` again", "call `caml-dask screen` again")
    runs: dict[Path, Run] = {}
    images = {}
    for entry in summary["images"]:
        if entry["status"] != "done":
            continue
        folder = root / entry["folder"]
        if not folder.resolve().is_relative_to(root.resolve()):
            raise StoreError(f"{entry['folder']!r}, which {root / 'summary.json'} names, is not in {root}")
        if folder.parent not in runs:
            runs[folder.parent] = Run.open(folder.parent)
        images[entry["image_id"]] = _image(runs[folder.parent], Image(folder.name), entry)
    return _result(root, summary, images)


def _summary(root: Path, what: str, unfinished: str, damaged: str) -> dict[str, Any]:
    """What summary.json holds.

    Raises
    ------
    OutputError
        There is none yet.
    StoreError
        It is damaged.
    """
    try:
        return read_json(root / "summary.json")
    except FileNotFoundError:
        raise OutputError(f"{root} holds a {what} that is not finished: {unfinished}") from None
    except ValueError as error:
        raise StoreError(f"{root / 'summary.json'} is damaged ({error}): {damaged}") from None


def _image(run: Run, image: Image, entry: Summary) -> ImageResult:
    return ImageResult(image.image_id, run.outputs(image.image_id), entry, run.store(image))


def _result(root: Path, summary: Mapping[str, Any], images: Mapping[str, ImageResult]) -> RunResult:
    failed = {i["image_id"] or i["path"]: i["reason"] for i in summary["images"] if i["status"] == "failed"}
    return RunResult(root, summary, Images(images, failed), failed)
