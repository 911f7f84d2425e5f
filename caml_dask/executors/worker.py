"""What a Dask worker does: a batch of units, one after another, each with a report or a failure of its own."""

from __future__ import annotations

import pickle
import socket
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from caml_dask.errors import CamlError
from caml_dask.executors.fitness import Unfit, UnfitError, open_run, refuse_unfit
from caml_dask.executors.pending import conclude
from caml_dask.executors.units import Key, in_words, run_unit
from caml_dask.io.run_directory import Run
from caml_dask.io.shared_part import Part, with_parts
from caml_dask.pipeline import FIRST

Outcome: TypeAlias = dict[str, Any] | CamlError | Unfit
"""The report of a unit, or what it found wrong, or why it is left to another worker."""
_REPORTED = ("stage", "unit", "rows", "seconds", "fused")


def run_batch(root: str, which: tuple[str, str], parts: Sequence[Part], keys: Sequence[Key]) -> list[Outcome]:
    """Run units one after another; a failure is returned, not raised, and the others go on.

    Raised, Dask would print it with a traceback on the terminal of the user. Each unit is recorded as it ends: if the
    worker is lost, or cannot do units of the run, who repeats the batch finds the records, and does what has none.

    Parameters
    ----------
    root : the run directory.
    which : of :func:`caml_dask.executors.fitness.which_run`.
    parts : the images of the units.
    keys : of the units; the first of each is the place of its image in `parts`.
    """
    try:
        run = with_parts(open_run(root, which), parts)
        outcomes = [_outcome(run, key) for key in keys]
        open_run(root, which)  # or what was written may lie under a mount that is gone
    except UnfitError as error:
        return [Unfit(_own_address(), socket.gethostname(), str(error))] * len(keys)
    return outcomes


def packed(*arguments: object) -> tuple[Callable[[bytes], list[Outcome]], bytes]:
    """A function and its argument that Dask carries, for :func:`run_batch` of the given arguments.

    A worker that cannot unpickle a message of Dask's dies of it, and its batch counts as deadly. So what is sent needs
    this package only when it is run: if that is missing, the task fails. A function in a function is sent whole.
    """

    def run(given: bytes) -> list[Outcome]:
        function, unpacked = pickle.loads(given)
        outcomes: list[Outcome] = function(*unpacked)
        return outcomes

    return run, pickle.dumps((run_batch, arguments))


def _own_address() -> str:
    from distributed import get_worker

    return str(get_worker().address)


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
        refuse_unfit(run)
        return in_words(error)


def report_of(record: dict[str, Any]) -> dict[str, Any]:
    """What the driver needs of a done record."""
    return {name: record[name] for name in _REPORTED if name in record}
