"""The demonstration: a simulated cell, analysed on a local Dask cluster and held against its truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from caml_dask.errors import CamlError, OutputError
from caml_dask.io.fields import write_field
from caml_dask.io.run_directory import HIDDEN, read_manifest
from caml_dask.locks import refuse_strange
from caml_dask.metrics import class_scores, cluster_scores
from caml_dask.results.run import open_run
from caml_dask.runs.account import tell
from caml_dask.runs.session import execute
from caml_dask.settings import Settings
from caml_dask.simulate import Scenario, simulate

_SEED = 2020
_SCENARIO = Scenario(points_per_cluster=20, r_max_nm=50.0, percent_clustered=50.0, density_per_um2=100.0)
_TILE = 15_000  # small enough that the demonstration has borders to stitch across


def demonstrate(out: Path, workers: int) -> str:
    """Simulate, analyse and compare; returns what to tell the user.

    Raises
    ------
    CamlError : the analysis failed.
    OutputError : `out` holds something that is no demonstration.
    """
    out = out.resolve()
    table = out.with_name(out.name + "_input") / "simulated_cell.csv"
    _refuse_another_run(out, table)
    field = simulate(_SCENARIO, np.random.default_rng(_SEED))
    write_field(field, table)
    outcome = execute([table], out, Settings(max_localizations=_TILE), workers=workers, overwrite=True)
    for error in outcome.failed.values():
        raise CamlError(str(error))
    image = next(iter(open_run(out).images.values()))
    points = image.points
    labels = class_scores(field.truth >= 0, points["label"] > 0)
    clusters = cluster_scores(field.truth, points["cluster_id"])
    return "\n".join(
        [
            tell(outcome),
            "",
            f"Against the simulated truth ({_SCENARIO.points_per_cluster} localizations a cluster, radius "
            f"{_SCENARIO.r_max_nm:.0f} nm, {_SCENARIO.percent_clustered:.0f} % clustered, "
            f"{_SCENARIO.density_per_um2:.0f} per um2):",
            f"  labels right                {100 * labels.accuracy:5.1f} %   (F1 {labels.f1:.3f})",
            f"  clusters found / simulated  {clusters.n_found} / {clusters.n_true}   (adjusted Rand index "
            f"{clusters.ari:.2f})",
            "",
            f"The input   {table}",
            f"The picture {image.directory / 'overview.png'}",
            f"The tables  {image.directory / 'points.parquet'}, clusters.csv beside it",
        ]
    )


def _refuse_another_run(out: Path, table: Path) -> None:
    """A demonstration may overwrite an earlier one, never an analysis nor anything else."""
    refuse_strange(out, HIDDEN, "run")
    manifest = read_manifest(out)
    if manifest is not None and list(manifest.get("inputs", {})) != [str(table)]:
        raise OutputError(f"{out} holds a run of other inputs: name a new directory with --out")
