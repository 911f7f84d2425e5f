"""`caml-dask`, with the rule `--network threshold` beside the networks, keeping a journal of its units: for chaos.py.

    CAML_JOURNAL=FILE python tests/faults/disturbed.py run CELLS.csv --out DIR --network threshold

Every process of a run, workers included, imports this file: Dask's workers are spawned from the program that starts
them. Each appends a line to the journal as it begins a unit's work, or is given one whose done record stands already,
and as it does what should never happen: finishing such a unit once more. Where CAML_DIE_AFTER names a directory, a
process kills itself after it has recorded a unit and before it tells of it, once for each of the units that
CAML_DIE_SHARE and CAML_DIE_SEED choose.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from distributed import Worker

import caml_dask.executors.job_array
import caml_dask.executors.serial
import caml_dask.executors.units
import caml_dask.executors.worker
import caml_dask.networks.trained
import caml_dask.runs.session
from caml_dask.cli import main
from caml_dask.io.store import DirectoryStore

RULE = "threshold"


@dataclass(frozen=True)
class Threshold:
    """Clustered where the third neighbor is nearer than half of the last of 20: free of scale, and fast."""

    name: str = RULE
    n_neighbors: int = 20
    dimensions: int = 2
    classes: tuple[str, ...] = ("non-clustered", "clustered")
    score_columns: tuple[str, ...] = ("p_clustered",)
    trained_on: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    csr_percent: tuple[float, ...] = ()

    @property
    def identity(self) -> dict[str, str]:
        """What the manifest says of it."""
        return {"name": self.name, "weights_sha256": "none"}

    @property
    def least_localizations(self) -> int:
        """One more than its window."""
        return self.n_neighbors + 1

    def scores(self, distances: np.ndarray) -> np.ndarray:
        """(n, 20) float32 ascending distances to (n, 1) float32, 0 or 1."""
        return (distances[:, 2] < np.float32(0.5) * distances[:, -1])[:, None].astype(np.float32)

    def labels(self, scores: np.ndarray) -> np.ndarray:
        """(n, 1) scores to (n,) int8."""
        return (scores[:, 0] > 0.5).astype(np.int8)


_load, _run_unit, _finish = caml_dask.networks.trained.load, caml_dask.executors.units.run_unit, DirectoryStore.finish


def load(name: str) -> Any:
    """The rule, or a network."""
    return Threshold() if name == RULE else _load(name)


def note(*words: object) -> None:
    """Append a line to the journal; lines of several processes do not mix."""
    if journal := os.environ.get("CAML_JOURNAL"):
        line = " ".join(map(str, (os.getpid(), f"{time.time():.3f}", *words))) + "\n"
        handle = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(handle, line.encode())
        os.close(handle)


def run_unit(run: Any, key: Any) -> dict[str, Any]:
    """A unit, told of in the journal; and where it is chosen to, the end of its process once it is recorded."""
    name = f"{run.images[key[0]].image_id}/{key[1]}/{key[2]}"
    known = run.store(run.images[key[0]]).done(*key[1:]) is not None
    note("given" if known else "begin", name)
    record = _run_unit(run, key)
    if folder := os.environ.get("CAML_DIE_AFTER"):
        chance = random.Random(f"{os.environ['CAML_DIE_SEED']} {name}").random()
        died = Path(folder) / name.replace("/", "_")
        if chance < float(os.environ["CAML_DIE_SHARE"]) and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return record


def finish(store: DirectoryStore, stage: str, unit: int, record: dict[str, Any]) -> dict[str, Any]:
    """The end of a unit, told of where it had ended before."""
    if store.done(stage, unit) is not None:
        note("again", stage, unit)
    return _finish(store, stage, unit, record)


def disturb() -> None:
    """Put the rule and the journal in place, in this process."""
    caml_dask.executors.units.load_for = caml_dask.runs.session.load_for = lambda settings: load(settings.finder)
    caml_dask.runs.session.compile_kernels = lambda name: None  # those of a rule are compiled when they are called
    for module in (caml_dask.executors.serial, caml_dask.executors.worker, caml_dask.executors.job_array):
        module.run_unit = run_unit
    DirectoryStore.finish = finish


def dask_setup(worker: Worker) -> None:
    """The same in a worker that is begun with `dask worker --preload` this file."""
    disturb()


if __name__ in ("__main__", "__mp_main__"):  # the driver, and its workers
    disturb()
if __name__ == "__main__":
    main()
