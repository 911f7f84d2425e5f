"""Inputs by URL: brought into the directory of the run before it begins, and removed when their images are done.

So all readers work on files, workers need neither the network nor credentials, and the manifest holds digests of what
was read. Beside each file, its pin says which object it came from; the pin stays when the file is removed.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from caml_dask.atomic import publish_json, read_json
from caml_dask.errors import CamlError, DiskFullError, OutputError, UsageError
from caml_dask.executors.pending import altered_results
from caml_dask.io.manifest import Image, content_of
from caml_dask.io.remote.inputs import fetch_input
from caml_dask.io.remote.objects import About
from caml_dask.io.remote.transfer import Places
from caml_dask.io.remote.url import Url
from caml_dask.io.run_directory import BROUGHT, HIDDEN, Run, brought_to
from caml_dask.runs.inputs import images_in, natural
from caml_dask.settings import ColumnMap

_AT_ONCE = 8  # objects
_NAMED = 5
_log = logging.getLogger("caml_dask")
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Bringing:
    """Objects that are to be inputs of a run.

    Parameters
    ----------
    urls : of the objects, each once.

    Raises
    ------
    UsageError : an object that there is not, or that the store refuses; nothing is written.
    TransferError : the store does not answer.
    """

    def __init__(self, urls: Iterable[Url]):
        self.urls = sorted(urls, key=lambda url: natural(Path(str(url))))
        self.contents: dict[str, list[int | str]] = {}  # of inputs by their URLs, once they were brought
        self._places = Places()
        names = [url.name for url in self.urls]  # refused before the store is asked
        found = at_once(self._places.about, self.urls)
        missing = [url for url, about in zip(self.urls, found, strict=True) if about is None]
        if missing:
            more = f", and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
            raise UsageError(
                f"there is no object {', '.join(map(str, missing[:_NAMED]))}{more}: correct the name"
                f"{'s'[: len(names) != 1]}, or end those of folders with a slash"
            )
        self._abouts = {url: about for url, about in zip(self.urls, found, strict=True) if about is not None}

    def images(self, root: Path, columns: ColumnMap, resume: bool) -> list[Image]:
        """Bring the objects, and say which images they hold, still without an id. The caller holds the directory.

        resume : what an unfinished run brought, and what its finished images were made of, is not brought again

        Raises
        ------
        UsageError, TransferError, DiskFullError
        """
        if not resume:
            _remove(root / HIDDEN / BROUGHT)
        finished = _finished(root) if resume else {}
        needed = [url for url in self.urls if not self._is_known(root, url, str(url) in finished)]
        self._refuse_too_large(root, needed)
        if needed:
            size = sum(self._abouts[url].size for url in needed)
            _log.info("bringing %d object%s, %.1f MiB", len(needed), "s"[: len(needed) != 1], size / 2**20)
        at_once(lambda url: self._bring(root, url), needed)
        images = []
        for url in self.urls:
            path, channels = brought_to(root, url), finished.get(str(url))
            if channels is None or url in needed:
                channels = [channel for _, channel in images_in([path], columns)]
            images += [Image("", path, channel, str(url)) for channel in channels]
        return images

    def _is_known(self, root: Path, url: Url, finished: bool) -> bool:
        """Whether an object is the one whose pin is there, and its file is too, where it is still needed."""
        try:
            pin = read_json(_pin(root, url))
            pinned = {Url.parse(text): About(*about) for text, about in pin["objects"].items()}
        except (OSError, ValueError, KeyError, TypeError):
            return False
        now = {one: self._abouts[url] if one == url else self._places.about(one) for one in pinned}
        if now != pinned or not all(about.tag for about in pinned.values()):
            return False
        if not finished and content_of(brought_to(root, url)) != pin["content"]:
            return False
        self.contents[str(url)] = pin["content"]
        return True

    def _bring(self, root: Path, url: Url) -> None:
        path = brought_to(root, url)
        _remove(path.parent)
        objects = fetch_input(self._places, url, path)
        content = content_of(path)
        if content is None:
            raise CamlError(f"{path}, where {url} was brought, cannot be read: look who removed it")
        pinned = {str(one): [about.size, about.tag] for one, about in objects.items()}
        publish_json(_pin(root, url), {"objects": pinned, "content": content})
        self.contents[str(url)] = content

    def _refuse_too_large(self, root: Path, needed: Sequence[Url]) -> None:
        size, free = sum(self._abouts[url].size for url in needed), shutil.disk_usage(root).free
        if size > free:
            raise DiskFullError(
                f"the objects have {size / 2**30:.1f} GiB, and the disk of {root} has room for {free / 2**30:.1f}: "
                "make room, name another --out, or give fewer of them"
            )


def remove_brought(image: Image) -> None:
    """Remove the file that an image was made of, where it was brought here."""
    if image.url is not None and image.path is not None:
        _remove(image.path.parent)


def at_once(do: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    """What `do` returns of each item, some at a time; the first error ends it, and what has not begun is not done."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            return list(pool.map(do, items))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _pin(root: Path, url: Url) -> Path:
    return root / HIDDEN / BROUGHT / f"{url.digest}.json"


def _remove(folder: Path) -> None:
    with suppress(FileNotFoundError):
        folder.unlink() if folder.is_symlink() else shutil.rmtree(folder)


def _finished(root: Path) -> Mapping[str, list[str | None]]:
    """The channels of inputs by URL whose images have all their results, by URL."""
    try:
        run = Run.open(root)
    except OutputError:  # what is wrong is said later
        return {}
    of_url: dict[str, list[Image]] = {}
    for image in run.images:
        if image.url is not None:
            of_url.setdefault(image.url, []).append(image)
    return {
        url: [image.channel for image in images]
        for url, images in of_url.items()
        if not any(altered_results(run.store(image)) for image in images)
    }
