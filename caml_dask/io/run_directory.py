"""The run directory: its images, its lock, and what a run that stands there is taken up by (DESIGN section 7)."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caml_dask import __version__, locks
from caml_dask.atomic import WORKING, publish_json, publish_text, read_json, sweep
from caml_dask.errors import DiskFullError, OutputError
from caml_dask.io.manifest import FORMAT, Image, differences, digest_of
from caml_dask.io.moved_inputs import followed
from caml_dask.io.remote.url import Url, is_url
from caml_dask.io.store import DirectoryStore
from caml_dask.seen import awaited, names_in
from caml_dask.settings import ColumnMap, Settings

HIDDEN = ".run"
REPORT_PAGE, REPORT_TABLES, REPORT_METHODS = "report.html", "report", "methods.txt"  # what `caml-dask report` adds
EXPORTS = "export"  # where `caml-dask export` writes
VIEWED = ".view"  # what `caml-dask view` keeps
BROUGHT = "inputs"  # in .run, where inputs by URL are
SHARED_PART = "shared.json"  # in .run, what workers read in place of the manifest
_ASKED = "export.json"  # formats that a run was asked for
_COPIED_TO = "copies.json"  # where finished images are copied to
OUTPUT_MARKS = (HIDDEN, ".screen", ".follow", ".describe")
"""Folders by which the directory of a run, of a screening, of followed clusters, or of descriptions is known."""
_IMAGE_ID = re.compile(r"[0-9]{4,}_[A-Za-z0-9_-]+")
_log = logging.getLogger("caml_dask")


@dataclass(frozen=True)
class Run:
    """A run directory with its settings and images; it can be pickled, and holds no data.

    Parameters
    ----------
    root : the output directory.
    settings : the settings of the analysis.
    images : in the order of the inputs.
    manifest : what the run was started with, as it stands in ``.run/manifest.json``.
    digest : what tells its done records from another run's, by :func:`caml_dask.io.manifest.digest_of`.
    """

    root: Path
    settings: Settings
    images: tuple[Image, ...]
    manifest: Mapping[str, Any]
    digest: str

    def outputs(self, image_id: str) -> Path:
        """Where an image's results stand."""
        return self.root / image_id

    def store(self, image: Image) -> DirectoryStore:
        """The tables of an image.

        Raises
        ------
        OutputError : a link stands where the folder of its tables should: what is written stays under the root.
        """
        scratch = self.root / HIDDEN / image.image_id
        if scratch.is_symlink():
            raise OutputError(f"{scratch} is a link, which a run does not follow: remove it")
        return DirectoryStore(self.root, scratch, self.outputs(image.image_id), self.digest)

    def note_failure(self, image: Image, error: BaseException) -> None:
        """Write down why an image failed, for who asks while the run goes on; that it failed does not depend on it."""
        path = self._failure(image)
        with suppress(OSError, DiskFullError):
            if not path.parent.is_symlink():  # which `store` refuses
                publish_text(path, json.dumps({"reason": str(error)}))

    def forget_failures(self) -> None:
        """Remove what :meth:`note_failure` wrote: the images are tried again."""
        for path in map(self._failure, self.images):
            if not path.parent.is_symlink():
                path.unlink(missing_ok=True)

    def failure(self, image: Image) -> str | None:
        """Why an image failed; None where it did not."""
        path = self._failure(image)
        if path.name not in names_in(path.parent):
            return None
        return str(json.loads(path.read_text(encoding="utf-8"))["reason"])

    def _failure(self, image: Image) -> Path:
        return self.root / HIDDEN / image.image_id / "failed.json"

    def ask_exports(self, formats: Sequence[str]) -> None:
        """Note formats that finished images are exported to, beside those noted before: a resumed run knows them."""
        if formats:
            publish_json(self.root / HIDDEN / _ASKED, {"formats": [*dict.fromkeys([*self.exports_asked(), *formats])]})

    def exports_asked(self) -> list[str]:
        """The formats that :meth:`ask_exports` noted; none where the note is damaged, with a warning."""
        path = self.root / HIDDEN / _ASKED
        if _ASKED not in names_in(path.parent):
            return []
        try:
            return [str(name) for name in awaited(path, read_json)["formats"]]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError) as error:
            _log.warning("%s is damaged (%s): name the formats again with --export", path, error)
            return []

    def ask_copies(self, url: Url | None) -> None:
        """Note where finished images are copied to: a resumed run knows it. None changes nothing."""
        if url is not None:
            publish_json(self.root / HIDDEN / _COPIED_TO, {"url": str(url)})

    def copies_asked(self) -> Url | None:
        """Where finished images are copied to, as :meth:`ask_copies` noted it; None for nowhere.

        Raises
        ------
        OutputError : the note is damaged.
        """
        path = self.root / HIDDEN / _COPIED_TO
        if _COPIED_TO not in names_in(path.parent):
            return None
        try:
            return Url.parse(awaited(path, read_json)["url"])
        except (ValueError, KeyError, TypeError) as error:
            raise OutputError(f"{path} is damaged ({error}): name the URL again with --out-url") from None

    @classmethod
    def open(cls, root: Path) -> Run:
        """Read a run directory's manifest.

        Raises
        ------
        OutputError : a directory that holds no run, or a manifest that is damaged or of another version.
        """
        manifest = read_manifest(root)
        if manifest is None:
            nights = sorted(night.name for night in (Path(root) / "nights").glob("*"))
            hint = f", or one of its nights, such as nights/{nights[-1]}" if nights else ""
            raise OutputError(f"{root} holds no run: name a directory that `caml-dask run --out` wrote{hint}")
        _refuse_another_format(root, manifest)
        try:
            images = tuple(_image(Path(root), entry) for entry in manifest["images"])
            return cls(Path(root), settings_in(manifest), images, manifest, digest_of(manifest))
        except (KeyError, TypeError, ValueError) as error:
            made_by = manifest.get("version", "unknown")
            raise OutputError(
                f"{root} holds a run of caml_dask {made_by}, which this version cannot continue "
                f"({error}): start over with --overwrite"
            ) from None


