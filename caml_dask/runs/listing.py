"""The objects that URLs mean: one each, those below a prefix, or those that match a pattern."""

from __future__ import annotations

import glob
import logging
from collections.abc import Sequence
from fnmatch import fnmatchcase

from caml_dask.errors import UsageError
from caml_dask.io.readers.formats import FOLDER_ENDINGS, taken_from_folders
from caml_dask.io.remote.transfer import Places
from caml_dask.io.remote.url import S3, Url

COPY_MARK = "caml-dask.json"
"""The object by which the copies of a run are known: below its prefix are results, not inputs."""
_log = logging.getLogger("caml_dask")


def objects_of(url: Url, places: Places) -> list[Url]:
    """The objects that a URL means, in the order of their keys.

    One that ends with a slash means the objects below it whose names end as those of tables do; a pattern with ``*``,
    ``?`` or ``[...]`` behind s3:// those that match it, ``**`` any folders. Hidden ones, and the copies of earlier
    runs, are left out. Any other URL means the object that it names, which is not looked for.

    Raises
    ------
    UsageError : there is none; or a web server is to be listed.
    TransferError : the store does not answer.
    """
    if url.scheme != S3:
        if url.key.endswith("/") or not url.key:
            raise UsageError(f"{url} is a folder of a web server, which cannot be listed: give the URLs of its files")
        return [url]
    folder = not url.key or url.key.endswith("/")
    if not folder and (not glob.has_magic(url.key) or places.about(url) is not None):
        return [url]
    wanted = ["**", "*"] if folder else _pattern(url.key)
    fixed = url.key if folder else _fixed(url.key)
    found = places.bucket(url).names_below(url.at(fixed))
    left_out = [key.removesuffix(COPY_MARK) for key in found if key.rpartition("/")[2] == COPY_MARK]
    keys = [
        key
        for key in sorted(found)
        if key.startswith(fixed)
        and _fits(key[len(fixed) :].split("/"), wanted)
        and not any(key.startswith(prefix) for prefix in left_out)
        and (not folder or taken_from_folders(key))
    ]
    if not keys:
        of = f"no object that ends in {', '.join(FOLDER_ENDINGS)}" if folder else "no object that matches"
        raise UsageError(f"{url}: there is {of}: name objects, or correct the URL")
    _log.info("%s: %d object%s", url, len(keys), "s"[: len(keys) != 1])
    return [url.at(key) for key in keys]


def _fixed(key: str) -> str:
    """The folder of a pattern that holds all that can match it."""
    parts = key.split("/")
    return "".join(f"{part}/" for part in parts[: next(i for i, part in enumerate(parts) if glob.has_magic(part))])


def _pattern(key: str) -> list[str]:
    """The parts of a pattern below its fixed folder."""
    parts = key[len(_fixed(key)) :].split("/")
    return [*parts, "*"] if parts[-1] == "**" else parts


def _fits(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether the parts of a key match those of a pattern."""
    if not pattern or not parts:
        return not pattern and not parts
    if pattern[0] == "**" and _fits(parts, pattern[1:]):
        return True
    if parts[0].startswith(".") and not pattern[0].startswith("."):
        return False
    rest = pattern if pattern[0] == "**" else pattern[1:]
    return (pattern[0] == "**" or fnmatchcase(parts[0], pattern[0])) and _fits(parts[1:], rest)
