"""The first look at the inputs of a run: which images are in each, and a digest of it; of many, on all cores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from caml_dask import other_python
from caml_dask.executors.deployment.clusters import cores
from caml_dask.io.manifest import content_of
from caml_dask.runs.inputs import channels_of
from caml_dask.settings import ColumnMap

_MANY = 300  # files that take longer than another process takes to start


@dataclass(frozen=True)
class Look:
    """What a file holds.

    path : of the file
    channels : as :func:`caml_dask.runs.inputs.channels_of` lists them
    content : as :func:`caml_dask.io.manifest.content_of` has it, without regions of interest
    """

    path: Path
    channels: list[str | None]
    content: list[int | str] | None


def look_at(paths: Sequence[Path], columns: ColumnMap) -> list[Look]:
    """Look at files, in their order.

    Raises
    ------
    UsageError : columns that cannot be used.
    """
    processes = min(cores(), len(paths) // _MANY + 1) if other_python.can_start() else 1
    shares = [paths[first::processes] for first in range(processes)]
    found: list[list[Look]] = []
    with _elsewhere(shares[1:], columns) as helpers:
        found.append([_look(path, columns) for path in shares[0]])
        for helper, share in zip(helpers, shares[1:], strict=True):
            said = helper.communicate()[0]
            try:
                found.append([Look(path, *told) for path, told in zip(share, json.loads(said), strict=True)])
            except (ValueError, TypeError):  # whatever ended it is found here, or does not come up
                found.append([_look(path, columns) for path in share])
    return [found[number % processes][number // processes] for number in range(len(paths))]


def _look(path: Path, columns: ColumnMap) -> Look:
    return Look(path, channels_of(path, columns), content_of(path))


@contextmanager
def _elsewhere(shares: Sequence[Sequence[Path]], columns: ColumnMap) -> Iterator[list[subprocess.Popen[bytes]]]:
    """A process for each share, that looks at its files while the context lasts."""
    helpers: list[subprocess.Popen[bytes]] = []
    try:
        for share in shares:
            with tempfile.TemporaryFile() as asked:
                asked.write(json.dumps([[os.fsdecode(path) for path in share], asdict(columns)]).encode())
                asked.seek(0)
                helpers.append(
                    other_python.start(answer, stdin=asked, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                )
        yield helpers
    finally:
        for helper in helpers:
            helper.kill()
            helper.wait()
            if helper.stdout is not None:
                helper.stdout.close()


def answer() -> None:
    """Look at the files that stdin names, and tell of them on stdout."""
    paths, columns = json.load(sys.stdin)
    looks = [_look(Path(path), ColumnMap(**columns)) for path in paths]
    json.dump([[look.channels, look.content] for look in looks], sys.stdout)