def settings_in(manifest: Mapping[str, Any]) -> Settings:
    """The settings that a manifest holds.

    Raises
    ------
    KeyError, TypeError, ValueError : they are of another version.
    """
    return Settings(**{**manifest["settings"], "columns": ColumnMap(**manifest["settings"]["columns"])})


def is_output_directory(folder: Path) -> bool:
    """Whether a folder is the directory of a run, of a screening, of followed clusters, or of descriptions."""
    return any(os.path.isdir(folder / mark) for mark in OUTPUT_MARKS)  # noqa: PTH112 - it never raises


def read_manifest(root: Path) -> dict[str, Any] | None:
    """The manifest of a run directory; None where there is none.

    Raises
    ------
    OutputError : a manifest that cannot be read.
    """
    path = Path(root) / HIDDEN / "manifest.json"
    try:
        return awaited(path, read_json) if path.name in names_in(path.parent) else None
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        raise OutputError(
            f"{path} is damaged ({error}): run again with --resume, or start over with --overwrite"
        ) from None


def _refuse_another_format(root: Path, manifest: Mapping[str, Any]) -> None:
    """Refuse a run of another version whose files have other names or meanings.

    Raises
    ------
    OutputError
    """
    found = manifest.get("format", 1)
    if found != FORMAT:
        raise OutputError(
            f"{root} holds a run of caml_dask {manifest.get('version', 'unknown')} in format {found}; caml_dask "
            f"{__version__} reads format {FORMAT}: read it with the version that wrote it, or start over with "
            "--overwrite"
        )


def brought_to(root: Path, url: Url) -> Path:
    """Where the file of an input by URL is, while its image is not finished."""
    return Path(root).absolute() / HIDDEN / BROUGHT / url.digest / url.name


def _image(root: Path, entry: Mapping[str, Any]) -> Image:
    """An image as a manifest holds it."""
    source, image_id = entry["path"], _safe(entry["image_id"])
    if is_url(source):
        return Image(image_id, brought_to(root, Url.parse(source)), entry["channel"], source)
    return Image(image_id, Path(source), entry["channel"])


def _safe(image_id: str) -> str:
    """An image_id as a manifest holds them: one that was tampered with cannot point outside the run."""
    if not is_image_id(image_id):
        raise ValueError(f"{image_id!r} is no image_id")
    return image_id


def is_image_id(name: str) -> bool:
    """Whether an image may be called so."""
    return _IMAGE_ID.fullmatch(name) is not None


def refuse_standing(root: Path, resume: bool, overwrite: bool) -> None:
    """Refuse a directory that holds a run, or what is left of one, unless that is to be continued or replaced.

    Raises
    ------
    OutputError
    """
    if resume or overwrite:
        return
    if "manifest.json" in names_in(root / HIDDEN):
        raise OutputError(f"{root} holds a run: continue it with --resume, or start over with --overwrite")
    if left := _left_without_manifest(root):
        raise OutputError(
            f"{root} holds {left}, but no manifest of a run: name a new directory. If the manifest of a run was lost, "
            "continue with --resume, or start over with --overwrite"
        )


