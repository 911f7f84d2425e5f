"""Results read back: a run, or a screening, and its images."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex

from caml_dask.atomic import read_json
from caml_dask.errors import CamlError, OutputError, StoreError, UnknownImageError
from caml_dask.io.exporters.exporter import Options
from caml_dask.io.exporters.write import export, missing
from caml_dask.io.manifest import Image
from caml_dask.io.run_directory import EXPORTS, OUTPUT_MARKS, Run, read_manifest
from caml_dask.results.html import page_of_run
from caml_dask.results.image import ImageResult
from caml_dask.results.pooled import pooled_clusters
from caml_dask.results.words import SHOWN, Summary, figures_in_words, finder_of

if TYPE_CHECKING:
    import pandas as pd

_CLOSE = 5  # image ids named where one is not known


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
        for place, image in list(enumerate(self._images.values()))[:SHOWN]:
            lines.append(f"  [{place}] {image.image_id}: {figures_in_words(image.summary)}")
        if len(self) > SHOWN:
            lines.append(f"  ... and {len(self) - SHOWN} more")
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
        failures = [f"  failed: {name}: {reason}" for name, reason in list(self.failed.items())[:SHOWN]]
        if len(self.failed) > SHOWN:
            failures.append(f"  ... and {len(self.failed) - SHOWN} more that failed")
        done = f"{len(self.images)} of {len(self.images) + len(self.failed)} images done, {self._found_by()}"
        return "\n".join(
            [
                f"RunResult {self.directory}: {done}",
                *repr(self.images).splitlines()[1:],
                *failures,
                "  .images[0] or .images[image_id], .clusters(), .failed, .summary",
            ]
        )

    def _repr_html_(self) -> str:
        first = list(self.images.values())[:SHOWN]
        title = f"{self.directory}, {self._found_by()}"
        shown = [(image.summary, image.thumbnail) for image in first]
        return page_of_run(title, shown, len(self.images), self.failed)

    def _found_by(self) -> str:
        return " ".join(finder_of(self.summary["network"].get("name"), self.summary["settings"].get("method")))

    def clusters(self) -> pd.DataFrame:
        """The clusters of all images that are done, with the factors of a screening.

        Returns
        -------
        pandas.DataFrame
            A row a cluster: image_id, the channel where inputs have some, the factors as text, then columns as of
            ``schema.CLUSTERS``.
        """
        return pooled_clusters(self.images)

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
        results = [self.images[name].exportable() for name in chosen]
        return export(results, to, folder or self.directory / EXPORTS, Options(pixel_nm), overwrite)

    def export_missing(self, to: Iterable[str]) -> dict[str, str]:
        """Write the files that are not yet in the default folder; an image that fails does not stop the others.

        Parameters
        ----------
        to : iterable of str
            Names of formats.

        Returns
        -------
        dict of str to str
            image_id to reason, of the images that could not be exported.
        """
        formats, folder, failed = list(to), self.directory / EXPORTS, dict[str, str]()
        for image in self.images.values():
            try:
                if left := missing(image.image_id, formats, folder):
                    export([image.exportable()], left, folder, Options(), overwrite=True)
            except CamlError as error:
                failed[image.image_id] = str(error)
        return failed


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
