"""Cohorts: which images belong to a screening, and the factors of each; from a table, or from the names of folders."""

from __future__ import annotations

import csv
import fnmatch
import glob
import io
import itertools
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from caml_dask.errors import UsageError
from caml_dask.io.remote.url import is_url, shown
from caml_dask.runs.inputs import followed

PATH, CHANNEL = "path", "channel"
FACTORS = ("condition", "replicate")
"""The factors that every cohort has; every other column but path and channel is one more."""
RESERVED = ("image_id", "status", "acknowledged", "reason", "folder")
"""Columns that a screening adds in its images.csv."""

_log = logging.getLogger("caml_dask")
_WANTED = f"give the table a header such as {PATH},{','.join(FACTORS)}"
_NO_URLS = (
    "a screening reads paths: mount the store, or copy the cohort here before each call (copies of known content are "
    "not analyzed again); `caml-dask run` takes URLs"
)
_EXAMPLE = "'FOLDER/{condition}/{replicate}/*.csv'"
_PIECES = re.compile(r"(\{[^{}]*\}|\*\*/|\*|\?)")
_WILDCARDS = {"**/": "(?:[^/]+/)*", "*": "[^/]*", "?": "[^/]"}  # as regular expressions


@dataclass(frozen=True)
class Member:
    """One row of a cohort.

    path : the file, absolute, links followed; the link itself where it leads nowhere
    channel : only the localizations of this channel; None for all that the file holds, each channel an image
    factors : name to value, condition and replicate first
    place : where the cohort lists it, for messages: "line 3", or the file's path
    """

    path: Path
    channel: str | None
    factors: Mapping[str, str]
    place: str


@dataclass(frozen=True)
class Cohort:
    """The members of a cohort.

    members : in their order
    factors : names of their factors, condition and replicate first
    pattern : the pattern of paths that found them; None for those that a table lists
    unreadable : folders that the pattern covers and that cannot be listed, each with the reason
    """

    members: tuple[Member, ...]
    factors: tuple[str, ...]
    pattern: str | None = None
    unreadable: tuple[str, ...] = ()


def read_cohort(where: str, leave_out: Path | None = None) -> Cohort:
    """Read a cohort from a table, or from a pattern of paths.

    Parameters
    ----------
    where : the path of a UTF-8 table, its cells separated by commas, semicolons or tabs, with the columns path
        (absolute, or relative to the table's folder), condition and replicate, optionally channel, and any other column
        as a further factor; or a pattern such as ``FOLDER/{condition}/{replicate}/*.csv``, whose names in braces are
        columns. ``*`` and ``?`` match any characters of a name, and ``**/`` any folders. A file that a pattern reaches
        twice, through a link, counts once.
    leave_out : a folder whose files never match a pattern.

    Raises
    ------
    UsageError : `where` is neither; the table is not UTF-8 or not CSV, lacks a column or has no rows; a row has
        another length, no path or no condition, or lists localizations that another row lists. A path without a file
        is no error here: its image fails later, by name.
    """
    if is_url(where):
        raise UsageError(f"{shown(where)}: {_NO_URLS}")
    if "{" in where and not Path(where).is_file():
        factors, members = _matches(where, leave_out)
        unreadable = tuple(_unreadable_folders(where, leave_out))
        return Cohort(_once(where, members, unreadable), factors, where, unreadable)
    factors, members = _rows(Path(where))
    return Cohort(_distinct(where, members), factors)


def _once(pattern: str, members: Iterator[Member], unreadable: tuple[str, ...]) -> tuple[Member, ...]:
    """The members of a pattern, each file once: it may be reached again through a link."""
    found: dict[Path, Member] = {}
    for member in members:
        first = found.setdefault(member.path, member)
        if first is not member:
            _log.info("%s and %s are the same file, which is analyzed once", first.place, member.place)
    if not found and unreadable:
        raise UsageError(
            f"{pattern}: no file matches, and a folder cannot be listed ({unreadable[0]}): check the folder"
        )
    if not found:
        raise UsageError(f"{pattern}: no file matches: correct the pattern")
    return tuple(found.values())


