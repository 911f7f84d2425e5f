"""What a view of an image reads: made once, kept in a folder, known by the digest of the results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

from caml_dask.atomic import WORKING, publish, publish_json, read_json, sweep
from caml_dask.errors import OutputError, StoreError
from caml_dask.io.exporters.exporter import Exportable
from caml_dask.io.exporters.ome_zarr import EXPORTER
from caml_dask.locks import held
from caml_dask.viewer.about import Grid
from caml_dask.viewer.clusters import Clusters
from caml_dask.viewer.points import Points
from caml_dask.viewer.prepare import CLUSTERS, POINTS, PYRAMID_NAME, Progress, prepare
from caml_dask.viewer.pyramid import BRIGHTEST, Pyramid

_LAYOUT = 1
_DIGITS = 16  # of a digest, in the name of a folder
_ABOUT = "view.json"
_WAIT_S = 3600.0  # for another process that makes the same


@dataclass(frozen=True)
class Prepared:
    """An image that can be looked at.

    Parameters
    ----------
    points : Points
        Its localizations by place.
    clusters : Clusters
        Its clusters with their outlines.
    pyramid : Pyramid
        Its localizations in pixels.
    brightest : list of list of int
        The count that is drawn brightest, of each channel of each level.
    """

    points: Points
    clusters: Clusters
    pyramid: Pyramid
    brightest: list[list[int]]

    @property
    def grid(self) -> Grid:
        """The levels of the pyramid."""
        of = self.pyramid
        return Grid(of.channels, of.pixel_nm, of.origin_nm, of.shapes, self.brightest)


@dataclass(frozen=True)
class Shelf:
    """Where prepared images are kept.

    Parameters
    ----------
    folder : Path
        A folder for each image goes there; other runs can have theirs there too.
    exports : Path
        Where `caml-dask export` writes: a pyramid that is there is taken.
    """

    folder: Path
    exports: Path

    def ready(self, image_id: str, digest: str) -> Prepared | None:
        """What was prepared of an image.

        Parameters
        ----------
        image_id, digest : str
            The image, and what tells its results from others.

        Returns
        -------
        Prepared or None
            None where it was not prepared yet, or of other results.
        """
        folder = self._place(image_id, digest)
        about = _about(folder)
        if about is None or about["digest"] != digest or about["layout"] != _LAYOUT:
            return None
        pyramid = self.exports / f"{image_id}{EXPORTER.endings[0]}" if about["exported"] else folder / PYRAMID_NAME
        try:
            opened = Prepared(
                Points(folder / POINTS), Clusters(folder / CLUSTERS), Pyramid(pyramid), about["brightest"]
            )
        except (OSError, StoreError, ValueError):  # ValueError: Arrow's, of damaged files
            return None
        return opened if len(opened.brightest) == len(opened.pyramid.shapes) else None

    def prepare(self, image_id: str, digest: str, opens: Callable[[], Exportable], progress: Progress) -> Prepared:
        """Prepare an image, unless another process has meanwhile.

        Parameters
        ----------
        image_id, digest : str
            The image, and what tells its results from others.
        opens : callable
            Gives the results.
        progress : callable
            Is told the share that is done.

        Raises
        ------
        StoreError
            Results that are damaged.
        OutputError
            The folder cannot be written.
        """
        try:
            with held(self.folder / f"{image_id}.lock", _WAIT_S):
                if (found := self.ready(image_id, digest)) is None:
                    sweep(self.folder.glob(WORKING.replace("*", f"{escape(image_id)}-{'?' * _DIGITS}.*", 1)))
                    image, place = opens(), self._place(image_id, digest)
                    publish(place, lambda path: self._make(image, digest, path, progress))
                    sweep(self._older(image_id, place))
                    found = self.ready(image_id, digest)
        except (PermissionError, NotADirectoryError, FileExistsError) as error:
            raise OutputError(
                f"{self.folder} cannot be written ({error.strerror}): name another folder with --cache"
            ) from None
        if found is None:
            raise StoreError(f"{self._place(image_id, digest)} cannot be read back: is its disk damaged?")
        return found

    def _place(self, image_id: str, digest: str) -> Path:
        return self.folder / f"{image_id}-{digest[:_DIGITS]}"

    def _older(self, image_id: str, place: Path) -> list[Path]:
        """What was prepared of earlier results of an image of this run; that of other runs is theirs."""
        same = self.folder.glob(f"{escape(image_id)}-{'?' * _DIGITS}")
        return [path for path in same if path != place and (_about(path) or {}).get("run") == self._run]

    @property
    def _run(self) -> str:
        return str(self.exports.resolve().parent)

    def _make(self, image: Exportable, digest: str, folder: Path, progress: Progress) -> None:
        exported = self._exported(image)
        prepare(image, exported, folder, progress)
        pyramid = Pyramid(exported or folder / PYRAMID_NAME)
        about = {
            "layout": _LAYOUT,
            "digest": digest,
            "run": self._run,
            "exported": exported is not None,
            "brightest": pyramid.brightest(BRIGHTEST),
        }
        publish_json(folder / _ABOUT, about)

    def _exported(self, image: Exportable) -> Path | None:
        """The pyramid among the exports, where it is of these results."""
        path = self.exports / f"{image.image_id}{EXPORTER.endings[0]}"
        try:
            pyramid = Pyramid(path)
        except StoreError:
            return None
        fits = pyramid.provenance == image.provenance and pyramid.localizations() == image.localizations
        return path if fits else None


def _about(folder: Path) -> Mapping[str, Any] | None:
    """What is said of a prepared image; None where that is missing or damaged."""
    try:
        return read_json(folder / _ABOUT)
    except (OSError, ValueError):
        return None
