"""What a Dask worker does: a batch of units, one after another, each with a report or a failure of its own."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

from caml_dask import __version__
from caml_dask.errors import CamlError, OutputError
from caml_dask.executors.pending import conclude
from caml_dask.executors.units import Key, in_words, run_unit
from caml_dask.io.run_directory import HIDDEN, SHARED_PART, Run
from caml_dask.io.shared_part import Part, open_shared_part, with_parts
from caml_dask.pipeline import FIRST
from caml_dask.seen import names_in

Outcome: TypeAlias = dict[str, Any] | CamlError
"""The report of a unit, or what it found wrong."""
_SEEN_S = 60.0  # within which a worker sees the file that the driver wrote
_REPORTED = ("stage", "unit", "rows", "seconds", "fused")


def run_batch(root: str, which: tuple[str, str], parts: Sequence[Part], keys: Sequence[Key]) -> list[Outcome]:
    """Run units one after another; a failure is returned, not raised, and the others go on.

    Raised, Dask would print it with a traceback on the terminal of the user. Each unit is recorded as it ends: if the
    worker is lost, who repeats the batch finds the records, and does what has none.

    Parameters
    ----------
    root : the run directory.
    which : of :func:`which_run`.
    parts : the images of the units.
    keys : of the units; the first of each is the place of its image in `parts`.
    """
    try:
        run = with_parts(_open(root, which), parts)
    except Exception as error:
        return [in_words(error)] * len(keys)
    return [_outcome(run, key) for key in keys]


def which_run(run: Run) -> tuple[str, str]:
    """What tells a run from an earlier one in its place, or from the same before its network was moved."""
    return run.digest, run.manifest["settings_digest"]


def _outcome(run: Run, key: Key) -> Outcome:
    try:
        store = run.store(run.images[key[0]])
        if key[1] == FIRST.name:
            store.begin()
        record = run_unit(run, key)
        if record.get("fused"):
            conclude(store)
        return report_of(record)
    except Exception as error:
        return in_words(error)


def report_of(record: dict[str, Any]) -> dict[str, Any]:
    """What the driver needs of a done record."""
    return {name: record[name] for name in _REPORTED if name in record}


@lru_cache(maxsize=4)
def _open(root: str, which: tuple[str, str]) -> Run:
    """The run that the driver began, without images; this machine may still remember one that was there before."""
    here, until = socket.gethostname(), time.monotonic() + _SEEN_S
    if SHARED_PART not in names_in(Path(root) / HIDDEN):
        raise OutputError(f"the worker on {here} does not see {root}: name a directory that all see")
    while which_run(run := open_shared_part(Path(root))) != which:
        if time.monotonic() > until:
            raise OutputError(f"the worker on {here} sees another run in {root}: name a directory that all see")
        time.sleep(0.5)
    if run.manifest["version"] != __version__:
        raise OutputError(
            f"the worker on {here} has caml_dask {__version__}, and the run is one of {run.manifest['version']}: "
            "install the same on both sides"
        )
    return run
