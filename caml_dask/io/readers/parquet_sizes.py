"""What a Parquet file unpacks to, known before its values are read: a few bytes may say millions of equal ones.

Values other than text have a fixed width, and metadata say how many there are. Of text only the size of its pages is
known; a page of a dictionary may stand for any number of long words, so its size decides how many rows are read at
once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa
from pyarrow import compute as pc
from pyarrow import parquet

BATCH_ROWS = 1 << 16
BATCH_BYTES = 64 << 20
_WORST_BYTES = 256 << 20  # of a batch whose rows all hold the longest word that its dictionary may have
_TEXT = "BYTE_ARRAY"
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 8, "FLOAT": 4, "DOUBLE": 8, _TEXT: 4}
_DICTIONARY = 2
_HEADER_BYTES = 16


def least_bytes(file: parquet.ParquetFile) -> int:
    """Bytes that a file unpacks to at least."""
    widths = [_WIDTHS.get(leaf.physical_type) or max(1, leaf.length) for leaf in _leaves(file)]
    return sum(
        max(column.num_values * widths[leaf], column.total_uncompressed_size) for _, leaf, column in _chunks(file)
    )


def rows_at_once(file: parquet.ParquetFile, raw: BinaryIO) -> int:
    """How many rows of a file can be held together.

    Parameters
    ----------
    raw : the bytes of the file.

    Raises
    ------
    ValueError, IndexError : a page that has no size.
    """
    rows = max(1, file.metadata.num_rows)
    most = min(BATCH_ROWS, rows * BATCH_BYTES // max(1, least_bytes(file)))
    leaves = _leaves(file)
    for group_rows, leaf, column in _chunks(file):
        if leaves[leaf].physical_type == _TEXT and column.num_values:
            words = _WORST_BYTES // max(1, _dictionary_bytes(column, raw))
            most = min(most, words * group_rows // column.num_values)
    return max(1, most)


def plain_bytes(column: pa.Array) -> int:
    """Bytes of a column once it is without dictionary encoding."""
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    words = column.dictionary
    if not _is_text(words.type):
        return len(column) * int(words.nbytes // max(1, len(words)) + 1)
    return int(pc.sum(pc.take(pc.cast(pc.binary_length(words), pa.int64()), column.indices)).as_py() or 0)


def _is_text(kind: pa.DataType) -> bool:
    of_text = pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary
    return any(is_kind(kind) for is_kind in of_text)


def _leaves(file: parquet.ParquetFile) -> list[parquet.ColumnSchema]:
    return [file.schema.column(i) for i in range(len(file.schema))]


def _chunks(file: parquet.ParquetFile) -> Iterator[tuple[int, int, parquet.ColumnChunkMetaData]]:
    """Of each row group and leaf: rows of the group, number of the leaf, and what metadata say of its values."""
    for number in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(number)
        for leaf in range(group.num_columns):
            yield group.num_rows, leaf, group.column(leaf)


def _dictionary_bytes(column: parquet.ColumnChunkMetaData, raw: BinaryIO) -> int:
    """Unpacked size of the dictionary with which a column begins; 0 where it begins with values.

    A page begins with its header, in Thrift's compact protocol: type and unpacked size are its first fields.
    """
    starts = (column.dictionary_page_offset, column.data_page_offset)
    raw.seek(min(start for start in starts if start))
    header = raw.read(_HEADER_BYTES)
    kind, at = _number(header, 0)
    return _number(header, at)[0] if kind == _DICTIONARY else 0


def _number(header: bytes, at: int) -> tuple[int, int]:
    """The 32-bit field at `at`, and where the next one begins."""
    if header[at] != 0x15:  # the field after the last one, a 32-bit number
        raise ValueError("a page does not begin with its header")
    value = shift = 0
    while True:
        at += 1
        value |= (header[at] & 0x7F) << shift
        shift += 7
        if not header[at] & 0x80:
            return value >> 1, at + 1  # numbers from 0 on have a last bit of 0
