"""Whether workers share a folder with this machine: files made there are seen here, and locks held here hold there."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from caml_dask.seen import names_in

if TYPE_CHECKING:
    from distributed import Client

_SEEN_S = 10.0  # within which a file is seen that nobody looked for
_LOOKED_FOR_S = 65.0  # and one that was: NFS may remember for a minute that it was missing


@dataclass(frozen=True)
class Sharing:
    """What was seen of a folder that a worker should share.

    host : the worker's
    seen_s : after so many seconds a file made there was seen here; None for not at all
    looked_for_s : the same of a file that had been looked for before
    lock_refused : whether a lock held here is refused there; None where files cannot be locked there
    """

    host: str
    seen_s: float | None
    looked_for_s: float | None
    lock_refused: bool | None


def sharing(client: Client, folder: Path) -> Iterator[Sharing]:
    """Try a folder with one worker of each host; files are left in it."""
    hosts = {host: address for address, host in client.run(socket.gethostname).items()}
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for number, (host, address) in enumerate(sorted(hosts.items())):
            early, late = folder / f"{number}-looked-for", folder / f"{number}-not-looked-for"
            early.exists()
            told = client.run(_try, str(folder / "lock"), [str(early), str(late)], workers=[address])
            seen_s = _seconds_until(partial(_is_seen, late), _SEEN_S)
            looked_for_s = None if seen_s is None else _seconds_until(early.exists, _LOOKED_FOR_S)
            yield Sharing(host, seen_s, looked_for_s, told[address])
    finally:
        os.close(handle)


def _try(lock: str, files: list[str]) -> bool | None:
    """On a worker: try for a lock, and make files; whether the lock was refused."""
    refused: bool | None = False
    try:
        with Path(lock).open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        refused = True
    except OSError:
        refused = None
    with suppress(OSError):
        for file in files:
            Path(file).touch(exist_ok=False)
    return refused


def _is_seen(path: Path) -> bool:
    return path.name in names_in(path.parent) and path.exists()


def _seconds_until(seen: Callable[[], bool], longest_s: float) -> float | None:
    begun = time.monotonic()
    while not seen():
        if time.monotonic() - begun > longest_s:
            return None
        time.sleep(0.1)
    return time.monotonic() - begun