def _distinct(where: str, members: Iterator[Member]) -> tuple[Member, ...]:
    """The members of a table; each localization belongs to one of them at most."""
    found: list[Member] = []
    taken: dict[Path, dict[str | None, str]] = {}
    for member in members:
        others = taken.setdefault(member.path, {})
        other = others.get(member.channel) or others.get(None) or (next(iter(others.values()), None))
        if other is not None and (member.channel is None or None in others or member.channel in others):
            raise UsageError(
                f"{where}, {member.place}: {member.path} is already listed in {other}: list each file once, or "
                f"each of its channels once with the column {CHANNEL!r}"
            )
        others[member.channel] = member.place
        found.append(member)
    if not found:
        raise UsageError(f"{where}: the cohort has no images: add a row for each image")
    return tuple(found)


def _member(where: str, place: str, folder: Path, cells: Mapping[str, str], factors: tuple[str, ...]) -> Member:
    for name in (PATH, FACTORS[0]):
        if not cells[name]:
            raise UsageError(f"{where}, {place}: the {name} is empty: every image needs one")
    if is_url(cells[PATH]):
        raise UsageError(f"{where}, {place}: {shown(cells[PATH])}: {_NO_URLS}")
    try:
        path = followed(folder / cells[PATH])
    except ValueError as error:
        raise UsageError(f"{where}, {place}: {cells[PATH]!r} is not a path ({error})") from None
    return Member(path, cells.get(CHANNEL) or None, {name: cells[name] for name in factors}, place)


def _factors(where: str, names: list[str], missing: Callable[[str], str]) -> tuple[str, ...]:
    """The factors among the columns of a cohort.

    missing : gives the message for a missing column, from its name
    """
    for name in (PATH, *FACTORS):
        if name not in names:
            raise UsageError(f"{where}: {missing(name)}")
    for name in names:
        if not name:
            raise UsageError(f"{where}: a column has no name: name every column")
        if names.count(name) > 1:
            raise UsageError(f"{where}: {names.count(name)} columns are called {name!r}: rename all but one")
        if name in RESERVED:
            raise UsageError(
                f"{where}: a column cannot be called {name!r}: rename it ({', '.join(RESERVED)} are reserved for the "
                "results)"
            )
    return (*FACTORS, *(name for name in names if name not in (PATH, CHANNEL, *FACTORS)))


def _rows(table: Path) -> tuple[tuple[str, ...], Iterator[Member]]:
    """Factors and members from a table."""
    try:
        text = table.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{table} is not UTF-8 (byte {error.start}): save it as CSV in UTF-8") from None
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{table} cannot be read ({error}): give a CSV table of the cohort, or a pattern such as {_EXAMPLE}"
        ) from None
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    try:
        header = [_known_name(name.strip()) for name in next(lines, [])]
        rows = [(lines.line_num, [cell.strip() for cell in row]) for row in lines]
    except csv.Error as error:
        raise UsageError(
            f"{table}, line {lines.line_num}: not valid CSV ({error}): correct the line, or save the table as CSV again"
        ) from None
    seen = ", ".join(header) or "nothing"
    factors = _factors(
        str(table),
        header,
        lambda name: f"no column {name!r} in the first line ({seen}): {_WANTED}",
    )

    def members() -> Iterator[Member]:
        for line, row in rows:
            if not any(row):
                continue
            if len(row) != len(header):
                raise UsageError(
                    f"{table}, line {line}: {len(row)} cells, but the header has {len(header)}: put quotes around "
                    "cells that contain the separator"
                )
            yield _member(str(table), f"line {line}", table.parent, dict(zip(header, row)), factors)

    return factors, members()


