"""Inputs: a file becomes one or several sources, and a source a stream of tables in nm.

The format is recognized by the content: :mod:`caml_dask.io.readers.formats` lists those that are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from caml_dask.errors import ContradictedError, InputError, UnreadableError, UsageError
from caml_dask.io.readers import archives, delimited_text
from caml_dask.io.readers.coordinates import to_nm
from caml_dask.io.readers.delimited import open_delimited
from caml_dask.io.readers.dialect import HEAD_BYTES
from caml_dask.io.readers.formats import READERS, SIDECARS, recognized, tables_in
from caml_dask.io.readers.headers import Axis, find_axes, name_own_columns
from caml_dask.io.readers.reader import Opened, Reader
from caml_dask.io.remote.inputs import as_file
from caml_dask.schema import COORDINATES
from caml_dask.settings import ColumnMap

MAX_CHANNELS = 64

_NO_MAP = ColumnMap()
_ROWS_IN_MEMORY = 1 << 20
_TABLE_BYTES = 512 << 20


@dataclass(frozen=True)
class Source:
    """The localizations of one image, streamed from a file as often as wanted; it can be pickled.

    Parameters
    ----------
    path : the file.
    format : what it was recognized as.
    reader : how it is read.
    axes : x, y and, in 3D, z.
    own_columns : the names that the reader's columns get, in its order.
    channel_column : position of the column that tells channels apart, where there is one.
    channel : only rows of this channel belong to the image ("" for an empty cell); None for all rows.
    flat : a z left out because it is 0 or missing in the first rows, where not all were looked at.
    """

    path: Path
    format: str
    reader: Opened
    axes: tuple[Axis, ...]
    own_columns: tuple[str, ...]
    channel_column: int | None = None
    channel: str | None = None
    flat: Axis | None = None

    @property
    def has_z(self) -> bool:
        """Whether the localizations have a z coordinate."""
        return len(self.axes) == len(COORDINATES)

    def tables(self, rows: int) -> Iterator[pa.Table]:
        """Successive tables of `rows` rows, in the order of the input; the last, and those of 512 MiB, are shorter.

        First loc_id (uint64, the row of the file, from 0), then x_nm, y_nm[, z_nm] (float64; NaN where the cell is
        empty or a word for missing; infinite values are kept), then the file's other columns. Those that a reader
        knows have the names and units of `schema.CARRIED`.

        Raises
        ------
        InputError : a coordinate that is no number, a damaged file, or one without rows of the channel.
        ContradictedError : of a source that is not settled, see :func:`open_source`.
        UsageError : `rows` is below 1.
        """
        if rows < 1:
            raise UsageError(f"tables of {rows} rows: a table has at least 1")
        return rechunk(self._converted(), rows)

    def coordinate(self, axis: Axis, column: pa.ChunkedArray, first_row: int) -> pa.ChunkedArray:
        """Cells of the axis' column, from row `first_row` of the file on, as float64 in nm."""
        return to_nm(
            column,
            axis.nm_per_unit,
            name=self.reader.header.names[axis.column] or self.own_columns[axis.column],
            path=self.path,
            first_row=first_row,
            decimal=self.reader.decimal,
        )

    def _converted(self) -> Iterator[pa.Table]:
        # A reader that made the coordinates itself has no others to keep.
        kept = [i for i, name in enumerate(self.reader.header.names) if not self._is_made(name)]
        names = ("loc_id", *COORDINATES[: len(self.axes)], *(self.own_columns[i] for i in kept))
        first_row = of_channel = 0
        for batch in self.reader.batches():
            if self.flat is not None and not _all_flat(self, self.flat, batch.column(self.flat.column), first_row):
                raise ContradictedError(f"{self.path}: z is 0 in its first rows and not in all")
            columns = [self.coordinate(axis, batch.column(axis.column), first_row) for axis in self.axes]
            ids = pa.array(np.arange(first_row, first_row + batch.num_rows, dtype=np.uint64))
            table = pa.table([ids, *columns, *(batch.column(i) for i in kept)], names=list(names))
            if self.channel is not None and self.channel_column is not None:
                table = table.filter(pc.equal(_as_text(batch.column(self.channel_column)), self.channel))
            first_row += batch.num_rows
            of_channel += table.num_rows
            yield table
        if self.channel is not None and not of_channel:
            raise InputError(f"holds no channel {self.channel!r}", self.path)

    def _is_made(self, name: str) -> bool:
        return self.reader.header.converted and name in COORDINATES


