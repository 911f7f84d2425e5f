"""SMLM 0.2: a ZIP archive whose manifest.json describes binary tables, packed row by row.

Each table is a channel. Its columns have a type, a unit and an offset that is added. Numbers in the manifest may be
written as text. Locan leaves the units empty and names them in ``locdata_meta``; both are read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from caml_dask.errors import InputError
from caml_dask.io.readers.archives import is_zip, opened_zip
from caml_dask.io.readers.arrays import BLOCK_ROWS, Array, ArrayTable, array_table, column
from caml_dask.io.readers.reader import Reader
from caml_dask.settings import ColumnMap

_MANIFEST = "manifest.json"
_LARGEST_MANIFEST = 16 << 20
_MOST_COLUMNS = 256
_TYPES = frozenset(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)) | {"float32", "float64"}
_AXES = {
    name: axis
    for axis in "xyz"
    for name in (axis, f"{axis}_position", f"position_{axis}", f"Position_{'xyz'.index(axis)}_0")
}
_CHANNEL = "channel"


@dataclass(frozen=True)
class SmlmTable:
    """One table of an archive.

    Parameters
    ----------
    member : its name there.
    channel : what it is called as an image.
    rows : how many it says it has.
    types : dtype of a row, packed.
    offsets : what is added to the columns that have one.
    """

    member: str
    channel: str
    rows: int
    types: np.dtype[Any]
    offsets: Mapping[str, float]


def begins(path: Path, head: bytes) -> bool:
    """Whether a ZIP archive holds a manifest."""
    if not is_zip(head):
        return False
    with opened_zip(path) as archive:
        return _MANIFEST in archive.namelist()


def opens(path: Path, head: bytes, columns: ColumnMap, settle: bool) -> ArrayTable:
    """Open all tables of an archive, one after another.

    Raises
    ------
    InputError : a manifest that cannot be understood, tables of other columns than each other, or no localizations.
    """
    manifest = _manifest(path)
    files, formats = manifest.get("files"), manifest.get("formats")
    if not isinstance(files, list) or not isinstance(formats, dict):
        raise InputError("its manifest.json names no files and formats", path)
    units = _units_of_locan(manifest)
    tables: list[SmlmTable] = []
    names: list[str] = []
    for about in files:
        if isinstance(about, dict) and str(about.get("type", "table")).lower() == "table":
            table, its_names = _table(path, about, formats, units)
            if tables and its_names != names:
                raise InputError("its tables have different columns: unpack them with the program that wrote it", path)
            taken = {one.channel for one in tables}
            name = table.channel if table.channel not in taken else f"{table.channel} ({table.member})"
            tables.append(SmlmTable(table.member, name, table.rows, table.types, table.offsets))
            names = its_names
    if not tables:
        raise InputError("its manifest.json names no table", path)
    fields = tables[0].types.names or ()
    own = [column(name, field) for name, field in zip(names, fields, strict=True)]
    if len(tables) > 1:
        own = [column(f"{c.name}_of_row", c.parts[0].source) if c.name == _CHANNEL else c for c in own]
        own.append(column(_CHANNEL, ""))
    rows = sum(table.rows for table in tables)
    return array_table(path, rows, own, [], SmlmBlocks(path, tuple(tables)), columns)


def _manifest(path: Path) -> dict[str, Any]:
    with opened_zip(path) as archive, archive.open(_MANIFEST) as file:
        text = file.read(_LARGEST_MANIFEST + 1)
    if len(text) > _LARGEST_MANIFEST:
        raise InputError("its manifest.json is too large for one", path)
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"its manifest.json cannot be read: {error}", path) from None
    version = manifest.get("format_version") if isinstance(manifest, dict) else None
    if version != "0.2":
        raise InputError(f"its manifest.json is of version {version!r}; 0.2 is read: export it again, or as CSV", path)
    return dict(manifest)


def _units_of_locan(manifest: Mapping[str, Any]) -> dict[str, str]:
    about = manifest.get("locdata_meta")
    units = about.get("unit") if isinstance(about, dict) else None
    found = [one for one in units if isinstance(one, dict)] if isinstance(units, list) else []
    return {str(one.get("property")): str(one.get("unit")) for one in found if one.get("unit")}


def _table(
    path: Path, about: Mapping[str, Any], formats: Mapping[str, Any], units: Mapping[str, str]
) -> tuple[SmlmTable, list[str]]:
    """A table that the manifest names, and its columns' names with their units."""
    form = formats.get(str(about.get("format")))
    if not isinstance(form, dict) or str(form.get("mode", "")).lower() != "binary":
        raise InputError("its manifest.json describes a table that is not binary: export it again, or as CSV", path)
    try:
        headers, types = [str(name) for name in form["headers"]], [str(name).lower() for name in form["dtype"]]
        shapes = [int(size) for size in form.get("shape") or [1] * len(headers)]
        rows = int(about["rows"])
        given = [str(unit or "") for unit in form.get("units") or [""] * len(headers)]
        offsets = {str(name): float(value) for name, value in dict(about.get("offset") or {}).items()}
        wrong = not len(headers) == len(types) == len(shapes) == len(given) or len(set(headers)) < len(headers)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"its manifest.json does not describe its table: {error!r}", path) from None
    if wrong or rows < 0 or not set(types) <= _TYPES or not 0 < len(headers) <= _MOST_COLUMNS:
        raise InputError("its manifest.json does not describe its table: names, types and sizes do not agree", path)
    if any(size != 1 for size in shapes):
        raise InputError("its manifest.json describes columns of several numbers, which are not read", path)
    if not all(math.isfinite(value) for value in offsets.values()):
        raise InputError("its manifest.json gives an offset that is no number", path)
    row = np.dtype([(name, np.dtype(kind).newbyteorder("<")) for name, kind in zip(headers, types, strict=True)])
    names = [_named(name, unit or units.get(name, "")) for name, unit in zip(headers, given, strict=True)]
    held = {name: value for name, value in offsets.items() if value}
    member = str(about.get("name"))
    return SmlmTable(member, str(about.get("channel") or member), rows, row, held), names


