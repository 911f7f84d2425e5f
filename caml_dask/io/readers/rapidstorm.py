"""rapidSTORM text: a line of XML that names the fields, then rows of numbers separated by blanks.

Files of tracks hold a track a row: its own fields, the number of its localizations, and their fields one after
another. The localizations are read, with the row of their track as track_id. Intensities are counts of the camera and
not photons.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from caml_dask.errors import InputError, UnreadableError
from caml_dask.io.readers.arrays import BLOCK_ROWS, Array, ArrayColumn, Part, array_table, column
from caml_dask.io.readers.delimited import open_as
from caml_dask.io.readers.dialect import BLANKS, Dialect
from caml_dask.io.readers.reader import Opened, Reader
from caml_dask.settings import ColumnMap

_BEGINS = re.compile(rb"(?:\xef\xbb\xbf)?\s*#\s*<localizations\b")
_NAMES = {
    "ImageNumber-0-0": "frame",
    "Amplitude-0-0": "intensity",
    "FitResidues-0-0": "chi2",
    "LocalBackground-0-0": "background",
}
_POSITION = re.compile(r"Position-([012])-0")
_ERROR = re.compile(r"Position-([012])-0-uncertainty")
_LINE_BYTES = 1 << 20
_MOST_FIELDS = 64


def begins(path: Path, head: bytes) -> bool:
    """Whether a file begins with a comment that describes localizations."""
    return _BEGINS.match(head) is not None


def opens(path: Path, head: bytes, columns: ColumnMap, settle: bool) -> Opened:
    """Open a table of localizations, or of tracks.

    Raises
    ------
    InputError : a first line that is no such description, no rows, or rows of another width.
    """
    line = re.search(rb"[^\n]*\n", head)
    try:
        about = ElementTree.fromstring((line[0] if line else head).lstrip(b"\xef\xbb\xbf \t\r#"))
    except (ElementTree.ParseError, ValueError) as error:
        raise InputError(f"its first line does not describe its fields as rapidSTORM does: {error}", path) from None
    start = line.end() if line else len(head)
    fields, tracks = about.findall("field"), about.findall("localizations")
    if tracks:
        return _tracks(path, start, _names(path, fields), _names(path, tracks[0].findall("field")), columns)
    names = _names(path, fields)
    dialect = Dialect(BLANKS, ".", "utf-8", b"\n", start, len(names))
    return open_as(path, dialect, names, numbered=True, settle=settle)


def _names(path: Path, fields: Sequence[ElementTree.Element]) -> tuple[str, ...]:
    """A name with its unit for each field."""
    if not 0 < len(fields) <= _MOST_FIELDS:
        raise InputError(f"its first line describes {len(fields)} fields, which is no table of localizations", path)
    return tuple(_name(field.get("identifier", ""), field.get("unit", "")) for field in fields)


def _name(identifier: str, unit: str) -> str:
    position, error = _POSITION.fullmatch(identifier), _ERROR.fullmatch(identifier)
    if position:
        return f"{'xyz'[int(position[1])]} [{unit}]"
    if error:
        return f"uncertainty_{'xyz'[int(error[1])]} [{unit}]"
    name = _NAMES.get(identifier, identifier)
    return name if unit in ("", "frame", "dimensionless") else f"{name} [{unit}]"


def _tracks(path: Path, start: int, track: tuple[str, ...], names: tuple[str, ...], columns: ColumnMap) -> Opened:
    """A table of the localizations in tracks."""
    blocks = TrackBlocks(path, start, len(track), len(names))
    rows = sum(len(block[""]) for block in blocks([]))
    own = [column("track_id", "track_id"), *(column(name, str(i)) for i, name in enumerate(names))]
    errors = tuple(
        Part(str(i)) for i, n in enumerate(names) if n in ("uncertainty_x [nanometer]", "uncertainty_y [nanometer]")
    )
    canonical = [ArrayColumn("uncertainty_nm", errors)] if len(errors) == 2 else []
    return array_table(path, rows, own, canonical, blocks, columns)


@dataclass(frozen=True)
class TrackBlocks:
    """Blocks of localizations from rows of tracks.

    Parameters
    ----------
    path : the file.
    start : where its rows begin, in bytes.
    before : fields of a track, followed by the number of its localizations.
    width : fields of a localization.
    """

    path: Path
    start: int
    before: int
    width: int

    def __call__(self, sources: Sequence[str]) -> Iterator[Mapping[str, Array]]:
        """Successive blocks of the fields, by their numbers from "0"; track_id; and "", which has the rows alone."""
        held: list[Array] = []
        ids: list[Array] = []
        rows = 0
        for number, track in enumerate(self._tracks()):
            held.append(track)
            ids.append(np.full(len(track), number))
            rows += len(track)
            if rows >= BLOCK_ROWS:
                yield self._block(held, ids)
                held, ids, rows = [], [], 0
        if held:
            yield self._block(held, ids)

    def _block(self, held: list[Array], ids: list[Array]) -> Mapping[str, Array]:
        values, track_id = np.concatenate(held), np.concatenate(ids)
        return {str(i): values[:, i] for i in range(self.width)} | {"track_id": track_id, "": track_id}

    def _tracks(self) -> Iterator[Array]:
        """(n, width) float64 of each track."""
        number = 0
        try:
            with self.path.open("rb") as file:
                file.seek(self.start)
                while line := file.readline(_LINE_BYTES * self.width):
                    if line.strip():
                        yield self._track(line, number)
                        number += 1
        except OSError as error:
            raise UnreadableError(f"cannot be read: {error.strerror or error}", self.path) from error

    def _track(self, line: bytes, number: int) -> Array:
        try:
            cells = np.array(line.split(), dtype=np.float64)
        except ValueError:
            raise InputError("a track holds what is no number", self.path, number) from None
        count = cells[self.before] if len(cells) > self.before else -1
        inside = cells[self.before + 1 :]
        if count != len(inside) / self.width:
            raise InputError(
                f"a track says it has {count:g} localizations of {self.width} fields and holds {len(inside)} numbers",
                self.path,
                number,
            )
        return inside.reshape(-1, self.width)


READER = Reader(
    name="rapidSTORM",
    endings=(".txt",),
    recognized="a first line that begins `# <localizations`",
    reads="all fields; of a file of tracks the localizations in them, with `track_id`",
    units="from the first line; intensities are counts of the camera and do not count as photons",
    export="rapidSTORM, output Localizations file",
    example="cell.txt",
    begins=begins,
    opens=opens,
)
