"""Buckets of S3, and of stores that speak it, through Arrow.

All that says who asks and where comes from the environment, by the names that other clients of S3 know.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from caml_dask.errors import UsageError
from caml_dask.io.remote.objects import BLOCK_BYTES, About
from caml_dask.io.remote.retries import PassingError, persist
from caml_dask.io.remote.url import Url

if TYPE_CHECKING:
    from pyarrow.fs import S3FileSystem

_ATTEMPTS = 5  # of one request, by Arrow
_CONNECT_S, _SILENT_S = 10.0, 30.0
_CODE = re.compile(r"AWS Error ([A-Z_]+)(?: \(HTTP status (\d+)\))?")
_REFUSED = {
    "ACCESS_DENIED",
    "INCOMPLETE_SIGNATURE",
    "INVALID_ACCESS_KEY_ID",
    "INVALID_CLIENT_TOKEN_ID",
    "MISSING_AUTHENTICATION_TOKEN",
    "REQUEST_EXPIRED",
    "SIGNATURE_DOES_NOT_MATCH",
    "UNRECOGNIZED_CLIENT",
}
_MISSING = {"NO_SUCH_BUCKET", "NO_SUCH_KEY", "RESOURCE_NOT_FOUND"}
_PASSING_4XX = {408, 409, 425, 429}
_SECRET = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_Result = TypeVar("_Result")


class Bucket:
    """The objects of a bucket, each operation tried again where it may help.

    Raises
    ------
    UsageError : Arrow was built without S3, or the environment names an endpoint that is none.
    """

    def __init__(self, name: str):
        self._name = name
        self._files = _file_system(name)

    def open(self, url: Url) -> S3Object | None:
        """An object, to be read; None where there is none, or no such bucket.

        Raises
        ------
        UsageError : the store refuses.
        TransferError : it does not answer.
        """
        with suppress(FileNotFoundError):
            file = self._persist(f"opening {url}", url, lambda: self._files.open_input_file(self._path(url)))
            return S3Object(url, file)
        return None

    def write(self, url: Url, blocks: Callable[[], Iterable[bytes]]) -> None:
        """Write an object from `blocks`, which is called anew for each try; it appears when all of it has come.

        Raises
        ------
        UsageError : the store refuses.
        TransferError : it does not answer.
        """

        def attempt() -> None:
            with self._files.open_output_stream(self._path(url)) as stream:
                for block in blocks():
                    stream.write(block)

        self._persist(f"writing {url}", url, attempt)

    def names_below(self, url: Url, deep: bool = True) -> dict[str, int]:
        """Keys of the objects below a prefix, which ends at a slash or is empty, and their sizes in bytes.

        deep : also in what looks like folders; if not, these are listed with size 0

        Raises
        ------
        UsageError : there is no such bucket, or the store refuses.
        TransferError : it does not answer.
        """
        from pyarrow.fs import FileSelector, FileType

        wanted = FileSelector(self._path(url).rstrip("/"), recursive=deep)
        found = []
        with suppress(FileNotFoundError):
            found = self._persist(f"listing {url}", url, lambda: self._files.get_file_info(wanted))
        kept = [info for info in found if not deep or info.type == FileType.File]
        return {info.path.partition("/")[2]: info.size or 0 for info in kept}

    def remove(self, url: Url) -> None:
        """Remove an object; none is no error."""

        def attempt() -> None:
            with suppress(FileNotFoundError):
                self._files.delete_file(self._path(url))

        self._persist(f"removing {url}", url, attempt)

    def remove_folder(self, url: Url) -> None:
        """Remove all objects below a prefix, which ends at a slash; none is no error."""

        def attempt() -> None:
            with suppress(FileNotFoundError):
                self._files.delete_dir(self._path(url).rstrip("/"))

        self._persist(f"removing {url}", url, attempt)

    def _path(self, url: Url) -> str:
        return f"{self._name}/{url.key}"

    @staticmethod
    def _persist(what: str, url: Url, attempt: Callable[[], _Result]) -> _Result:
        return persist(what, lambda: _in_words(url, attempt))


class S3Object:
    """An object of a bucket, opened to be read."""

    def __init__(self, url: Url, file: Any):
        self._url, self._file = url, file
        tag = file.metadata().get("ETag", b"").decode("latin-1").strip('"')
        self.about = About(file.size(), tag)

    def blocks(self, start: int) -> Iterator[bytes]:
        """Its bytes from `start` on; each block is a request of its own.

        Raises
        ------
        PassingError, UsageError
        """
        for offset in range(start, self.about.size, BLOCK_BYTES):
            length = min(BLOCK_BYTES, self.about.size - offset)
            yield _in_words(self._url, partial(self._file.read_at, length, offset))

    def close(self) -> None:
        """Read no more of it."""
        self._file.close()


def _file_system(bucket: str) -> S3FileSystem:
    try:
        from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem
    except ImportError:
        raise UsageError(
            "s3:// URLs need Arrow with S3, which this pyarrow lacks: install pyarrow from PyPI, or copy the files here"
        ) from None
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    place: dict[str, str] = {}
    if endpoint:
        scheme, _, host = endpoint.rpartition("://")
        if scheme not in ("", "http", "https") or "@" in host or not host.strip("/"):
            raise UsageError(
                "AWS_ENDPOINT_URL names no endpoint: give it as https://HOST or http://HOST:PORT, without credentials"
            )
        place = {"scheme": scheme or "https", "endpoint_override": host.rstrip("/")}
    return S3FileSystem(
        region=_region(bucket, bool(endpoint)),
        anonymous=os.environ.get("AWS_NO_SIGN_REQUEST", "").lower() in ("yes", "true", "1"),
        background_writes=False,  # in the background, Arrow would hold in memory what is not sent yet
        connect_timeout=_CONNECT_S,
        request_timeout=_SILENT_S,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
        **place,
    )


def _region(bucket: str, elsewhere: bool) -> str | None:
    """The region that the environment names, or else that AWS knows the bucket in; None leaves it to Arrow."""
    from pyarrow.fs import resolve_s3_region

    named = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if named or elsewhere:
        return named or "us-east-1"
    try:
        return str(resolve_s3_region(bucket))
    except OSError:  # the first request says what is wrong
        return None


def _in_words(url: Url, attempt: Callable[[], _Result]) -> _Result:
    """What `attempt` returns.

    Raises
    ------
    FileNotFoundError : there is no such object.
    UsageError : the store refuses for good.
    PassingError : another time it may answer.
    """
    try:
        return attempt()
    except FileNotFoundError:
        raise
    except OSError as error:
        found = _CODE.search(str(error))
        code, status = ("", 0) if found is None else (found[1], int(found[2] or 0))
        if code in _MISSING:
            raise UsageError(f"{url}: there is no bucket {url.place!r}: correct the name, or make it") from None
        if code in _REFUSED or status in (401, 403):
            raise UsageError(
                f"{url}: the store refuses these credentials ({code or status}): check AWS_ACCESS_KEY_ID, "
                "AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN or AWS_PROFILE, and what they are allowed; for a public "
                "bucket set AWS_NO_SIGN_REQUEST=YES"
            ) from None
        said = _without_secrets(str(error))
        if 300 <= status < 500 and status not in _PASSING_4XX:
            raise UsageError(f"{url}: the store refuses the request: {said}") from None
        raise PassingError(said) from None


def _without_secrets(text: str) -> str:
    for name in _SECRET:
        if value := os.environ.get(name):
            text = text.replace(value, "***")
    return text
