"""Tables packed by gzip, or as members of a ZIP archive: unpacked to a temporary folder, within bounds, and read there.

What unpacks to more than 64 MiB and 200 times its size is refused, while it is unpacked and whatever it says of itself.
Each member of a ZIP archive that is named as a table counts as one; archives inside archives are not opened.
"""

from __future__ import annotations

import errno
import gzip
import shutil
import tempfile
import weakref
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

import pyarrow as pa

from caml_dask.errors import InputError, UnreadableError
from caml_dask.io.readers.arrays import refuse_bomb
from caml_dask.io.readers.headers import Header
from caml_dask.io.readers.reader import Opened, Reader

MAX_MEMBERS = 10_000
GZIP = b"\x1f\x8b"
ZIP = (b"PK\x03\x04", b"PK\x05\x06")

_PIECE_BYTES = 1 << 20
_ARCHIVES = (".gz", ".zip")
# What gzip and zipfile raise on damaged files.
FAULTS = (
    *(OSError, EOFError, ValueError, RuntimeError, NotImplementedError, KeyError, OverflowError, IndexError),
    *(zlib.error, zipfile.BadZipFile, zipfile.LargeZipFile),
)


def is_zip(head: bytes) -> bool:
    """Whether a file begins as a ZIP archive."""
    return head.startswith(ZIP)


def is_archive(head: bytes) -> bool:
    """Whether a file begins as one that is packed."""
    return head.startswith(GZIP) or is_zip(head)


