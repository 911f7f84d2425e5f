"""Who holds a directory, by a file of each holder's own, which it changes every few seconds.

Locks of some file systems hold on one machine only (Lustre with localflock, NFS with nolock). So each holder makes a
file, and then lists those of the others: of two, at least the one that lists later sees the other. No clock is
compared: a holder lives if its file changes while it is watched, and has ended if it does not for half a minute. On the
machine of the holder its lock decides at once.
"""

from __future__ import annotations

import _thread
import logging
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from caml_dask.atomic import room_for
from caml_dask.groups import writable_by_group
from caml_dask.seen import names_in

BEAT_S = 5.0
SILENT_S = 30.0  # without a change, after which a holder on another machine has ended
_BETWEEN_LOOKS_S = 0.5
_ENDING = ".holder"
_WORDS = re.compile(r"process (\d+) on (\S+), machine (\S*), (alone|shared), beat \d+\n")
_log = logging.getLogger("caml_dask")


@dataclass(frozen=True)
class _Mark:
    """What a holder's file says: its process and host, the run of its machine, whether others may hold it too."""

    process: int
    host: str
    machine: str
    shared: bool

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}"

    @property
    def is_here(self) -> bool:
        """Whether it runs, or ran, on this machine since that was started: then its lock tells of it."""
        return (self.host, self.machine) == (socket.gethostname(), _machine())

    def text(self, beat: int) -> bytes:
        kind = "shared" if self.shared else "alone"
        said = f"process {self.process} on {self.host}, machine {self.machine}, {kind}, beat {beat:012d}\n"
        return said.encode()


@lru_cache(maxsize=1)
def _machine() -> str:
    """What tells this machine, since it was started, from others of its name; nothing where that is not known."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


@contextmanager
def announced(folder: Path, shared: bool) -> Iterator[Path]:
    """Have a file in `folder` that changes every few seconds while the context lasts; its path.

    Where another process removes it, as one does that has heard nothing of this one for long, the main thread is
    interrupted.

    Raises
    ------
    DiskFullError : no room for it is left.
    """
    path = folder / f"{os.getpid()}-{uuid.uuid4().hex}{_ENDING}"
    mark = _Mark(os.getpid(), socket.gethostname(), _machine(), shared)
    with room_for(folder), writable_by_group(folder):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    ended = threading.Event()
    beating = threading.Thread(target=_beat, args=(handle, path, mark, ended), daemon=True)
    try:
        with room_for(folder):
            os.pwrite(handle, mark.text(0), 0)
            os.fsync(handle)
        beating.start()
        yield path
    finally:
        ended.set()
        if beating.ident is not None:
            beating.join()
        os.close(handle)
        path.unlink(missing_ok=True)


def _beat(handle: int, path: Path, mark: _Mark, ended: threading.Event) -> None:
    beat = 0
    while not ended.wait(BEAT_S):
        beat += 1
        with suppress(OSError):  # a full disk, or a server that does not answer: tried again
            os.pwrite(handle, mark.text(beat), 0)
            os.fsync(handle)
        with suppress(PermissionError):
            if path.exists():
                continue
        _log.error(
            "%s is gone: another process took the directory over, as nothing was heard of this one for %g s, or it was "
            "removed; this process ends",
            path,
            SILENT_S,
        )
        _thread.interrupt_main()
        return


def living_other(folder: Path, own: Path) -> str | None:
    """Another process that holds the directory and lives, in words; None where there is none.

    One on another machine is watched until its file changes, or has not for half a minute; the files of those that
    ended are removed. Call it with the lock of this machine, and with a file of :func:`announced`.

    own : the file of this process; if it says shared, others that say so do not count
    """
    together = _read(own)[1]
    watched: dict[str, tuple[bytes, float]] = {}
    said = False
    while True:
        waiting = []
        for name in sorted(name for name in names_in(folder) if name.endswith(_ENDING) and name != own.name):
            content, mark = _read(folder / name)
            if content is None:  # a listing on NFS may be a moment older than the file's end
                continue
            if mark is not None and mark.shared and together is not None and together.shared:
                continue
            before, since = watched.setdefault(name, (content, time.monotonic()))
            if content != before:
                return "another process" if mark is None else str(mark)
            if mark is not None and mark.is_here:  # its lock is free
                _remove(folder / name)
            elif time.monotonic() - since > SILENT_S:
                _log.warning("%s, which held %s, has been silent for %g s: it has ended", mark, folder, SILENT_S)
                _remove(folder / name)
            else:
                waiting.append(mark)
        if not waiting:
            return None
        if not said:
            said = True
            _log.info("%s held %s: waiting up to %g s for a sign of life", waiting[0], folder, SILENT_S)
        time.sleep(_BETWEEN_LOOKS_S)


def lives(folder: Path, process: int, host: str) -> bool:
    """Whether a process of another machine that holds the directory lives.

    Its file changed in the last half minute by the clock of this machine, or changes while it is watched for some
    seconds.
    """
    for name in names_in(folder):
        if not name.endswith(_ENDING):
            continue
        content, mark = _read(folder / name)
        if mark is None or (mark.process, mark.host) != (process, host):
            continue
        with suppress(OSError):
            if abs(time.time() - (folder / name).stat().st_mtime) < SILENT_S:
                return True
        until = time.monotonic() + 2.0 * BEAT_S
        while time.monotonic() < until:
            time.sleep(_BETWEEN_LOOKS_S)
            if _read(folder / name)[0] not in (content, b"", None):
                return True
    return False


def _read(path: Path) -> tuple[bytes | None, _Mark | None]:
    """What a holder's file holds, None where it is gone, and what that says; nothing of one that is just being made."""
    try:
        content = path.read_bytes()  # opened each time: NFS then asks the server
    except FileNotFoundError:
        return None, None
    except OSError:
        return b"", None
    found = _WORDS.fullmatch(content.decode(errors="replace"))
    return content, None if found is None else _Mark(int(found[1]), found[2], found[3], found[4] == "shared")


def _remove(path: Path) -> None:
    with suppress(OSError):  # of another user, or removed by another
        path.unlink()
