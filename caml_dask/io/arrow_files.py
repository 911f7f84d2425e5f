"""Tables as Arrow files: whole, by columns, by the parts they were written in, or by rows."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import ipc

_FILLED = b"caml_dask.parts"  # which parts of a table have rows: each of those is one record batch
_CACHE_BYTES = 64 << 20
_MOST_CACHED = 256  # tables; small ones would otherwise pile up by the thousand


class _Cache:
    """Tables that were read last, of some bytes in all."""

    def __init__(self) -> None:
        self._tables: OrderedDict[tuple[object, ...], pa.Table] = OrderedDict()
        self._held, self._lock = 0, threading.Lock()

    def get(self, key: tuple[object, ...]) -> pa.Table | None:
        with self._lock:
            if key in self._tables:
                self._tables.move_to_end(key)
            return self._tables.get(key)

    def put(self, key: tuple[object, ...], table: pa.Table) -> None:
        with self._lock:
            if key not in self._tables:
                self._held += table.nbytes
            self._tables[key] = table
            while len(self._tables) > 1 and (self._held > _CACHE_BYTES or len(self._tables) > _MOST_CACHED):
                self._held -= self._tables.popitem(last=False)[1].nbytes


_cache = _Cache()


def write(path: Path, table: pa.Table, parts: Sequence[int] | None, compress: bool) -> None:
    """Write an Arrow file, a record batch a filled part; one that is not compressed is mapped, not read."""
    filled = None if parts is None else np.flatnonzero(np.diff(parts)).tolist()
    schema = table.schema if filled is None else table.schema.with_metadata({_FILLED: json.dumps(filled)})
    options = ipc.IpcWriteOptions(compression="lz4" if compress else None)
    with ipc.new_file(path, schema, options=options) as writer:
        if parts is None or filled is None:
            writer.write_table(table.combine_chunks())
            return
        for part in filled:
            rows = table[parts[part] : parts[part + 1]].combine_chunks()
            writer.write_table(rows.replace_schema_metadata(schema.metadata))


def _read_columns(path: Path, columns: Sequence[str] | None) -> pa.Table:
    with pa.OSFile(str(path)) as opened:
        file = ipc.open_file(opened)
        if columns is None:
            return file.read_all()
        fields = [file.schema.get_field_index(name) for name in columns]
        return ipc.open_file(opened, options=ipc.IpcReadOptions(included_fields=fields)).read_all().select(columns)


def read_rows(path: Path, rows: slice | np.ndarray, columns: Sequence[str]) -> pa.Table:
    """Rows of a file that is mapped to memory for as long as they live; its other rows are not read."""
    with pa.memory_map(str(path)) as mapped:
        return some_rows(ipc.open_file(mapped).read_all().select(columns), rows)


def some_rows(table: pa.Table, rows: slice | np.ndarray) -> pa.Table:
    """Successive rows of a table, or those of the given numbers."""
    return table[rows] if isinstance(rows, slice) else table.take(pa.array(rows))


def _filled_of(file: ipc.RecordBatchFileReader) -> list[int]:
    filled: list[int] = json.loads(file.schema.metadata[_FILLED])
    return filled


def read_filled(path: Path) -> list[int]:
    """Which of the parts that a file was written in have rows."""
    with pa.OSFile(str(path)) as opened:
        return _filled_of(ipc.open_file(opened))


def read_part(path: Path, part: int) -> pa.Table:
    """One of the parts that a file was written in."""
    with pa.OSFile(str(path)) as opened:
        file = ipc.open_file(opened)
        filled = _filled_of(file)
        batches = [file.get_batch(filled.index(part))] if part in filled else []
        return pa.Table.from_batches(batches, file.schema).replace_schema_metadata(None)


def read(path: Path, columns: tuple[str, ...] | None, run: str) -> pa.Table:
    """Read a published table through a small cache: tiles are asked for again by each of their neighbors.

    run : digest of the run: on a network file system the state of an earlier run's table may still be remembered
    """
    state = path.stat()
    key = (run, str(path), state.st_ino, state.st_mtime_ns, state.st_size, columns)
    table = _cache.get(key)
    if table is None:
        table = _read_columns(path, columns)
        _cache.put(key, table)
    return table