@contextmanager
def opened_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """A ZIP archive, of so many members and bytes as an archive of tables may have.

    Raises
    ------
    InputError : it is damaged, or has too many members, or far larger ones than tables are.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > MAX_MEMBERS:
                raise InputError(f"holds {len(members):,} members; up to {MAX_MEMBERS:,} are read: unpack it", path)
            refuse_bomb(sum(member.file_size for member in members), path.stat().st_size, path)
            yield archive
    except InputError:
        raise
    except FAULTS as error:
        raise InputError(f"cannot be read as a ZIP archive: {error}", path) from error


def tables_in(path: Path, is_table: Callable[[str], bool], sidecars: Sequence[str]) -> list[str]:
    """Names of the members of a ZIP archive that are tables: those named as such, or else all.

    Parameters
    ----------
    is_table : whether a name is that of a table.
    sidecars : endings of files that only say more of a table.

    Raises
    ------
    InputError : it is damaged, or holds no file.
    """
    with opened_zip(path) as archive:
        names = [member.filename for member in archive.infolist() if not member.is_dir()]
    plain = [n for n in names if "__MACOSX" not in PurePosixPath(n).parts and not PurePosixPath(n).name.startswith(".")]
    tables = [name for name in plain if is_table(name)] or [n for n in plain if not n.lower().endswith(tuple(sidecars))]
    if not tables:
        raise InputError("is a ZIP archive without a table", path)
    return list(dict.fromkeys(tables))


class Unpacked:
    """One table of an archive in a temporary folder, which is removed with this object.

    Parameters
    ----------
    archive : Path
        The file it was packed in.
    name : str
        Its name there.
    """

    def __init__(self, archive: Path, name: str):
        self.archive = archive
        self.name = name
        self.folder = Path(tempfile.mkdtemp(prefix="caml_dask-"))
        self.path = self.folder / (PurePosixPath(name.replace("\\", "/")).name or "table")
        weakref.finalize(self, shutil.rmtree, self.folder, True)

    def take(self, packed: BinaryIO, path: Path) -> None:
        """Unpack into a file of the folder.

        Raises
        ------
        InputError : it is far larger than a table is.
        UnreadableError : the disk is full.
        """
        size, room = 0, self.archive.stat().st_size
        with path.open("wb") as file:
            while piece := packed.read(_PIECE_BYTES):
                size += len(piece)
                refuse_bomb(size, room, self.archive)
                try:
                    file.write(piece)
                except OSError as error:
                    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                        raise
                    raise UnreadableError(
                        f"does not fit unpacked on the disk of {tempfile.gettempdir()}: set TMPDIR to a folder on a "
                        "larger one",
                        self.archive,
                    ) from None


def unpack(archive: Path, head: bytes, member: str | None, sidecars: Sequence[str]) -> Unpacked:
    """Unpack one table, and what says more of it.

    Parameters
    ----------
    head : the first bytes of the archive.
    member : of a ZIP archive.
    sidecars : endings of files beside a table that say more of it.

    Raises
    ------
    InputError : it is damaged, encrypted, or far larger than a table is.
    UnreadableError : the disk is full.
    """
    name = archive.name.removesuffix(".gz").removesuffix(".GZ") if member is None else member
    unpacked = Unpacked(archive, name)
    try:
        if head.startswith(GZIP):
            with gzip.open(archive) as packed:
                unpacked.take(cast(BinaryIO, packed), unpacked.path)
            for beside in beside_gzip(archive, sidecars):
                shutil.copyfile(beside, unpacked.path.with_suffix(beside.suffix))
            return unpacked
        with opened_zip(archive) as zipped:
            held = set(zipped.namelist())
            stem = name.removesuffix(PurePosixPath(name).suffix)
            for one in (name, *(stem + ending for ending in sidecars if stem + ending in held)):
                suffix = PurePosixPath(one).suffix
                with zipped.open(one) as packed:
                    unpacked.take(
                        cast(BinaryIO, packed), unpacked.path.with_suffix(suffix) if one != name else unpacked.path
                    )
    except InputError:
        raise
    except FAULTS as error:
        raise InputError(f"cannot be unpacked: {error}", archive) from error
    return unpacked


def beside_gzip(archive: Path, sidecars: Sequence[str]) -> list[Path]:
    """Files beside a packed table that say more of it."""
    beside = (archive.with_suffix("").with_suffix(ending) for ending in sidecars)
    return [path for path in beside if path != archive and path.is_file()]


def refuse_nested(unpacked: Unpacked, head: bytes) -> None:
    """Refuse an archive in an archive.

    Raises
    ------
    InputError
    """
    if is_archive(head):
        raise InputError(f"{unpacked.name} in it is an archive too: unpack the outer one", unpacked.archive)


@contextmanager
def named(unpacked: Unpacked) -> Iterator[None]:
    """Let errors name the archive, and the member, where they name the file in the temporary folder."""
    try:
        yield
    except InputError as error:
        if error.path is None or not error.path.is_relative_to(unpacked.folder):
            raise
        raise type(error)(f"{unpacked.name}: {error.message}", unpacked.archive, error.row) from error


@dataclass(frozen=True)
class PackedTable:
    """A table of an archive; pickled, it is unpacked anew where it arrives.

    Parameters
    ----------
    unpacked : where it lies.
    inner : how it is read.
    again : a function, and its arguments, that opens it anew.
    """

    unpacked: Unpacked
    inner: Opened
    again: tuple[Callable[..., Any], tuple[Any, ...]]

    @property
    def path(self) -> Path:
        """The archive."""
        return self.unpacked.archive

    @property
    def header(self) -> Header:
        """The names of its columns."""
        return replace(self.inner.header, path=self.path)

    @property
    def settled(self) -> bool:
        """Whether its columns have the types of all rows."""
        return self.inner.settled

    @property
    def decimal(self) -> str:
        """Decimal mark of numbers in a column of text."""
        return self.inner.decimal

    def batches(self, columns: Sequence[int] | None = None) -> Iterator[pa.Table]:
        """Successive tables of the columns at `columns` of the header (all by default), in that order.

        Raises
        ------
        InputError : the file is damaged.
        """
        with named(self.unpacked):
            yield from self.inner.batches(columns)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.again


READER = Reader(
    name=".gz and .zip",
    endings=_ARCHIVES,
    recognized="the first bytes of gzip or of a ZIP archive",
    reads="any format of this list, packed; each table in a .zip is an image; at most 200 times the packed size",
    units="of the table inside",
    export="`gzip cell.csv`, or a .zip of several tables with the files beside them",
    example="cell.csv.gz",
    from_folders=tuple(f"{ending}.gz" for ending in (".csv", ".tsv", ".hdf5", ".h5", ".parquet", ".npy")),
)
