"""Streams of tables from Parquet files, a batch of a row group at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from caml_dask.errors import InputError
from caml_dask.io.readers.arrays import refuse_bomb
from caml_dask.io.readers.headers import Header
from caml_dask.io.readers.parquet_sizes import BATCH_BYTES, BATCH_ROWS, least_bytes, plain_bytes, rows_at_once
from caml_dask.io.readers.reader import Reader

MAGIC = b"PAR1"

_BUFFER_BYTES = 1 << 20
# What pyarrow raises on damaged files; a damaged name may not decode, a damaged length not fit.
_FAULTS = (pa.ArrowException, OSError, ValueError, IndexError, OverflowError, MemoryError)


@dataclass(frozen=True)
class ParquetReader:
    """One Parquet file, ready to be streamed as often as wanted; it can be pickled.

    Parameters
    ----------
    path : the file.
    header : the names of its columns.
    rows : it says it has.
    """

    path: Path
    header: Header
    rows: int

    @property
    def settled(self) -> bool:
        """The file says which types its columns have."""
        return True

    @property
    def decimal(self) -> str:
        """Decimal mark of numbers that stand in a column of text."""
        return "."

    def batches(self, columns: Sequence[int] | None = None) -> Iterator[pa.Table]:
        """Successive tables of the columns at `columns` of the header (all by default), in that order.

        Raises
        ------
        InputError : the file is damaged, holds fewer rows than it says, or unpacks to far more than a table does.
        """
        names = self.header.names
        chosen = list(range(len(names)) if columns is None else columns)
        wanted = None if columns is None else [names[i] for i in chosen]
        yield from _gathered(self._tables(chosen, wanted))

    def _tables(self, chosen: list[int], wanted: list[str] | None) -> Iterator[pa.Table]:
        """Tables of as many rows as are read at once, or fewer where these are long."""
        batches = self._record_batches(wanted)
        packed = self.path.stat().st_size
        rows = unpacked = 0
        while (batch := self._next(batches)) is not None:
            rows += batch.num_rows
            picked = [batch.column(i) if wanted is None else batch.column(self.header.names[i]) for i in chosen]
            held = sum(map(plain_bytes, picked))
            unpacked += held
            refuse_bomb(unpacked, packed, self.path)
            most = max(1, batch.num_rows * BATCH_BYTES // max(1, held))
            for start in range(0, batch.num_rows, most):
                parts = [plain(column.slice(start, most)) for column in picked]
                yield pa.table(parts, names=[str(i) for i in chosen])
        if rows != self.rows:
            raise InputError(f"says it holds {self.rows} rows and holds {rows}: it is damaged", self.path)

    def _record_batches(self, names: list[str] | None) -> Iterator[pa.RecordBatch]:
        with _file(self.path) as file, self.path.open("rb") as raw:
            yield from file.iter_batches(rows_at_once(file, raw), columns=names)

    def _next(self, batches: Iterator[pa.RecordBatch]) -> pa.RecordBatch | None:
        try:
            batch = next(batches, None)
            if batch is not None:
                batch.validate(full=True)  # text of a file without checksums may be no UTF-8
            return batch
        except _FAULTS as error:
            raise _damaged(self.path, error) from error


def open_parquet(path: Path) -> ParquetReader:
    """Read the columns' names.

    Raises
    ------
    InputError : no Parquet file, a damaged one, one without rows, or one that unpacks to far more than a table does.
    """
    try:
        with _file(path) as file:
            names, rows, unpacked = tuple(file.schema_arrow.names), file.metadata.num_rows, least_bytes(file)
    except _FAULTS as error:
        raise _damaged(path, error) from error
    if rows == 0:
        raise InputError("holds no localizations", path)
    refuse_bomb(unpacked, path.stat().st_size, path)
    return ParquetReader(path, Header(path, names), rows)


def _file(path: Path) -> parquet.ParquetFile:
    # A file may be one row group larger than memory: read by pages, and not the group ahead. The path is absolute, for
    # Arrow takes a relative one with a colon for a URI.
    return parquet.ParquetFile(
        path.absolute(), buffer_size=_BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True
    )


def _gathered(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Small tables in larger ones, of up to about BATCH_ROWS rows and BATCH_BYTES bytes: each table costs some time."""
    held: list[pa.Table] = []
    rows = size = 0
    for table in tables:
        held.append(table)
        rows, size = rows + len(table), size + table.nbytes
        if rows >= BATCH_ROWS or size >= BATCH_BYTES:
            yield _together(held)
            held, rows, size = [], 0, 0
    if held:
        yield _together(held)


def _together(tables: list[pa.Table]) -> pa.Table:
    return tables[0] if len(tables) == 1 else pa.concat_tables(tables).combine_chunks()


def _damaged(path: Path, error: BaseException) -> InputError:
    return InputError(f"cannot be read as Parquet: {error}", path)


def plain(column: pa.Array) -> pa.Array:
    """A column without dictionary encoding, which could differ from batch to batch."""
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


READER = Reader(
    name="Parquet",
    endings=(".parquet", ".pq"),
    recognized="the first bytes `PAR1`",
    reads="all columns; `points.parquet` of an earlier run is read back as it is",
    units="from names such as `x_nm` or `x [um]`; otherwise say them with `--columns`",
    export="`caml-dask run` writes it; in Python, `frame.to_parquet('table.parquet')`",
    example="table.parquet",
    begins=lambda path, head: head.startswith(MAGIC),
    opens=lambda path, head, columns, settle: open_parquet(path),
    from_folders=(".parquet", ".pq"),
)
