"""What a format declares of itself, and what an opened file of any format can do.

Each format has a file of its own with a ``READER`` at its end; :mod:`caml_dask.io.readers.formats` lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from caml_dask.io.readers.headers import Header
from caml_dask.settings import ColumnMap


class Opened(Protocol):
    """A file that was recognized, ready to be streamed as often as wanted."""

    @property
    def path(self) -> Path:
        """The file."""
        ...

    @property
    def header(self) -> Header:
        """The names of its columns."""
        ...

    @property
    def settled(self) -> bool:
        """Whether its columns have the types of all rows, and not only of the first."""
        ...

    @property
    def decimal(self) -> str:
        """Decimal mark of numbers in a column of text."""
        ...

    def batches(self, columns: Sequence[int] | None = None) -> Iterator[pa.Table]:
        """Successive tables of the columns at `columns` of the header (all by default), in that order.

        Raises
        ------
        InputError : the file is damaged, or has changed since it was opened.
        """
        ...


Begins = Callable[[Path, bytes], bool]
Opens = Callable[[Path, bytes, ColumnMap, bool], Opened]


@dataclass(frozen=True)
class Reader:
    """A format: how its files are recognized, and what is read from them.

    Content decides which reader takes a file. Endings only choose files from folders, and say what a damaged file
    should have been.

    Parameters
    ----------
    name : str
        What users call the format.
    endings : tuple of str
        How its files are usually named, in lower case, with the dot.
    recognized : str
        By what a file is recognized, in words.
    reads : str
        What is read from it, in words.
    units : str
        Where the units come from, in words.
    export : str
        How a user gets such a file from the program.
    example : str
        A name of a file, and options that it needs, as on the command line of `caml-dask run`.
    begins : callable or None
        Whether a file is of the format: from its path and first bytes. None for delimited text, see `columns`.
    opens : callable or None
        Opens a file that `begins` recognized: from its path, first bytes, column map, and whether the types of its
        columns are to be settled.
    columns : callable or None
        Of delimited text: whether a header is of the format.
    renamed : mapping of str to str
        Of delimited text: names that columns get where no map names the coordinates, by their names in the file.
    channel : str or None
        The column that separates channels, each of which is an image.
    sidecars : tuple of str
        Endings of files beside it, with the same stem, that decide what is read. They count in the input's digest.
    from_folders : tuple of str
        Endings by which files are taken from a folder.
    """

    name: str
    endings: tuple[str, ...]
    recognized: str
    reads: str
    units: str
    export: str
    example: str
    begins: Begins | None = None
    opens: Opens | None = None
    columns: Callable[[Header], bool] | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)
    channel: str | None = None
    sidecars: tuple[str, ...] = ()
    from_folders: tuple[str, ...] = ()
