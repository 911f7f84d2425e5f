"""Zeiss ELYRA text: a table separated by tabs, in latin-1, and settings of the microscope after it.

The settings are not read. The table ends before the first line that does not begin with the number of a localization;
if rows follow such a line, the file is damaged and refused.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from caml_dask.io.readers.delimited import DelimitedReader, open_delimited
from caml_dask.io.readers.reader import Reader
from caml_dask.settings import ColumnMap

_HEADER = re.compile(rb'(?:\xef\xbb\xbf)?"?Index"?\t"?First Frame"?\t')
_ROW = rb"[ \t]*\d+\t"
_POSITION = re.compile(r"Position ([XYZ]) (\[.*\])")


def begins(path: Path, head: bytes) -> bool:
    """Whether a file begins with the columns Index and First Frame."""
    return _HEADER.match(head) is not None


def opens(path: Path, head: bytes, columns: ColumnMap, settle: bool) -> DelimitedReader:
    """Open a table.

    Raises
    ------
    InputError : no rows, rows of another width than the header, or rows after a line that is none.
    """
    table = open_delimited(path, head, settle, _ROW)
    if columns.x is not None:
        return table
    names = tuple(_POSITION.sub(lambda found: f"{found[1].lower()} {found[2]}", name) for name in table.header.names)
    return replace(table, header=replace(table.header, names=names))


READER = Reader(
    name="Zeiss ELYRA",
    endings=(".txt",),
    recognized="the first columns `Index` and `First Frame`, separated by a tab",
    reads="all columns of the table; the settings after it are left out; `Channel` separates images",
    units="from the header (`Position X [nm]`)",
    export="ZEN, PALM tab: save the molecule table as .txt",
    example="cell.txt",
    begins=begins,
    opens=opens,
    channel="Channel",
)
