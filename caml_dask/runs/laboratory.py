"""Simulating fields and training networks, on the workers of an embedded cluster."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from caml_dask import __version__
from caml_dask.executors.items import each
from caml_dask.extras import require
from caml_dask.io.fields import write_field
from caml_dask.networks.spec import FitSettings, NetworkSpec
from caml_dask.networks.training.sets import TrainingSets, compile_part, missing_parts
from caml_dask.networks.training.train import check_folds, train
from caml_dask.simulate import AnyScenario, field_rng, simulate

_log = logging.getLogger("caml_dask")


@dataclass(frozen=True)
class Table:
    """A field to write: its scenario, the seed and number of its replicate, and the file."""

    scenario: AnyScenario
    seed: int
    replicate: int
    path: Path


def tables(scenarios: tuple[AnyScenario, ...], out: Path, seed: int, replicates: int, file_format: str) -> list[Table]:
    """The files of `replicates` fields of each scenario, named by scenario, seed and replicate."""
    return [
        Table(scenario, seed, replicate, out / f"{scenario.name}_s{seed}_{replicate}.{file_format}")
        for scenario in scenarios
        for replicate in range(replicates)
    ]


def write_table(table: Table) -> int:
    """Simulate one field and write it; how many localizations it holds."""
    field = simulate(table.scenario, field_rng(table.scenario, table.seed, table.replicate))
    about = {"scenario": table.scenario.name, "seed": str(table.seed), "replicate": str(table.replicate)}
    write_field(field, table.path, about | {"area_um2": repr(field.area_um2), "caml_dask": __version__})
    return len(field.points_nm)


def write_tables(wanted: list[Table], workers: int) -> str:
    """Write fields side by side; what to tell the user."""
    counts = list(each(write_table, wanted, workers, "fields"))
    return f"{len(counts)} fields with {sum(counts):,} localizations in {wanted[0].path.parent}"


def compile_and_train(
    entry: NetworkSpec,
    sets: TrainingSets,
    out: Path,
    work: Path,
    settings: FitSettings,
    *,
    workers: int,
    restarts: int,
    folds: int,
    command: str,
) -> dict[str, Any]:
    """Compile what is missing of the sets, on workers, then train in this process; the card.

    Raises
    ------
    UsageError : folds of which there cannot be so many; or Keras or TensorFlow is not installed.
    """
    require("train", "training a network")  # before hours of simulation
    if folds:
        check_folds(folds)
    missing = missing_parts(sets, work)
    if missing:
        _log.info("%s: compiling %d parts of its sets from %d scenarios", entry.name, len(missing), len(sets.scenarios))
        for _ in each(partial(compile_part, sets, folder=work), missing, workers, "parts"):
            pass
    return train(entry, sets, out, work, settings, restarts=restarts, folds=folds, command=command)