def _named(name: str, unit: str) -> str:
    name = _AXES.get(name, name)
    return f"{name} [{unit}]" if unit else name


@dataclass(frozen=True)
class SmlmBlocks:
    """Blocks of rows of all tables, one after another."""

    path: Path
    tables: tuple[SmlmTable, ...]

    def __call__(self, sources: Sequence[str]) -> Iterator[Mapping[str, Array]]:
        """Successive blocks of the columns `sources`; "" is the channel."""
        for table in self.tables:
            yield from self._of(table, sources)

    def _of(self, table: SmlmTable, sources: Sequence[str]) -> Iterator[Mapping[str, Array]]:
        with opened_zip(self.path) as archive:
            if table.member not in archive.namelist():
                raise InputError(f"{table.member!r} of its manifest.json is not in it", self.path)
            rows = 0
            with archive.open(table.member) as file:
                while rows < table.rows:
                    wanted = min(BLOCK_ROWS, table.rows - rows)
                    content = file.read(wanted * table.types.itemsize)
                    if len(content) < wanted * table.types.itemsize:
                        raise InputError(f"{table.member!r} in it ends before its {table.rows} rows", self.path)
                    rows += wanted
                    yield self._block(table, np.frombuffer(content, table.types), sources)
                if file.read(1):
                    raise InputError(f"{table.member!r} in it holds more than its {table.rows} rows", self.path)

    def _block(self, table: SmlmTable, values: Array, sources: Sequence[str]) -> Mapping[str, Array]:
        found = {source: values[source] for source in sources if source}
        for source, offset in table.offsets.items():
            if source in found:
                found[source] = found[source].astype(np.float64) + offset
        if "" in sources:
            found[""] = np.full(len(values), table.channel)
        return found


READER = Reader(
    name="SMLM 0.2",
    endings=(".smlm",),
    recognized="a ZIP archive with `manifest.json`",
    reads="all columns of its binary tables, with their offsets added; each table is an image",
    units="from the manifest; otherwise say them with `--columns`",
    export="ShareLoc, or `locan.save_SMLM`",
    example="cell.smlm",
    begins=begins,
    opens=opens,
    channel=_CHANNEL,
    from_folders=(".smlm",),
)
