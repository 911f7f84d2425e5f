"""Streams of tables from delimited text, in blocks cut at line ends and parsed by pyarrow.

A file is never held whole. Its columns' types are those of all its rows, not of the first, because a column that
turns from integers to decimals, or to text, in its last row must neither fail the read nor change type between two
tables. A column is int64, float64 or text. To be settled about the types a file is read once through for them; where it
is not, the types are those of the first block, and a later one that they do not hold is told of by an error.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from caml_dask.errors import ContradictedError, InputError, UnreadableError
from caml_dask.io.readers.coordinates import NULLS
from caml_dask.io.readers.dialect import BLANKS, HEAD_BYTES, Dialect, is_utf8, sniff, squeeze_blanks
from caml_dask.io.readers.headers import Header

BLOCK_BYTES = 8 << 20

_LONGEST_LINE = 64 << 20
_PARSE_BYTES = 1 << 20
# Each can hold all that those before it can.
_LADDER = (pa.null(), pa.int64(), pa.float64(), pa.string())


@dataclass(frozen=True)
class DelimitedReader:
    """One delimited file, ready to be streamed as often as wanted; it can be pickled.

    Parameters
    ----------
    path : the file.
    dialect : how it is written.
    header : the names of its columns, without empty ones at the end.
    types : of those columns.
    settled : the types are those of all rows; if not, of the rows of the first block.
    empty : positions of the columns, of all that rows have, that hold nothing in those rows.
    """

    path: Path
    dialect: Dialect
    header: Header
    types: tuple[pa.DataType, ...]
    settled: bool = True
    empty: tuple[int, ...] = ()

    @property
    def decimal(self) -> str:
        """Decimal mark of numbers that stand in a column of text."""
        return self.dialect.decimal

    def batches(self, columns: Sequence[int] | None = None) -> Iterator[pa.Table]:
        """Successive tables of the columns at `columns` of the header (all by default), in that order.

        Raises
        ------
        InputError : the file has changed since it was opened, or cannot be read.
        ContradictedError : the reader is not settled, and the types do not hold all rows of the columns.
        """
        chosen = list(range(len(self.types)) if columns is None else columns)
        types = {i: self.types[i] for i in chosen}
        rows = 0
        for block in _blocks(self.path, self.dialect):
            if self.settled:
                table = _parse_or_explain(self.path, block, self.dialect, types, rows)
            else:
                table = self._parse_unsettled(block, types, whole=columns is None)
            rows += table.num_rows
            yield table

    def _parse_unsettled(self, block: bytes, types: dict[int, pa.DataType], whole: bool) -> pa.Table:
        watched = [i for i in self.empty if whole or i in types]
        table = None
        if self.dialect.encoding != "utf-8" or is_utf8(block):
            table = _parse_if_it_holds(block, self.dialect, {**types, **dict.fromkeys(watched, pa.string())})
        if table is None or not all(pc.all(pc.is_in(table[str(i)], pa.array(NULLS))).as_py() for i in watched):
            raise ContradictedError(f"{self.path}: the types of its first rows do not hold all")
        return table.select([str(i) for i in types])


def open_delimited(path: Path, head: bytes, settle: bool = True, row: bytes | None = None) -> DelimitedReader:
    """Find out how the file is written and what its columns hold.

    Parameters
    ----------
    head : its first `HEAD_BYTES` bytes, or all of it.
    settle : read it once through, for types that hold all rows.
    row : what every row begins with, of a table with a footer; see `Dialect`.

    Raises
    ------
    InputError : no table of text, no rows, a row of another width than the header, or a quote left open.
    """
    whole = len(head) < HEAD_BYTES
    if row is not None:
        rows_at = _after_first_line(head)
        end = _footer_at(head[rows_at:], row)
        head, whole = (head, whole) if end is None else (head[: rows_at + end], True)
    dialect, names, numbered = sniff(path, head, whole=whole)
    return open_as(path, replace(dialect, row=row), names, numbered, settle)


def open_as(
    path: Path, dialect: Dialect, names: tuple[str, ...], numbered: bool = False, settle: bool = True
) -> DelimitedReader:
    """Find out what the columns hold of a file that is known how it is written.

    Parameters
    ----------
    names : of the columns, "" where one has none.
    numbered : the file has no header, or only a commented one.

    Raises
    ------
    InputError : no rows, a row of another width, or a quote left open.
    """
    types, dialect, settled = _scan(path, dialect, settle)
    empty = tuple(i for i, kind in enumerate(types) if kind == pa.null())
    width = dialect.width
    # Unnamed columns without content at the end are what trailing delimiters make.
    while width and not names[width - 1] and types[width - 1] == pa.null():
        width -= 1
    held = tuple(pa.string() if kind == pa.null() else kind for kind in types[:width])
    return DelimitedReader(
        path, dialect, Header(path, names[:width], numbered), held, settled, () if settled else empty
    )


def _scan(path: Path, dialect: Dialect, settle: bool) -> tuple[list[pa.DataType], Dialect, bool]:
    """The types that hold every cell of each column, the dialect with the encoding of every byte, and whether it does.

    If not to be settled, of the first block alone; a file of one block always is.
    """
    types = [pa.null()] * dialect.width
    rows = 0
    for block in _blocks(path, dialect):
        if rows and not settle:
            return types, dialect, False
        if dialect.encoding == "utf-8" and not is_utf8(block):
            dialect = replace(dialect, encoding="latin-1")
        # Text stays text, so only its width is looked at; one column at least makes the parser count rows.
        open_types = {i: t for i, t in enumerate(types) if t != pa.string()} or {0: pa.string()}
        table = _parse_if_it_holds(block, dialect, open_types) if rows else None
        if table is None:
            table = _parse_or_explain(path, block, dialect, dict.fromkeys(open_types), rows)
            for i, column in zip(open_types, table.columns, strict=True):
                types[i] = _LADDER[max(_rung(types[i]), _rung(column.type))]
        rows += table.num_rows
    if rows == 0:
        raise InputError("has a header and no localizations", path)
    return types, dialect, True


def _rung(kind: pa.DataType) -> int:
    """Place on the ladder of types; dates, times and the like are kept as they are written, as text."""
    return _LADDER.index(kind) if kind in _LADDER else _LADDER.index(pa.string())


def _blocks(path: Path, dialect: Dialect) -> Iterator[bytes]:
    """The rows of the file in blocks of about `BLOCK_BYTES` that end with a line, as they are written."""
    rest = b""
    try:
        with path.open("rb") as file:
            file.seek(dialect.start)
            while read := file.read(BLOCK_BYTES):
                block = rest + read
                cut = _last_line_end(block, dialect.line_end)
                rest = block[cut:]
                if len(rest) > _LONGEST_LINE:
                    size = _LONGEST_LINE >> 20
                    raise InputError(f"no row ends within {size} MB: a quote left open, or no table", path)
                end = _footer_at(block[:cut], dialect.row)
                if end is not None:
                    yield from filter(bytes.strip, [block[:end]])
                    _refuse_rows_in_footer(path, dialect, block[end:], file)
                    return
                if block[:cut].strip():
                    yield block[:cut]
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror or error}", path) from error
    if _footer_at(rest, dialect.row) is not None:
        return
    if rest.count(b'"') % 2:
        raise InputError("a quote is opened and not closed: correct or remove it", path)
    if rest.strip():
        yield rest


def _after_first_line(head: bytes) -> int:
    """Where the second line that is not empty begins, or the end."""
    first = re.search(rb"\S[^\r\n]*[\r\n]+", head)
    return first.end() if first else len(head)


def _footer_at(block: bytes, row: bytes | None) -> int | None:
    """Where the first line begins that is no row, in a block that begins with a line."""
    if row is None or not block:
        return None
    found = re.search(rb"^(?!" + row + rb")", block, re.MULTILINE)
    return found.start() if found and found.start() < len(block) else None


def _refuse_rows_in_footer(path: Path, dialect: Dialect, block: bytes, file: BinaryIO) -> None:
    """Refuse a table with rows after its footer: what seemed a footer is a damaged row.

    Raises
    ------
    InputError
    """
    row = re.compile(rb"^" + (dialect.row or b"") + rb"[^\r\n]*\t", re.MULTILINE)
    while block:
        if row.search(block):
            said = block.splitlines()[0][:60].decode("latin-1")
            raise InputError(f"a line begins with {said!r}, which is no row, and rows follow it: it is damaged", path)
        block = file.read(BLOCK_BYTES)


def _last_line_end(block: bytes, line_end: bytes) -> int:
    """Where the last row of `block` that is not inside quotes ends; 0 if there is none."""
    cut = block.rfind(line_end) + 1
    quotes = block.count(b'"', 0, cut)
    while cut and quotes % 2:
        before = block.rfind(line_end, 0, cut - 1) + 1
        quotes -= block.count(b'"', before, cut)
        cut = before
    return cut


def _parse(block: bytes, dialect: Dialect, types: dict[int, pa.DataType | None]) -> pa.Table:
    """The columns of a block that `types` names by position, inferring those whose type is None."""
    if dialect.encoding != "utf-8" and not block.isascii():
        block = block.decode(dialect.encoding).encode("utf-8")
    if dialect.delimiter == BLANKS:
        block = squeeze_blanks(block)
    return arrow_csv.read_csv(
        pa.BufferReader(block),
        arrow_csv.ReadOptions(column_names=[str(i) for i in range(dialect.width)], block_size=_PARSE_BYTES),
        arrow_csv.ParseOptions(delimiter=dialect.delimiter, newlines_in_values=b'"' in block),
        arrow_csv.ConvertOptions(
            column_types={str(i): kind for i, kind in types.items() if kind is not None},
            include_columns=[str(i) for i in types],
            null_values=list(NULLS),
            decimal_point=dialect.decimal,
        ),
    )


def _parse_if_it_holds(block: bytes, dialect: Dialect, types: dict[int, pa.DataType]) -> pa.Table | None:
    try:
        return _parse(block, dialect, types)
    except pa.ArrowException:
        return None


def _parse_or_explain(
    path: Path, block: bytes, dialect: Dialect, types: dict[int, pa.DataType | None], first_row: int
) -> pa.Table:
    """`_parse`, with errors that say which row of the file is at fault where that can be told.

    Parameters
    ----------
    first_row : rows before the block.
    """
    try:
        return _parse(block, dialect, types)
    except pa.ArrowException as error:
        _refuse_ragged_row(path, block, dialect, first_row)
        raise InputError(f"cannot be read after row {first_row}: {error}", path) from None


def _refuse_ragged_row(path: Path, block: bytes, dialect: Dialect, first_row: int) -> None:
    if dialect.delimiter == BLANKS:
        block = squeeze_blanks(block)
    text = io.StringIO(block.decode(dialect.encoding, errors="replace"), newline="")
    row = first_row
    try:
        for cells in csv.reader(text, delimiter=dialect.delimiter):
            if cells and len(cells) != dialect.width:
                raise InputError(f"a row has {len(cells)} cell(s); {dialect.width} are wanted", path, row)
            row += bool(cells)
    except csv.Error as error:
        raise InputError(f"is no delimited table: {error}", path, row) from None
