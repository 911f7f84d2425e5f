"""Objects brought here and files sent there, compared by size and digest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock

from caml_dask.atomic import publish
from caml_dask.errors import TransferError
from caml_dask.io.remote.objects import BLOCK_BYTES, About, RemoteObject
from caml_dask.io.remote.retries import PassingError, Patience
from caml_dask.io.remote.s3 import Bucket
from caml_dask.io.remote.url import S3, Url
from caml_dask.io.remote.web import open_web

_UPLOADS = 3  # of one file that did not arrive as it was sent


class Places:
    """Where objects lie: each bucket is opened once."""

    def __init__(self) -> None:
        self._buckets: dict[str, Bucket] = {}
        self._lock = Lock()

    def bucket(self, url: Url) -> Bucket:
        """The bucket of an s3:// URL."""
        with self._lock:
            if url.place not in self._buckets:
                self._buckets[url.place] = Bucket(url.place)
            return self._buckets[url.place]

    def open(self, url: Url) -> RemoteObject | None:
        """An object, to be read; None where there is none.

        Raises
        ------
        UsageError : the store refuses.
        TransferError : it does not answer.
        """
        return self.bucket(url).open(url) if url.scheme == S3 else open_web(url)

    def about(self, url: Url) -> About | None:
        """What a store says of an object; None where there is none. Errors as of :meth:`open`."""
        found = self.open(url)
        if found is None:
            return None
        found.close()
        return found.about


def fetch(places: Places, url: Url, path: Path) -> About:
    """Bring an object here, as a file that stands whole or not at all; a connection that breaks is taken up again.

    Returns
    -------
    About : what the store said of it, before and after.

    Raises
    ------
    UsageError : the store refuses.
    TransferError : it does not answer, has no such object any more, or another one than in the beginning.
    DiskFullError : no room is left.
    """
    found = places.open(url)
    if found is None:
        raise TransferError(f"{url} was removed after it had been found: correct the URL")
    try:
        publish(path, lambda working: _save(url, found, working))
    finally:
        found.close()
    if url.scheme == S3 and places.about(url) != found.about:
        raise TransferError(f"{url} changed while it was read: call again")
    return found.about


def _save(url: Url, found: RemoteObject, path: Path) -> None:
    with path.open("wb") as file:
        for block in read_all(url, found):
            file.write(block)


@dataclass(frozen=True)
class Content:
    """What a file holds, so far as it is compared.

    size : in bytes
    sha256 : hexadecimal
    tags : the ETags that a store gives it which tags by MD5, sent in one piece or in parts of BLOCK_BYTES
    """

    size: int
    sha256: str
    tags: tuple[str, ...]

    @classmethod
    def of(cls, blocks: Iterator[bytes]) -> Content:
        """The content that successive blocks hold."""
        whole, size, parts = hashlib.sha256(), 0, []
        for block in blocks:
            whole.update(block)
            left = memoryview(block)
            while left:
                if size % BLOCK_BYTES == 0:
                    parts.append(_md5())
                piece = left[: BLOCK_BYTES - size % BLOCK_BYTES]
                parts[-1].update(piece)
                size, left = size + len(piece), left[len(piece) :]
        parts = parts or [_md5()]
        joined = _md5(b"".join(part.digest() for part in parts)).hexdigest()
        alone = (parts[0].hexdigest(),) if len(parts) == 1 else ()
        return cls(size, whole.hexdigest(), (f"{joined}-{len(parts)}", *alone))


def _md5(data: bytes = b"") -> hashlib._Hash:
    return hashlib.md5(data, usedforsecurity=False)


def send_file(places: Places, path: Path, url: Url) -> Content:
    """Send a file to a bucket; see :func:`send`."""
    return send(places, partial(_blocks_of, path), url)


def send_text(places: Places, text: str, url: Url) -> Content:
    """Send a text to a bucket; see :func:`send`."""
    return send(places, lambda: iter([text.encode()]), url)


def send(places: Places, blocks: Callable[[], Iterator[bytes]], url: Url) -> Content:
    """Send what `blocks` yields to a bucket, unless it is there; what is there afterwards is compared with it.

    The store's ETag says what arrived where it is an MD5, as it is without encryption by keys of the user's own; where
    it is another, the object is read back.

    Raises
    ------
    UsageError : the store refuses.
    TransferError : it does not answer, or keeps something else than was sent.
    """
    content = Content.of(blocks())
    for _ in range(_UPLOADS):
        if _arrived(places, content, url):
            return content
        places.bucket(url).write(url, blocks)
    if not _arrived(places, content, url):
        raise TransferError(f"{url} is not what was sent, {_UPLOADS} times: look at the store, and call with --resume")
    return content


def read_text(places: Places, url: Url) -> str | None:
    """A small text; None where there is no such object, or one that is no such text.

    Raises
    ------
    UsageError : the store refuses.
    TransferError : it does not answer.
    """
    found = places.open(url)
    if found is None:
        return None
    try:
        if found.about.size > BLOCK_BYTES:
            return None
        return b"".join(read_all(url, found)).decode(errors="replace")
    finally:
        found.close()


def _arrived(places: Places, content: Content, url: Url) -> bool:
    """Whether an object holds just this."""
    found = places.open(url)
    if found is None:
        return False
    try:
        if found.about.size != content.size:
            return False
        return found.about.tag in content.tags or Content.of(read_all(url, found)).sha256 == content.sha256
    finally:
        found.close()


def read_all(url: Url, found: RemoteObject) -> Iterator[bytes]:
    """All blocks of an object; what fails is tried again.

    Raises
    ------
    UsageError, TransferError
    """
    patience, received = Patience(f"reading {url}"), 0
    while received < found.about.size:
        try:
            for block in found.blocks(received):
                received += len(block)
                patience.progressed()
                yield block
            if received < found.about.size:
                raise PassingError(f"it ended after {received} of {found.about.size} bytes")
        except PassingError as error:
            patience.wait(error)


def _blocks_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block
