"""How a table is written as text: delimiter, decimal mark, encoding, and where its rows begin.

All is read from the first rows; nothing is asked of the file's name.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from caml_dask.errors import InputError

HEAD_BYTES = 1 << 18
# Stands for any run of spaces and tabs.
BLANKS = " "

_DELIMITERS = (",", ";", "\t", BLANKS)
_BOM = b"\xef\xbb\xbf"
_WIDE_BOMS = (b"\xff\xfe", b"\xfe\xff")
_SAMPLE_ROWS = 200
_FIT_OF_TEXT = 1 / 64  # a table of text alone still has a delimiter
_BEST_FIT = 1 + _FIT_OF_TEXT
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0e-\x19\x1b-\x1f]")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_SEP = re.compile(r"sep=([,;|]?)")
_NUMBER = re.compile(r"[+-]?(?:\d+[.,]?\d*|[.,]\d+)(?:e[+-]?\d+)?|[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_COMMA_NUMBER = re.compile(r"[+-]?\d*,\d+(?:e[+-]?\d+)?", re.IGNORECASE)
_POINT_NUMBER = re.compile(r"[+-]?\d*\.\d+(?:e[+-]?\d+)?", re.IGNORECASE)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+")


@dataclass(frozen=True)
class Dialect:
    """The grammar of one delimited file.

    Parameters
    ----------
    delimiter : one character; `BLANKS` for runs of spaces and tabs.
    decimal : "." or ",".
    encoding : "utf-8" or "latin-1".
    line_end : b"\\n" (also of CR LF), or b"\\r" where the file has no LF.
    start : offset of the first row, in bytes.
    width : cells a row has.
    row : a pattern that every row begins with. The rows end before the first line that does not; None for tables to
        the end of the file.
    """

    delimiter: str
    decimal: str
    encoding: str
    line_end: bytes
    start: int
    width: int
    row: bytes | None = None


@dataclass(frozen=True)
class _Opening:
    """The first line of a table, what precedes it and what follows."""

    comment: str | None
    separator: str | None
    first: str
    first_at: int
    rest_at: int


def is_utf8(text: bytes) -> bool:
    """Whether these bytes can be UTF-8; what is not is taken for latin-1."""
    if text.isascii():
        return True
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def squeeze_blanks(text: bytes) -> bytes:
    """One space for each run of spaces and tabs, none at the ends of lines."""
    return re.sub(rb" ?([\r\n]+) ?", rb"\1", re.sub(rb"[ \t]+", b" ", text)).strip(b" ")


def split_rows(text: str, delimiter: str) -> list[list[str]]:
    """The first rows of `text` as stripped cells, empty lines left out."""
    lines: Iterable[str] = io.StringIO(text, newline="")
    if delimiter == BLANKS:
        # only as many lines as rows are asked of
        lines = (squeeze_blanks(line.encode()).decode() for line in lines)
    rows = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    return [[cell.strip() for cell in row] for row in islice(rows, _SAMPLE_ROWS) if row]


def sniff(path: Path, head: bytes, *, whole: bool) -> tuple[Dialect, tuple[str, ...], bool]:
    """Find out how a delimited file is written.

    Parameters
    ----------
    head : its first `HEAD_BYTES` bytes.
    whole : that is all of it.

    Returns
    -------
    dialect : as written.
    names : of the columns, "" where one has none.
    numbered : it has no header, or only a commented one.

    Raises
    ------
    InputError : binary, UTF-16, without rows, or without at least two columns of one width.
    """
    if head.startswith(_WIDE_BOMS):
        raise InputError("is written in UTF-16: save it as UTF-8 text", path)
    try:
        return _sniff(path, head, whole)
    except csv.Error as error:
        raise InputError(f"is no delimited table: {error}", path) from None


def _sniff(path: Path, head: bytes, whole: bool) -> tuple[Dialect, tuple[str, ...], bool]:
    line_end = b"\n" if b"\n" in head else b"\r"
    if not whole:
        head = head[: head.rfind(line_end) + 1]
        if not head:
            raise InputError(f"no line ends within {HEAD_BYTES >> 10} kB: it is no delimited table", path)
    encoding = "utf-8" if is_utf8(head) else "latin-1"
    opening = _open(path, head, encoding)
    text = head[opening.rest_at :].decode(encoding)
    delimiter = opening.separator or _delimiter(opening.first, text)
    first, rows = split_rows(opening.first, delimiter)[0], split_rows(text, delimiter)
    numbered = _numeric(first)
    if numbered:
        rows.insert(0, first)
    if not rows:
        raise InputError("has a header and no localizations", path)
    header = _commented(opening, delimiter, rows) if numbered else first
    names = _names(path, header, rows)
    if len(names) < 2:
        raise InputError("holds no two columns separated by comma, semicolon, tab or blanks", path)
    start = opening.first_at if numbered else opening.rest_at
    dialect = Dialect(delimiter, _decimal(rows, delimiter), encoding, line_end, start, len(names))
    return dialect, names, numbered


def _open(path: Path, head: bytes, encoding: str) -> _Opening:
    """Skip a byte-order mark, empty lines, comments and Excel's ``sep=;``; take the table's first line."""
    at = len(_BOM) if head.startswith(_BOM) else 0
    comment = separator = None
    while at < len(head):
        end = _LINE_END.search(head, at)
        stop, after = end.span() if end else (len(head), len(head))
        line, start, at = head[at:stop], at, after
        if _CONTROL.search(line):
            raise InputError("is a binary file, or none that is read here: a delimited table is text", path)
        text = line.decode(encoding).strip()
        if text.startswith("#"):
            comment = text.lstrip("#").strip()
        elif excel := _SEP.fullmatch(text):
            separator = excel[1] or None
        elif text:
            return _Opening(comment, separator, _unwrapped(text), start, after)
    raise InputError("holds no table: it is empty, or all comment", path)


def _unwrapped(line: str) -> str:
    """The row inside a header that was quoted once more as a whole."""
    cells = next(csv.reader([line]))
    return cells[0] if len(cells) == 1 and '"' in cells[0] else line


def _delimiter(first: str, text: str) -> str:
    """The delimiter under which rows are as wide as the first line, and their cells numbers."""
    fits = {}
    for delimiter in _DELIMITERS:
        fits[delimiter] = _fit(first, text, delimiter)
        if fits[delimiter][0] == _BEST_FIT:
            break  # under it all is numbers: others find no more cells than it does
    return max(fits, key=lambda delimiter: fits[delimiter])


def _fit(first: str, text: str, delimiter: str) -> tuple[float, int]:
    width = len(_core(split_rows(first, delimiter)[0]))
    if width < 2:
        return 0.0, width
    rows = split_rows(text, delimiter)
    fits = 0.0
    for row in rows:
        cells = [cell for cell in row if cell]
        numbers = sum(_NUMBER.fullmatch(cell) is not None for cell in cells) / max(len(cells), 1)
        same = 1.0 if len(_core(row)) == width else 0.5 * (len(row) > 1)
        fits += same * (_FIT_OF_TEXT + numbers)
    return fits / max(len(rows), 1), width


def _core(cells: list[str]) -> list[str]:
    """The cells without the empty ones at the end, which trailing delimiters make."""
    while cells and not cells[-1]:
        cells = cells[:-1]
    return cells


def _numeric(cells: list[str]) -> bool:
    return any(cells) and all(_NUMBER.fullmatch(cell) for cell in cells if cell)


def _commented(opening: _Opening, delimiter: str, rows: list[list[str]]) -> list[str] | None:
    """The last comment before the rows, where it has a name for each column."""
    if opening.comment:
        cells = split_rows(opening.comment, delimiter)[0]
        if len(cells) == len(_core(rows[0])) and all(cells):
            return cells
    return None


def _names(path: Path, header: list[str] | None, rows: list[list[str]]) -> tuple[str, ...]:
    """A name for each cell of a row; "" for those that trailing delimiters make."""
    widths = Counter(map(len, rows))
    width = max(widths, key=lambda cells: (widths[cells], header is not None and cells == len(header)))
    if header is None:
        return ("",) * width
    named = _core(header)
    spare = [cell for row in rows if len(row) == width for cell in row[len(named) :]]
    if width != len(header) and (width < len(named) or any(spare)):
        raise InputError(f"its header names {len(named)} columns and its rows have {width} cells", path, 0)
    return tuple(named + [""] * (width - len(named)))


def _decimal(rows: list[list[str]], delimiter: str) -> str:
    """The decimal mark: a comma where numbers have commas, none has a point, and they cannot be thousands."""
    cells = [cell for row in rows for cell in row]
    commas = [cell for cell in cells if _COMMA_NUMBER.fullmatch(cell)]
    if not commas or any(_POINT_NUMBER.fullmatch(cell) for cell in cells):
        return "."
    sure = delimiter == ";" or any(not _THOUSANDS.fullmatch(cell) for cell in commas)
    return "," if sure else "."
