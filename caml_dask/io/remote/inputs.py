"""Inputs by URL as files, with what lies beside them and decides what is read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

from caml_dask.errors import InputError
from caml_dask.io.readers.formats import names_beside
from caml_dask.io.remote.objects import About
from caml_dask.io.remote.transfer import Places, fetch
from caml_dask.io.remote.url import Url, is_url


def fetch_input(places: Places, url: Url, path: Path) -> dict[Url, About]:
    """Bring an input here, and what lies beside it by its format; what the store said of each.

    Nothing is looked for beside a URL with a query: what is signed is signed for one object.

    Raises
    ------
    UsageError, TransferError, DiskFullError : as of :func:`caml_dask.io.remote.transfer.fetch`.
    """
    objects = {url: fetch(places, url, path)}
    for name in [] if url.query else names_beside(path):
        beside = url.beside(name)
        if beside != url and places.about(beside) is not None:
            objects[beside] = fetch(places, beside, path.with_name(name))
    return objects


@contextmanager
def as_file(where: str | PathLike[str]) -> Iterator[Path]:
    """The path of a file, or of a copy of an object, which is there while the context lasts.

    Raises
    ------
    InputError : there is no such object; errors of the file name the URL.
    UsageError, TransferError, DiskFullError : as of :func:`fetch_input`.
    """
    if not isinstance(where, str) or not is_url(where):
        yield Path(where)
        return
    url, places = Url.parse(where), Places()
    name = url.name
    if places.about(url) is None:
        raise InputError("there is no such object", str(url))
    with tempfile.TemporaryDirectory(prefix="caml_dask_") as folder:
        path = Path(folder) / name
        fetch_input(places, url, path)
        try:
            yield path
        except InputError as error:
            raise named_after(str(url), path, error) from None


def named_after(url: str, path: Path | None, error: InputError) -> InputError:
    """The error of a file that was brought here, with its URL in place of its path."""
    return type(error)(error.message, url, error.row) if error.path == path else error
