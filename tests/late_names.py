"""A machine that remembers which names it did not find, as NFS and FUSE clients do, and what that hides from it.

    CAML_LATE_ROOT=DIR CAML_LATE_JOURNAL=FILE python tests/late_names.py run CELLS.csv --out DIR

Python's and Arrow's ways to look up a name below a folder are wrapped: one that was not found stays missing, whoever
makes it, until its time is over or this machine makes it itself; listing its folder does not help. (What a machine
itself removes, FUSE asks for again, and NFS once its folder is listed.) Run as a program, this is `caml-dask`, whose
driver and workers are each a machine of their own; names that exist and were taken for missing are appended to the
journal.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from caml_dask.cli import main

LOOKUPS = ((os, "stat"), (os, "lstat"), (os, "listdir"), (os, "scandir"), (pa, "OSFile"), (pa, "memory_map"))
OPENED, MADE = ((os, "open"), (io, "open"), (builtins, "open")), ((os, "mkdir"),)
REMOVED, RENAMED = ((os, "unlink"), (os, "remove"), (os, "rmdir")), ((os, "rename"), (os, "replace"))
_lstat = os.lstat


class Machine:
    """Names below `root` as one machine sees them, while it is entered.

    lasts_s : how long it remembers that a name was missing
    tell : called with each name that exists and is taken for missing
    """

    def __init__(self, root: Path, lasts_s: float, tell: Callable[[str], object]):
        self._root, self._lasts_s, self._tell = os.fspath(root.absolute()), lasts_s, tell
        self._missing: dict[str, float] = {}
        self._real: list[tuple[Any, str, Any]] = []

    def __enter__(self) -> Machine:
        for place, name in (*LOOKUPS, *OPENED, *MADE, *REMOVED, *RENAMED):
            kind = next(k for k in (LOOKUPS, OPENED, MADE, REMOVED, RENAMED) if (place, name) in k)
            real = getattr(place, name)
            self._real.append((place, name, real))
            setattr(place, name, self._wrapped(real, kind))
        return self

    def __exit__(self, *_: object) -> None:
        for place, name, real in self._real:
            setattr(place, name, real)
        self._real = []

    def _wrapped(self, real: Any, kind: Any) -> Any:
        def call(path: Any = ".", *rest: Any, **named: Any) -> Any:
            if not isinstance(path, str | os.PathLike) or named.get("dir_fd") is not None:
                return real(path, *rest, **named)
            target = os.path.abspath(os.fspath(rest[0] if kind is RENAMED else path))  # noqa: PTH100 - follows no link
            if not target.startswith(self._root):
                return real(path, *rest, **named)
            makes = kind in (MADE, RENAMED) or (kind is OPENED and _creates(*rest, **named))
            self._refuse(target, makes)
            try:
                result = real(path, *rest, **named)
            except FileNotFoundError:
                self._remember(target)
                raise
            except FileExistsError:
                self._missing.pop(target, None)
                raise
            if makes:
                self._missing.pop(target, None)
            return result

        return call

    def _steps(self, path: str) -> list[str]:
        """The root and each name below it on the way to a path."""
        below = path[len(self._root) :].strip("/").split("/")
        return [self._root, *("/".join([self._root, *below[: i + 1]]) for i in range(len(below)) if below[0])]

    def _refuse(self, path: str, makes: bool) -> None:
        steps = self._steps(path)
        for step in steps[: len(steps) - makes]:
            if self._missing.get(step, 0.0) > time.monotonic():
                try:
                    _lstat(step)
                except OSError:
                    pass
                else:
                    self._tell(step)
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)

    def _remember(self, path: str) -> None:
        if path.endswith(".working"):  # names of this machine's own, which Arrow fills unseen
            return
        for step in self._steps(path):
            try:
                _lstat(step)
            except OSError:
                self._missing[step] = time.monotonic() + self._lasts_s
                return


def _creates(mode: Any = "r", *rest: Any, **named: Any) -> bool:
    mode = named.get("mode", named.get("flags", mode))
    return bool(mode & os.O_CREAT) if isinstance(mode, int) else any(letter in mode for letter in "wax")


def _note(name: str) -> None:
    handle = os.open(os.environ["CAML_LATE_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(handle, f"{os.getpid()} {name}\n".encode())
    os.close(handle)


if __name__ in ("__main__", "__mp_main__"):  # the driver, and its workers
    Machine(Path(os.environ["CAML_LATE_ROOT"]), 600.0, _note).__enter__()
if __name__ == "__main__":
    main()
