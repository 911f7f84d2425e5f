"""Finished images copied to a bucket, each with a record that is written last: what has one is whole.

URL/caml-dask.json                   which run this is a copy of
URL/<image_id>/...                   the files of an image, then complete.json
URL/export/..., images.csv, regions.csv, summary.json
"""

from __future__ import annotations

import hashlib
import json
import logging
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from caml_dask import __version__
from caml_dask.atomic import WORKING, parsed, sealed
from caml_dask.errors import CamlError, OutputError, UsageError
from caml_dask.executors.pending import units_by_stage
from caml_dask.io.manifest import Image
from caml_dask.io.remote.transfer import Places, read_text, send_file, send_text
from caml_dask.io.remote.url import S3, Url
from caml_dask.io.run_directory import EXPORTS, Run, is_image_id
from caml_dask.pipeline import LAST
from caml_dask.runs.listing import COPY_MARK

if TYPE_CHECKING:
    from caml_dask.runs.session import Outcome

COMPLETE = "complete.json"
"""The last object of an image: the names, sizes and SHA-256 of the others."""
_TABLES = ("images.csv", "regions.csv", "summary.json")
_AT_ONCE = 4  # images
_log = logging.getLogger("caml_dask")


class Target:
    """Where copies go.

    Parameters
    ----------
    url : s3://BUCKET/PREFIX.

    Raises
    ------
    UsageError : another URL.
    """

    def __init__(self, url: Url):
        if url.scheme != S3:
            raise UsageError(f"{url} cannot be written to: give --out-url an s3://BUCKET/PREFIX")
        self.url = url.at(url.key.rstrip("/"))
        self.places = Places()
        self.bucket = self.places.bucket(url)

    def at(self, name: str) -> Url:
        """The URL of an object below the prefix."""
        return self.url.at(f"{self.url.key}/{name}".lstrip("/"))

    def read(self, name: str) -> dict[str, Any] | None:
        """A record below the prefix; None where there is none, or a damaged one."""
        text = read_text(self.places, self.at(name))
        with suppress(ValueError):
            return None if text is None else parsed(text)
        return None

    def refuse_standing(self, resume: bool, overwrite: bool) -> None:
        """Refuse a prefix below which something is, unless that is to be continued or replaced.

        Raises
        ------
        OutputError : there is something.
        UsageError : there is no such bucket, or the store refuses.
        TransferError : it does not answer.
        """
        there = self.bucket.names_below(self.at(""), deep=False)
        marked = self.at(COPY_MARK).key in there
        if there and not marked:
            raise OutputError(f"{self.url} holds other objects: name an empty prefix with --out-url")
        if marked and not resume and not overwrite:
            raise OutputError(f"{self.url} holds a run: continue it with --resume, or start over with --overwrite")

    def claim(self, run: Run, overwrite: bool) -> None:
        """Write down of which run the copies are; `overwrite` removes those of another one.

        Raises
        ------
        OutputError : they are of another run, and are not to be replaced.
        """
        mark = {"run": run.digest, "caml_dask": __version__}
        stands = self.read(COPY_MARK)
        if stands is not None and stands.get("run") != run.digest:
            if not overwrite:
                raise OutputError(f"{self.url} holds another run: name another --out-url, or replace with --overwrite")
            self._empty()
        send_text(self.places, sealed(mark), self.at(COPY_MARK))

    def _empty(self) -> None:
        """Remove what an earlier run left, and nothing else: of each image the record that it is whole first."""
        there = {key.rpartition("/")[2] for key in self.bucket.names_below(self.at(""), deep=False)}
        for name in sorted(there):
            if is_image_id(name):
                self.bucket.remove(self.at(f"{name}/{COMPLETE}"))
            if is_image_id(name) or name == EXPORTS:
                self.bucket.remove_folder(self.at(f"{name}/"))
            elif name in _TABLES:
                self.bucket.remove(self.at(name))


class Copies:
    """The images of a run on their way to a bucket. Use it as a context."""

    def __init__(self, run: Run, target: Target):
        self._run, self._target = run, target
        self._pool = ThreadPoolExecutor(_AT_ONCE)
        self._sent: dict[str, Future[None]] = {}

    def __enter__(self) -> Copies:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def send(self, image: Image) -> None:
        """Copy a finished image, while the run goes on."""
        self._sent[image.image_id] = self._pool.submit(self._send, image)

    def finish(self, outcome: Outcome) -> Outcome:
        """The outcome of the run once all is copied, the tables of the run too; it says what could not be."""
        failed = dict[str, str]()
        if left := sum(not sent.done() for sent in self._sent.values()):
            _log.info("copying %d image%s to %s", left, "s"[: left != 1], self._target.url)
        for image_id, sent in self._sent.items():
            try:
                sent.result()
            except (CamlError, OSError) as error:
                failed[image_id] = str(error)
        _log.info("%d of %d images copied to %s", len(self._sent) - len(failed), len(self._sent), self._target.url)
        root = self._run.root
        exported = sorted((root / EXPORTS).glob("*")) if (root / EXPORTS).is_dir() else []
        for file in [*exported, *(root / name for name in _TABLES if (root / name).is_file())]:
            name = file.relative_to(root).as_posix()
            try:
                send_file(self._target.places, file, self._target.at(name))
            except (CamlError, OSError) as error:
                failed[name] = str(error)
        return replace(outcome, not_copied=failed)

    def _send(self, image: Image) -> None:
        """Copy an image, unless its copy is whole: its record is removed first and written last."""
        record, about = f"{image.image_id}/{COMPLETE}", self._state(image)
        stands = self._target.read(record)
        if stands is not None and stands.get("results") == about and self._stand(image, stands):
            return
        if stands is not None:
            self._target.bucket.remove(self._target.at(record))
        folder, files = self._run.outputs(image.image_id), {}
        for file in sorted(file for file in folder.rglob("*") if file.is_file() and not _is_working(file)):
            name = file.relative_to(folder).as_posix()
            sent = send_file(self._target.places, file, self._target.at(f"{image.image_id}/{name}"))
            files[name] = {"bytes": sent.size, "sha256": sent.sha256}
        whole = {"image_id": image.image_id, "path": image.source, "results": about, "files": files}
        send_text(self._target.places, sealed(whole, indent=1), self._target.at(record))

    def _stand(self, image: Image, record: dict[str, Any]) -> bool:
        """Whether all objects that a record names are there, in their sizes."""
        folder = self._target.at(f"{image.image_id}/")
        sizes = self._target.bucket.names_below(folder)
        return all(sizes.get(f"{folder.key}{name}") == stated["bytes"] for name, stated in record["files"].items())

    def _state(self, image: Image) -> str:
        """A digest of the digests that the done records have of an image's results."""
        store = self._run.store(image)
        files: dict[str, Any] = {}
        for stage, unit in units_by_stage(store.made(LAST.name, 0)):
            files |= store.made(stage, unit)["files"]
        ours = {name: stated for name, stated in files.items() if name.startswith(f"{image.image_id}/")}
        return hashlib.blake2b(json.dumps(ours, sort_keys=True).encode(), digest_size=16).hexdigest()


def _is_working(file: Path) -> bool:
    return any(fnmatch(part, WORKING) for part in file.parts)