def _left_without_manifest(root: Path) -> str:
    """What else stands in a run directory, in words; nothing in one whose run was killed before it had begun."""
    names = sorted(entry.name for entry in root.iterdir() if entry.name != HIDDEN) if root.is_dir() else []
    return ", ".join(names[:3]) or ("done records" if _records(root) else "")


def _records(root: Path) -> list[Path]:
    """Done records of all images, whatever run they are of."""
    return sorted((root / HIDDEN).glob("*/done/*/*/*.json"))


def prepare(root: Path, manifest: dict[str, Any], resume: bool, overwrite: bool) -> Run:
    """Start a run in `root`, or take up the one that stands there. The caller holds the lock.

    Raises
    ------
    OutputError : `root` holds a run and neither resuming nor overwriting was asked for; or a run with other settings,
        inputs, weights or version is to be resumed: the message names what differs.
    """
    refuse_standing(root, resume, overwrite)
    sweep([*root.glob(WORKING), *(root / HIDDEN).glob(WORKING)])
    stands = _taken_up(root, manifest) if resume else None
    if stands is not None:
        now = json.loads(json.dumps(manifest))
        here = dict(followed(stands, now) or stands)
        found = differences(here, now)
        if found:
            raise OutputError(f"{root} holds another run, which cannot be resumed. It differs in " + "; ".join(found))
        here |= {name: now[name] for name in ("settings", "settings_digest")}
        if here != stands:  # what workers read lies elsewhere now
            publish_json(root / HIDDEN / "manifest.json", here)
        return Run.open(root)
    _remove_run(root)
    publish_json(root / HIDDEN / "manifest.json", manifest)
    return Run.open(root)


def _taken_up(root: Path, manifest: dict[str, Any]) -> dict[str, Any] | None:
    """The manifest of the run that stands, if any; one that is damaged or lost is written anew where done records tell
    that it was this.
    """
    try:
        stands = read_manifest(root)
        left = "" if stands is not None else _left_without_manifest(root)
        if not left:
            return stands
        raise OutputError(
            f"{root} holds {left}, but nothing of a run with these inputs and settings: start over with --overwrite, "
            "or name a new directory"
        )
    except OutputError:
        path, digest = root / HIDDEN / "manifest.json", digest_of(manifest)
        for record in _records(root):
            with suppress(OSError, ValueError):
                if read_json(record).get("run") == digest:
                    _log.warning(
                        "%s was damaged or lost and is written again: the finished units belong to this run", path
                    )
                    publish_json(path, manifest)
                    return manifest
        raise


def _remove_run(root: Path) -> None:
    """Remove what an earlier run left, and nothing else: done records first, the manifest last; the lock stays."""
    for claim in (root / HIDDEN).glob("*/*.claim"):
        if locks.is_held(claim):
            raise OutputError(
                f"a process of the run in {root} is still at work ({claim.name}): wait until it has ended"
            )
    images = {entry.name for entry in (root / HIDDEN).iterdir() if entry.is_dir() and _IMAGE_ID.fullmatch(entry.name)}
    with suppress(OutputError):
        images |= {image.image_id for image in Run.open(root).images}
    for name in sorted(images):
        for directory in (root / HIDDEN / name, root / name):
            if directory.is_symlink():
                directory.unlink()
            elif directory.is_dir():
                shutil.rmtree(directory)
    for name in images if (root / EXPORTS).is_dir() and not (root / EXPORTS).is_symlink() else ():
        for file in (root / EXPORTS).glob(f"{name}_*"):
            file.unlink()
    if (root / REPORT_PAGE).exists() and (root / REPORT_TABLES).is_dir():
        shutil.rmtree(root / REPORT_TABLES)
    if (root / VIEWED).is_dir() and not (root / VIEWED).is_symlink():
        shutil.rmtree(root / VIEWED)
    tables = ("summary.json", "images.csv", "regions.csv")
    notes = (f"{HIDDEN}/{name}" for name in (_ASKED, _COPIED_TO, SHARED_PART, "manifest.json"))
    for name in (REPORT_PAGE, REPORT_METHODS, *tables, *notes):
        (root / name).unlink(missing_ok=True)


def locked(root: Path, shared: bool = False) -> AbstractContextManager[None]:
    """Hold the run directory for this process (:func:`caml_dask.locks.locked`)."""
    return locks.locked(root, HIDDEN, "run", shared)
