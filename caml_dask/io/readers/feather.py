"""Feather files, which are Arrow tables: streamed a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow import ipc

from caml_dask.errors import InputError
from caml_dask.io.readers.headers import Header
from caml_dask.io.readers.parquet import plain
from caml_dask.io.readers.reader import Reader

MAGIC = b"ARROW1"

# What pyarrow raises on damaged files.
_FAULTS = (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError)


@dataclass(frozen=True)
class FeatherReader:
    """One Feather file, ready to be streamed as often as wanted; it can be pickled.

    Parameters
    ----------
    path : the file.
    header : the names of its columns.
    settled, decimal : as of every opened file.
    """

    path: Path
    header: Header
    settled: bool = True
    decimal: str = "."

    def batches(self, columns: Sequence[int] | None = None) -> Iterator[pa.Table]:
        """Successive tables of the columns at `columns` of the header (all by default), in that order.

        Raises
        ------
        InputError : the file is damaged.
        """
        chosen = list(range(len(self.header.names)) if columns is None else columns)
        number = 0
        while (batch := self._batch(number)) is not None:
            number += 1
            picked = [plain(batch.column(i)) for i in chosen]
            yield pa.table(picked, names=[str(i) for i in chosen])

    def _batch(self, number: int) -> pa.RecordBatch | None:
        try:
            with pa.OSFile(str(self.path.absolute())) as file:
                reader = ipc.open_file(file)
                if number >= reader.num_record_batches:
                    return None
                batch = reader.get_batch(number)
                batch.validate(full=True)
                return batch
        except _FAULTS as error:
            raise _damaged(self.path, error) from error


def open_feather(path: Path) -> FeatherReader:
    """Read the columns' names.

    Raises
    ------
    InputError : a damaged file, or one without rows.
    """
    try:
        with pa.OSFile(str(path.absolute())) as file:
            reader = ipc.open_file(file)
            names = tuple(reader.schema.names)
            rows = any(reader.get_batch(i).num_rows for i in range(reader.num_record_batches))
    except _FAULTS as error:
        raise _damaged(path, error) from error
    if not rows:
        raise InputError("holds no localizations", path)
    return FeatherReader(path, Header(path, names))


def _damaged(path: Path, error: BaseException) -> InputError:
    return InputError(f"cannot be read as Feather: {error}", path)


READER = Reader(
    name="Feather",
    endings=(".feather", ".arrow"),
    recognized="the first bytes `ARROW1`",
    reads="all columns",
    units="from names such as `x_nm` or `x [um]`; otherwise say them with `--columns`",
    export="in Python, `frame.to_feather('table.feather')`",
    example="table.feather",
    begins=lambda path, head: head.startswith(MAGIC),
    opens=lambda path, head, columns, settle: open_feather(path),
    from_folders=(".feather", ".arrow"),
)
