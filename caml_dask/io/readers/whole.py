"""Files that cannot be read in pieces: refused where they need more memory than there is."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from caml_dask.errors import InputError

_SHARE = 2  # of the memory, a file may take one part in so many
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_bytes() -> int:
    """Memory of this machine, or what its container or job may use of it."""
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for limit in _LIMITS:
        with suppress(OSError, ValueError):  # no limit: no such file, or the word "max"
            found.append(int(Path(limit).read_text(encoding="ascii")))
    return min(found)


def refuse_beyond_memory(needed: int, path: Path, instead: str) -> None:
    """Refuse a file that needs more than half of the memory.

    Parameters
    ----------
    needed : bytes, as the file says before its values are read.
    instead : what to do.

    Raises
    ------
    InputError
    """
    allowed = memory_bytes() // _SHARE
    if needed > allowed:
        raise InputError(
            f"is held whole and needs {needed / 1e9:,.1f} GB; up to {allowed / 1e9:,.1f} GB, half of the memory here, "
            f"may be used: {instead}, or read it where there is more memory",
            path,
        )
