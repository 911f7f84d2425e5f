"""Arrays of numpy: rows of named fields, or of two to sixteen numbers, streamed in blocks.

Nothing is unpickled. A file is read and never mapped into memory, so that one cut short while it is read is an error.
"""

from __future__ import annotations

import tokenize
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format

from caml_dask.errors import InputError, UnreadableError
from caml_dask.io.readers.arrays import BLOCK_ROWS, Array, ArrayTable, array_table, column, is_numerical
from caml_dask.io.readers.reader import Reader
from caml_dask.settings import ColumnMap

MAGIC = b"\x93NUMPY"

_BLOCK_BYTES = 64 << 20
_WIDEST = 16
_LONGEST_HEADER = 100_000
_FAULTS = (
    tokenize.TokenError,
    ValueError,
    TypeError,
    SyntaxError,
    KeyError,
    OverflowError,
    EOFError,
    RecursionError,
    MemoryError,
)


@dataclass(frozen=True)
class NpyArray:
    """An array in a file, of one or two dimensions.

    Parameters
    ----------
    path : the file.
    start : where its values begin, in bytes.
    dtype : of a value.
    shape : rows, and columns where there are two dimensions.
    by_columns : a column lies after the other, and not a row.
    """

    path: Path
    start: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    by_columns: bool

    def blocks(self) -> Iterator[Array]:
        """Successive blocks of rows, (n,) or (n, k).

        Raises
        ------
        InputError : the file ends before its last row.
        """
        rows, width = self.shape[0], int(np.prod(self.shape[1:], dtype=np.int64))
        row_bytes = max(1, self.dtype.itemsize * width)
        step = max(1, min(BLOCK_ROWS, _BLOCK_BYTES // row_bytes))
        try:
            with self.path.open("rb") as file:
                file.seek(self.start)
                for at in range(0, rows, step):
                    count = min(step, rows - at)
                    if self.by_columns:
                        starts = [self.start + (i * rows + at) * self.dtype.itemsize for i in range(width)]
                        yield np.column_stack([self._read(file, count, start) for start in starts])
                    else:
                        yield self._read(file, count * width).reshape(count, *self.shape[1:])
        except OSError as error:
            raise UnreadableError(f"cannot be read: {error.strerror or error}", self.path) from error

    def _read(self, file: Any, count: int, start: int | None = None) -> Array:
        if start is not None:
            file.seek(start)
        content = file.read(count * self.dtype.itemsize)
        if len(content) < count * self.dtype.itemsize:
            raise InputError(
                f"ends before the last of its {self.shape[0]:,} rows: copy or download it again", self.path
            )
        return np.frombuffer(content, self.dtype)


def array_in(path: Path) -> NpyArray:
    """The array that a file says it holds.

    Raises
    ------
    InputError : a damaged description, or an array of objects or of more than two dimensions.
    """
    try:
        with path.open("rb") as file:
            version = npy_format.read_magic(file)
            read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
            shape, by_columns, dtype = read(file, max_header_size=_LONGEST_HEADER)
            start = file.tell()
    except _FAULTS as error:
        raise InputError(f"cannot be read as an array of numpy: {' '.join(str(error).split())[:120]}", path) from error
    if dtype.hasobject:
        raise InputError("holds objects of Python, which are not read: save plain numbers, or CSV", path)
    if not 1 <= len(shape) <= 2 or dtype.itemsize == 0:
        raise InputError(f"holds an array of shape {shape}: wanted rows of named fields, or (n, 2) or (n, 3)", path)
    return NpyArray(path, start, dtype, shape, by_columns and len(shape) == 2 and 1 not in shape)


def begins(path: Path, head: bytes) -> bool:
    """Whether a file begins as numpy writes it."""
    return head.startswith(MAGIC)


def opens(path: Path, head: bytes, columns: ColumnMap, settle: bool) -> ArrayTable:
    """Open an array.

    Raises
    ------
    InputError : it is damaged, or no table of numbers.
    """
    array = array_in(path)
    if array.dtype.names and len(array.shape) == 1:
        own = [column(name, name) for name in array.dtype.names if is_numerical(array.dtype[name])]
        return array_table(path, array.shape[0], own, [], NpyBlocks(array), columns)
    if len(array.shape) != 2 or not 2 <= array.shape[1] <= _WIDEST or not is_numerical(array.dtype):
        raise InputError(
            f"holds {array.dtype} in shape {array.shape}: wanted rows of named fields, or numbers in two to {_WIDEST} "
            "columns",
            path,
        )
    own = [column("", str(i), component=None) for i in range(array.shape[1])]
    table = array_table(path, array.shape[0], own, [], NpyBlocks(array), columns)
    return replace(table, header=replace(table.header, numbered=True))


@dataclass(frozen=True)
class NpyBlocks:
    """Blocks of rows of an array: its fields, or its columns by their numbers from "0"."""

    array: NpyArray

    def __call__(self, sources: Sequence[str]) -> Iterator[Mapping[str, Array]]:
        """Successive blocks of the columns `sources`."""
        for block in self.array.blocks():
            if block.dtype.names:
                yield {source: block[source] for source in sources}
            else:
                yield {source: block[:, int(source)] for source in sources}


READER = Reader(
    name="numpy",
    endings=(".npy",),
    recognized="the first bytes `\\x93NUMPY`, and no MINFLUX",
    reads="named fields, or columns that are numbered from 1",
    units="from names such as `x_nm`; otherwise say them with `--columns`",
    export="`numpy.save('table.npy', xy)`",
    example="table.npy --columns x=1,y=2,unit=nm",
    begins=begins,
    opens=opens,
    from_folders=(".npy",),
)
