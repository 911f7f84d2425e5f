"""URLs of objects, without what may be secret of them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from caml_dask.errors import UsageError

S3, WEB = "s3", ("https", "http")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_USER = re.compile(r"[^/?#]*@")
_S3_QUERY = re.compile(r"\?[^/]*=")  # other question marks of s3:// are wildcards
_LONGEST_NAME = 200  # bytes; file systems take 255


def is_url(text: str) -> bool:
    """Whether a text is a URL and no path."""
    return _SCHEME.match(text) is not None


def shown(text: str) -> str:
    """A URL as it may be printed: without user, password and query, which may be secrets; other text as it is."""
    found = _SCHEME.match(text)
    if found is None:
        return text
    rest = _USER.sub("", text[found.end() :], count=1) if _USER.match(text, found.end()) else text[found.end() :]
    query = _S3_QUERY if found[1].lower() == S3 else re.compile(r"[?#]")
    return found[0] + rest[: cut.start() if (cut := query.search(rest)) else None]


@dataclass(frozen=True, order=True)
class Url:
    """The address of an object, or of the objects below a prefix.

    Parameters
    ----------
    scheme : s3, https or http.
    place : the bucket, or the host with its port.
    key : the object's key, or its path on the host as the URL has it.
    query : of https, as of URLs that are signed beforehand; no part of the text of a URL, nor of what it equals.
    """

    scheme: str
    place: str
    key: str
    query: str = field(default="", repr=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> Url:
        """Read a URL.

        Raises
        ------
        UsageError : a scheme that is not known, a user or password, no bucket or host; nothing secret is repeated.
        """
        found = _SCHEME.match(text)
        scheme = "" if found is None else found[1].lower()
        if found is None or scheme not in (S3, *WEB):
            raise UsageError(
                f"{shown(text)} cannot be opened: give an s3:// or https:// URL (stores that speak S3 are found by "
                "AWS_ENDPOINT_URL), or mount the store and give a path"
            )
        rest = text[found.end() :]
        if _USER.match(rest):
            raise UsageError(
                f"{shown(text)} was given with a user or password: leave them out, and set the environment variables "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        if scheme == S3 and _S3_QUERY.search(rest):
            raise UsageError(
                f"{shown(text)} was given with settings behind a question mark: leave them out, and set the "
                "environment variables AWS_ENDPOINT_URL, AWS_REGION and those of the credentials"
            )
        query = ""
        if scheme in WEB:
            rest, _, query = rest.partition("#")[0].partition("?")
        place, _, key = rest.partition("/")
        if not place:
            raise UsageError(f"{shown(text)} names no {'bucket' if scheme == S3 else 'host'}: add it")
        return cls(scheme, place, key, query)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.place}/{self.key}"

    @property
    def name(self) -> str:
        """The name of the object as a file: what comes behind the last slash.

        Raises
        ------
        UsageError : it can be the name of no file.
        """
        key = self.key if self.scheme == S3 else unquote(self.key)
        name = key.rpartition("/")[2]
        if name in ("", ".", "..") or "\0" in name or len(name.encode()) > _LONGEST_NAME:
            raise UsageError(f"{self} has no name that a file can have: give an object under another name")
        return name

    @property
    def digest(self) -> str:
        """What its files here are named after: 16 hexadecimal digits."""
        return hashlib.blake2b(str(self).encode(), digest_size=8).hexdigest()

    def at(self, key: str) -> Url:
        """The URL of another key in the same place."""
        return Url(self.scheme, self.place, key, self.query)

    def beside(self, name: str) -> Url:
        """The URL of another name in the same folder."""
        return self.at(f"{self.key.rpartition('/')[0]}/{name}".lstrip("/"))