def _delimiter(text: str) -> str:
    """What separates the cells of a table: the comma, semicolon or tab that gives its header a column `path`."""
    first = text.splitlines()[0] if text else ""
    for delimiter in ",;\t":
        if PATH in (cell.strip().strip('"').lower() for cell in first.split(delimiter)):
            return delimiter
    return max(",;\t", key=first.count)


def _known_name(name: str) -> str:
    """A column that every cohort has under its own name, however it is capitalized; others as they are written."""
    return name.lower() if name.lower() in (PATH, CHANNEL, *FACTORS) else name


def _unreadable_folders(pattern: str, leave_out: Path | None) -> Iterator[str]:
    """Folders that may hold matches of a pattern and cannot be listed, each with the reason."""
    pieces = _globbed(pattern).split("/")[:-1]
    fixed = list(itertools.takewhile(lambda piece: not glob.has_magic(piece), pieces))
    wild = pieces[len(fixed) :]
    spared = _real(leave_out)
    found: list[str] = []
    base = "/".join(fixed) or ("/" if pattern.startswith("/") else ".")
    for folder, names, _ in os.walk(base, onerror=lambda error: found.append(f"{error.filename}: {error.strerror}")):
        level = len(Path(folder).relative_to(base).parts)
        wanted = ["*", *wild] if "**" in wild else wild[level : level + 1]
        names[:] = sorted(
            name
            for name in names
            if any(_glob_finds(name, piece) for piece in wanted) and not _inside(f"{folder}/{name}", spared)
        )
    yield from sorted(found)


def _glob_finds(name: str, piece: str) -> bool:
    """Whether `glob` takes a name for a piece of a pattern: it spares hidden ones unless the piece has the dot."""
    return fnmatch.fnmatchcase(name, piece) and (piece.startswith(".") or not name.startswith("."))


def _globbed(pattern: str) -> str:
    """A pattern of a cohort as `glob` takes it."""
    pieces = (piece for piece in _PIECES.split(pattern) if piece)
    return "".join(
        piece if piece in _WILDCARDS else "*" if piece.startswith("{") else glob.escape(piece) for piece in pieces
    )


def _matches(pattern: str, leave_out: Path | None) -> tuple[tuple[str, ...], Iterator[Member]]:
    """Factors and members from the paths that match a pattern, in the order of their names."""
    pieces = [piece for piece in _PIECES.split(pattern) if piece]
    names = [piece[1:-1].strip() for piece in pieces if piece.startswith("{")]
    factors = _factors(pattern, [PATH, *names], lambda name: f"the pattern has no {{{name}}}: add it, as in {_EXAMPLE}")
    regular, number = "", iter(range(len(names)))
    for piece in pieces:
        regular += _WILDCARDS.get(piece) or (f"(?P<n{next(number)}>[^/]+)" if piece[0] == "{" else re.escape(piece))
    spared = _real(leave_out)

    def members() -> Iterator[Member]:
        for path in sorted(glob.glob(_globbed(pattern), recursive=True)):  # noqa: PTH207 - unlike Path's, it spares hidden files
            found = re.fullmatch(regular, path, flags=re.DOTALL)
            if found is None or not _may_be_file(path) or _inside(path, spared):
                continue
            cells = {PATH: path, **{name: found[f"n{i}"] for i, name in enumerate(names)}}
            yield _member(pattern, path, Path(), cells, factors)

    return factors, members()


def _may_be_file(path: str) -> bool:
    """Whether a path is a file, or one that cannot be looked at, such as a broken link, which will fail by name."""
    return not os.path.isdir(path)  # noqa: PTH112 - unlike Path's, it does not raise where it is not let in


def _real(folder: Path | None) -> Path | None:
    return None if folder is None else Path(os.path.realpath(folder))


def _inside(path: str, folder: Path | None) -> bool:
    return folder is not None and Path(os.path.realpath(path)).is_relative_to(folder)
