"""Where an image's tables live while it is analysed: in memory, or in the run directory (DESIGN law 6).

A unit writes each file under a working name, syncs it, renames it; when all stand, its done record is written the
same way, with every file's size and digest. Finished means: the done record exists. Records are found by listing their
folders, as another machine may make them later (:mod:`caml_dask.seen`); tables are found by records alone.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from caml_dask.atomic import (
    WORKING,
    fingerprint,
    publish,
    publish_json,
    publish_text,
    read_json,
    room_for,
    sweep,
    sync,
)
from caml_dask.errors import DiskFullError, OutputError, StoreError
from caml_dask.groups import make_folder
from caml_dask.io import arrow_files
from caml_dask.locks import held
from caml_dask.seen import awaited, names_in, stands

SHARD = 1000
_LONGEST_UNIT_S = 3600.0  # units take seconds, at most minutes: who holds one for longer hangs
_log = logging.getLogger("caml_dask")

_Read = TypeVar("_Read")


class Store(ABC):
    """Tables of one image by name and number, and its output files.

    Two kinds serve the same stages: :class:`MemoryStore` for what fits one process, :class:`DirectoryStore` for the
    rest.
    """

    def __init__(self, outputs: Path | None):
        self._outputs = outputs
        self.written: list[Path] = []

    @abstractmethod
    def put(
        self, name: str, key: int, table: pa.Table, parts: Sequence[int] | None = None, ranged: bool = False
    ) -> None:
        """Keep a table.

        parts : the offsets at which it may be taken apart again by :meth:`get_part`
        ranged : :meth:`get_rows` will ask for ranges of its rows, and then reads no others
        """

    @abstractmethod
    def get(self, name: str, key: int, columns: Sequence[str] | None = None) -> pa.Table:
        """A table that was put; some of its columns, or all."""

    @abstractmethod
    def get_part(self, name: str, key: int, part: int) -> pa.Table:
        """One of the parts a table was put with."""

    @abstractmethod
    def filled(self, name: str, key: int) -> list[int]:
        """Which of the parts a table was put with have rows."""

    @abstractmethod
    def get_rows(self, name: str, key: int, rows: slice | np.ndarray, columns: Sequence[str]) -> pa.Table:
        """Successive rows, or those of the given numbers, of some columns of a table that was put as `ranged`."""

    @property
    def has_outputs(self) -> bool:
        """Whether output files are wanted at all."""
        return self._outputs is not None

    def in_memory(self) -> MemoryStore:
        """An empty store in memory with the same output directory."""
        return MemoryStore(self._outputs)

    def output(self, name: str, write: Callable[[Path], object]) -> None:
        """Publish an output file: `write` fills a working file, which is synced and renamed to `name`."""
        if self._outputs is None:
            raise StoreError(f"no output directory to write {name} to")
        path = self._outputs / name
        publish(path, write, lasting=False)
        self.written.append(path)


class MemoryStore(Store):
    """Tables held in memory."""

    def __init__(self, outputs: Path | None = None):
        super().__init__(outputs)
        self._tables: dict[tuple[str, int], tuple[pa.Table, Sequence[int] | None]] = {}

    def put(
        self, name: str, key: int, table: pa.Table, parts: Sequence[int] | None = None, ranged: bool = False
    ) -> None:
        self._tables[name, key] = (table, parts)

    def drop(self, name: str) -> None:
        """Let the tables of a name go."""
        for found in [(kind, key) for kind, key in self._tables if kind == name]:
            del self._tables[found]

    def get(self, name: str, key: int, columns: Sequence[str] | None = None) -> pa.Table:
        table = self._tables[name, key][0]
        return table if columns is None else table.select(list(columns))

    def get_part(self, name: str, key: int, part: int) -> pa.Table:
        table, parts = self._tables[name, key]
        if parts is None:
            raise StoreError(f"{name} {key} was stored in one part; part {part} was asked for")
        return table.slice(parts[part], parts[part + 1] - parts[part])

    def filled(self, name: str, key: int) -> list[int]:
        parts = self._tables[name, key][1]
        return [] if parts is None else np.flatnonzero(np.diff(parts)).tolist()

    def get_rows(self, name: str, key: int, rows: slice | np.ndarray, columns: Sequence[str]) -> pa.Table:
        return arrow_files.some_rows(self.get(name, key, columns), rows)


class DirectoryStore(Store):
    """Tables as Arrow files under a directory of the image's own, with the done records of its units.

    root : the run directory, to which the paths in done records are relative
    scratch, outputs : directories of the image under it, for tables and for what users get
    run : digest of the run; the done records of another are none
    """

    def __init__(self, root: Path, scratch: Path, outputs: Path, run: str):
        super().__init__(outputs)
        self._root, self._scratch, self._run = root, scratch, run
        self._listed: dict[str, set[int]] = {}  # units by stage whose records were there when the folder was listed

    def begin(self) -> bool:
        """Make the image's own folder, before others look for records in it; whether there was none.

        Raises
        ------
        DiskFullError : no room for it is left.
        """
        folder = self._scratch / "done"
        if folder.is_dir():
            return False
        with room_for(folder):
            make_folder(folder)
        return True

    def show_outputs(self) -> Path:
        """The folder of the outputs, made where there is none: this machine then sees it, whoever made it.

        Raises
        ------
        OutputError : a link stands there: what is written stays under the root.
        """
        if self._outputs is None:
            raise StoreError("there is no output directory")
        with room_for(self._outputs), suppress(FileExistsError):
            make_folder(self._outputs)
        if self._outputs.is_symlink():
            raise OutputError(f"{self._outputs} is a link, which a run does not follow: remove it")
        return self._outputs

    def output(self, name: str, write: Callable[[Path], object]) -> None:
        self.show_outputs()
        super().output(name, write)

    def put(
        self, name: str, key: int, table: pa.Table, parts: Sequence[int] | None = None, ranged: bool = False
    ) -> None:
        path = self._table(name, key)
        publish(path, lambda working: arrow_files.write(working, table, parts, not ranged), lasting=False)
        self.written.append(path)

    def get(self, name: str, key: int, columns: Sequence[str] | None = None) -> pa.Table:
        wanted = None if columns is None else tuple(columns)
        return _guarded(self._table(name, key), lambda path: arrow_files.read(path, wanted, self._run))

    def get_part(self, name: str, key: int, part: int) -> pa.Table:
        return _guarded(self._table(name, key), lambda path: arrow_files.read_part(path, part))

    def filled(self, name: str, key: int) -> list[int]:
        return _guarded(self._table(name, key), arrow_files.read_filled)

    def get_rows(self, name: str, key: int, rows: slice | np.ndarray, columns: Sequence[str]) -> pa.Table:
        return _guarded(self._table(name, key), lambda path: arrow_files.read_rows(path, rows, columns))

    def _table(self, name: str, key: int) -> Path:
        return self._scratch / name / f"{key // SHARD:03d}" / f"{key:06d}.arrow"

    def _record(self, stage: str, unit: int) -> Path:
        return self._scratch / "done" / stage / f"{unit // SHARD:03d}" / f"{unit:06d}.json"

    def finish(self, stage: str, unit: int, record: dict[str, Any]) -> dict[str, Any]:
        """Record that a unit is done, with the size and digest of every file it wrote, once all have their names."""
        for folder in {path.parent for path in self.written}:
            with room_for(folder):
                sync(folder)
        files = {path.relative_to(self._root).as_posix(): fingerprint(path) for path in self.written}
        record = {**record, "run": self._run, "stage": stage, "unit": unit, "files": files}
        publish_json(self._record(stage, unit), record)
        self.written = []
        return record

    def done(self, stage: str, unit: int) -> dict[str, Any] | None:
        """The done record of a unit, or None where it is not finished; a damaged record is none, and is named."""
        if unit not in self._listed.get(stage, ()) and unit not in self._list(stage, f"{unit // SHARD:03d}"):
            return None
        path = self._record(stage, unit)
        try:
            record = awaited(path, read_json, grace_s=0.0)
        except FileNotFoundError:
            return None
        except (ValueError, OSError) as error:
            _log.warning("%s is damaged (%s): its unit counts as not done", path, error)
            return None
        return record if record.get("run") == self._run else None

    def made(self, stage: str, unit: int) -> dict[str, Any]:
        """The done record of a unit that is known to be finished, on this machine or another.

        Raises
        ------
        StoreError : it is damaged, or not seen here.
        """
        path = self._record(stage, unit)
        try:
            return awaited(path, read_json)
        except FileNotFoundError:
            raise StoreError(
                f"{path}: its unit is done, but {socket.gethostname()} does not see the record: check that the file "
                "system shows every machine what the others write, and run again with --resume"
            ) from None
        except (ValueError, OSError) as error:
            raise StoreError(f"{path} is damaged ({error}): run again with --resume") from error

    def recorded(self, stage: str) -> list[int]:
        """Numbers of the units of a stage for which a done record stands, whatever it says."""
        folder = self._scratch / "done"
        shards = names_in(folder / stage) if stage in names_in(folder) else set[str]()
        return sorted(unit for shard in shards for unit in self._list(stage, shard))

    def _list(self, stage: str, shard: str) -> set[int]:
        """Units of a shard of a stage whose records stand, by listing the folders on the way."""
        done = self._scratch / "done"
        folder = done / stage / shard
        names = names_in(folder) if stands(folder, done) else set[str]()
        found = {int(name.removesuffix(".json")) for name in names if name.endswith(".json")}
        self._listed.setdefault(stage, set()).update(found)
        return found

    def finished(self, stage: str) -> list[float]:
        """When each finished unit of a stage was recorded as done, in seconds since the epoch; for who only watches."""
        try:
            return [self._record(stage, unit).stat().st_mtime for unit in self.recorded(stage)]
        except OSError:  # the run is removed meanwhile
            return []

    def altered(
        self, record: dict[str, Any], outputs_only: bool = False, untouched_since_ns: int | None = None
    ) -> list[str]:
        """Files of a done record that are missing or do not match the size and digest it states.

        untouched_since_ns : a file of the stated size that was last written before, in ns since the epoch, is taken to
            match and not read
        """
        names = [n for n in record["files"] if not outputs_only or (self._root / n).is_relative_to(self._outputs)]
        stated = {self._root / name: record["files"][name] for name in names}
        if untouched_since_ns is not None:
            stated = {p: s for p, s in stated.items() if not _untouched(p, s, untouched_since_ns)}
        return [path.relative_to(self._root).as_posix() for path, s in stated.items() if self._found(path) != s]

    def _found(self, path: Path) -> list[int | str] | None:
        """The fingerprint of a file of the image; None where there is none."""
        if not self._stands(path):
            return None
        with suppress(FileNotFoundError):
            return awaited(path, lambda there: there.stat() and fingerprint(there), grace_s=0.0)
        return None

    def stands(self, name: str) -> bool:
        """Whether there is a file of this name, as done records say it."""
        return self._stands(self._root / name)

    def _stands(self, path: Path) -> bool:
        own = self._scratch if path.is_relative_to(self._scratch) or self._outputs is None else self._outputs
        return stands(path, own)

    def forget(self, stage: str, unit: int) -> None:
        """Withdraw a done record, so that its unit runs again."""
        if unit in self._list(stage, f"{unit // SHARD:03d}"):
            with suppress(FileNotFoundError):
                awaited(self._record(stage, unit), os.unlink, grace_s=0.0)
        self._listed.get(stage, set()).discard(unit)

    @contextmanager
    def claimed(self, stage: str, unit: int) -> Iterator[None]:
        """The unit is this process' to run while the context lasts; another one that runs it is waited for.

        Raises
        ------
        StoreError : another process holds it for far longer than a unit takes.
        """
        path = self._scratch / f"{stage}-{unit:06d}.claim"
        with held(path, _LONGEST_UNIT_S):
            yield
            path.unlink(missing_ok=True)  # it is done: who comes later finds the record

    def fail(self, stage: str, unit: int, reason: str | None) -> None:
        """Note why a unit failed, for who has not seen it; None withdraws the note. On a full disk there is none."""
        path = self._scratch / "failed" / f"{stage}-{unit:06d}.txt"
        if reason is None:
            if stands(path, self._scratch):
                path.unlink(missing_ok=True)
            return
        with suppress(OSError, DiskFullError):
            publish_text(path, reason)

    def failures(self, stage: str, units: Iterable[int]) -> list[str]:
        """The notes of :meth:`fail` on some units of a stage."""
        folder, found = self._scratch / "failed", []
        there = names_in(folder) if stands(folder, self._scratch) else set[str]()
        for name in (f"{stage}-{unit:06d}.txt" for unit in units):
            if name in there:
                with suppress(FileNotFoundError):
                    found.append(awaited(folder / name, lambda path: path.read_text(encoding="utf-8"), grace_s=0.0))
        return found

    def sweep(self) -> None:
        """Remove working files that units left behind when they were killed. Only for who holds the run's lock."""
        for directory in (self._scratch, self.show_outputs()):
            sweep(directory.rglob(WORKING))

    def clear_tables(self) -> None:
        """Remove the image's working tables; its outputs and the done records stand."""
        for child in (self._scratch / name for name in names_in(self._scratch) - {"done"}):
            shutil.rmtree(child) if child.is_dir() else child.unlink(missing_ok=True)


def _untouched(path: Path, stated: list[int | str], since_ns: int) -> bool:
    try:
        now = path.stat()
    except OSError:
        return False
    return now.st_size == stated[0] and now.st_mtime_ns <= since_ns


def _guarded(path: Path, read: Callable[[Path], _Read]) -> _Read:
    try:
        return awaited(path, read)
    except (pa.ArrowException, OSError) as error:
        raise StoreError(f"{path}: a working table is missing or damaged ({error}); run again with --resume") from error