def rechunk(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of `rows` rows, the last one shorter; nothing is copied.

    A table also ends where it has 512 MiB, for rows may be of any length.
    """
    held: list[pa.Table] = []
    lacking, size = rows, 0
    for table in tables:
        start = 0
        while table.num_rows - start >= lacking:
            yield pa.concat_tables([*held, table.slice(start, lacking)])
            start += lacking
            held, lacking, size = [], rows, 0
        if start < table.num_rows:
            held.append(table.slice(start))
            lacking -= table.num_rows - start
            size += held[-1].nbytes
        if size >= _TABLE_BYTES:
            yield pa.concat_tables(held)
            held, lacking, size = [], rows, 0
    if held:
        yield pa.concat_tables(held)


def open_source(path: Path, columns: ColumnMap, channel: str | None, settle: bool) -> Source:
    """One of the images in a file.

    Parameters
    ----------
    channel : as :func:`list_channels` gives it.
    settle : a delimited file is read through once, for the types of its columns; if not, its first block is looked at,
        and should a later one hold something else, its tables end with an error.

    Raises
    ------
    InputError : a file that cannot be read, or whose coordinates or units are not known.
    """
    member, channel = _member_and_channel(path, channel)
    source = _open(path, columns, settle, member)
    if channel is not None and source.channel_column is None:
        raise InputError(f"holds no channel {channel!r}", path)
    if channel is None and len(_channels(source)) > 1:
        raise UnreadableError(
            "holds several channels, which could not be told apart before: analyze it in a new run", path
        )
    return replace(source, channel=channel)


def list_channels(path: Path, columns: ColumnMap = _NO_MAP) -> list[str | None]:
    """The channels in a file that are images of their own; None alone where all of it is one image.

    Of a ZIP archive of several tables, these are the names of its members; with a colon and the channel where a member
    has channels of its own. Of a file without a column of channels only the first rows are read.

    Raises
    ------
    InputError : a file that cannot be read, or whose coordinates or units are not known, as far as it is read.
    """
    members = _members(path)
    if len(members) < 2:
        return _channels_of(path, columns, *members)
    return [name for member in members for name in _qualified(path, columns, member)]


def _channels_of(path: Path, columns: ColumnMap, member: str | None = None) -> list[str | None]:
    try:
        return _channels(_recognised(path, columns, False, member))
    except ContradictedError:
        return _channels(_recognised(path, columns, True, member))


def _qualified(path: Path, columns: ColumnMap, member: str) -> list[str | None]:
    """The images in a member of an archive; one that cannot be read is an image too, which then fails by name."""
    try:
        found = _channels_of(path, columns, member)
    except UsageError:
        raise
    except InputError:
        found = [None]
    return [member if channel is None else f"{member}:{channel}" for channel in found]


def _members(path: Path) -> list[str]:
    """The tables in a ZIP archive; none of another file."""
    head = _head(path)
    return tables_in(path) if archives.is_zip(head) and recognized(path, head) is archives.READER else []


def _member_and_channel(path: Path, channel: str | None) -> tuple[str | None, str | None]:
    """What an image is called in an archive of several tables, as its member and a channel in it."""
    members = _members(path)
    if len(members) < 2:
        return (members[0] if members else None), channel
    fitting = [m for m in members if channel is not None and (channel == m or channel.startswith(f"{m}:"))]
    if not fitting:
        lacking = "" if channel is None else f", and no {channel!r}"
        raise InputError(
            f"holds {len(members)} tables ({', '.join(members[:5])}){lacking}: unpack it and give one", path
        )
    member = max(fitting, key=len)
    return member, None if channel == member else str(channel)[len(member) + 1 :]


def read_localizations(path: Path | str, columns: ColumnMap | str = _NO_MAP) -> pa.Table:
    """The localizations of a file in memory, of all its channels, in the order of its rows.

    Parameters
    ----------
    path : a file of one of the formats that ``caml-dask formats`` lists, or its URL, of s3:// or https://.
    columns : which columns are the coordinates, such as ``"x=X,y=Y,unit=um"``, where the header does not say.

    Returns
    -------
    loc_id (uint64, 0 to n-1), x_nm, y_nm[, z_nm] (float64, nm), then the file's other columns; frame, photons and the
        like under the names and in the units of `schema.CARRIED`, where the format is certain of them.

    Raises
    ------
    UsageError : columns that cannot be used.
    InputError : a file that cannot be read, or whose coordinates or units are not known.
    """
    with as_file(path) as file:
        member, _ = _member_and_channel(file, None)
        return pa.concat_tables(_open(file, ColumnMap.of(columns), True, member).tables(_ROWS_IN_MEMORY))


def _open(path: Path, columns: ColumnMap, settle: bool, member: str | None) -> Source:
    source = _recognised(path, columns, settle, member)
    # Programs write z = 0 throughout for what is 2D; a z that the map names, or that we wrote, is taken at its word.
    if source.has_z and columns.z is None and not source.reader.header.is_ours and _is_flat(source):
        flat = None if source.reader.settled else source.axes[2]
        return replace(source, axes=source.axes[:2], flat=flat)
    return source


def _recognised(path: Path, columns: ColumnMap, settle: bool, member: str | None) -> Source:
    form, reader = _opened(path, columns, settle, member)
    header = reader.header
    channel = columns.channel or (form.channel if form.channel in header.names else None)
    return Source(
        path=path,
        format=form.name,
        reader=reader,
        axes=find_axes(header, columns),
        own_columns=name_own_columns(header.names),
        channel_column=None if channel is None else header.find(channel),
    )


def _opened(path: Path, columns: ColumnMap, settle: bool, member: str | None = None) -> tuple[Reader, Opened]:
    """A file, or a member of an archive, with its format."""
    head = _head(path)
    form = recognized(path, head)
    if form is archives.READER:
        unpacked = archives.unpack(path, head, member, SIDECARS)
        with archives.named(unpacked):
            archives.refuse_nested(unpacked, _head(unpacked.path))
            form, inner = _opened(unpacked.path, columns, settle)
        return form, archives.PackedTable(unpacked, inner, (_packed_again, (path, columns, settle, member)))
    if form is not None and form.opens is not None:
        return form, form.opens(path, head, columns, settle)
    text = open_delimited(path, head, settle)
    form = next((r for r in READERS if r.columns and r.columns(text.header)), delimited_text.READER)
    if form.renamed and columns.x is None:
        names = tuple(form.renamed.get(name, name) for name in text.header.names)
        text = replace(text, header=replace(text.header, names=names, converted=True))
    return form, text


def _packed_again(path: Path, columns: ColumnMap, settle: bool, member: str | None) -> Opened:
    return _opened(path, columns, settle, member)[1]


def _head(path: Path) -> bytes:
    """The first bytes of a file."""
    try:
        if not path.is_file():
            raise InputError(_no_file(path), path)
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise UnreadableError(f"cannot be read: {error}", path) from error


def _no_file(path: Path) -> str:
    """Why a path is no file, in words."""
    if path.exists():
        return "is a directory or device"
    return f"is a link to {path.readlink()}, which does not exist" if path.is_symlink() else "there is no such file"


def _channels(source: Source) -> list[str | None]:
    """The distinct values of the channels' column, numbers in order and then texts; None alone for less than two."""
    column = source.channel_column
    if column is None:
        return [None]
    found: set[str] = set()
    for batch in source.reader.batches([column]):
        found.update(pc.unique(_as_text(batch.column(0))).to_pylist())
        if len(found) > MAX_CHANNELS:
            name = source.reader.header.names[column]
            raise InputError(f"{name!r} tells more than {MAX_CHANNELS} channels apart: name another", source.path)
    return [None] if len(found) < 2 else [*sorted(found, key=_numbers_first)]


def _numbers_first(text: str) -> tuple[bool, float, str]:
    try:
        return False, float(text), text
    except ValueError:
        return True, 0.0, text


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.fill_null(pc.cast(column, pa.string()), "")


def _is_flat(source: Source) -> bool:
    """Whether z is 0 or missing in every row; of a source that is not settled, in the rows of its first block."""
    axis = source.axes[2]
    first_row = 0
    for batch in source.reader.batches([axis.column]):
        if not _all_flat(source, axis, batch.column(0), first_row):
            return False
        if not source.reader.settled:
            break
        first_row += batch.num_rows
    return True


def _all_flat(source: Source, axis: Axis, column: pa.ChunkedArray, first_row: int) -> bool:
    z_nm = source.coordinate(axis, column, first_row)
    return not pc.any(pc.and_(pc.not_equal(z_nm, 0.0), pc.invert(pc.is_nan(z_nm)))).as_py()
