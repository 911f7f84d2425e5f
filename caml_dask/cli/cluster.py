"""Commands for clusters: a run as a chain of job arrays, and what is to be known before anything is queued."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from caml_dask.cli.options import (
    ANALYSIS,
    DEBUG,
    DONE,
    FEATURES,
    OUT,
    OVERWRITE,
    RESUME,
    SOME_FAILED,
    TILE,
    USAGE,
    guarded,
    settings_of,
)


@click.command()
@click.argument("inputs", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--deploy", type=click.Path(path_type=Path), required=True, help="TOML file of the deployment to be looked at."
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path(), help="Directory meant for the results.  [default: here]"
)
@TILE
@click.option("--ask", is_flag=True, help="Also submit one job, wait for it, and ask its worker.")
@DEBUG
@guarded
def doctor(inputs: tuple[Path, ...], deploy: Path, out: Path, max_localizations: int | None, ask: bool) -> int:
    """Check a deployment before anything is queued: what would be submitted, memory, paths, versions, ports.

    INPUTS are those of the run that is meant.

    Exit codes: 0 no problem, 2 a problem, or usage.
    """
    from caml_dask.executors.deployment.settings import Batch, load_deployment
    from caml_dask.runs.doctor import PROBLEM, examine, job_script
    from caml_dask.settings import Settings

    deployment = load_deployment(deploy)
    findings = examine(deployment, inputs, out, Settings(max_localizations=max_localizations), ask)
    click.echo("\n".join(map(str, findings)))
    if isinstance(deployment, Batch):
        click.echo(f"\nWhat would be submitted:\n\n{job_script(deployment, out)}")
    return USAGE if any(finding.grade == PROBLEM for finding in findings) else DONE


@click.command()
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@OUT
@ANALYSIS
@FEATURES
@RESUME
@OVERWRITE
@DEBUG
@guarded
def plan(
    inputs: tuple[Path, ...], out: Path, columns: str | None, resume: bool, overwrite: bool, **settings: Any
) -> int:
    """Prepare a run of INPUTS for job arrays, and print the names of its stages, one a line.

    Each stage is then an array: `caml-dask unit STAGE INDEX --of N --out DIR` for INDEX 0 to N-1, begun when the one
    before it has ended; `caml-dask finish --out DIR` comes last. deploy/slurm_array.sh submits them all.
    """
    from caml_dask.runs.job_array import plan as plan_arrays

    chosen = settings_of(columns, settings)
    click.echo("\n".join(plan_arrays(inputs, out, chosen, resume, overwrite)))
    return DONE


@click.command()
@click.argument("stage")
@click.argument("index", type=int)
@click.option("--of", type=click.IntRange(min=1), required=True, help="Tasks of the array.")
@OUT
@DEBUG
@guarded
def unit(stage: str, index: int, of: int, out: Path) -> int:
    """Run what falls to task INDEX (from 0) of an array over the units of STAGE, in a run that `plan` prepared.

    Exit codes: 0 done, 2 usage, 3 some units failed; `finish` names what is not done.
    """
    from caml_dask.runs.job_array import run_share

    return SOME_FAILED if run_share(out, stage, index, of) else DONE


@click.command()
@OUT
@DEBUG
@guarded
def finish(out: Path) -> int:
    """Write the summary of a run whose arrays have ended, naming what is not done.

    Exit codes: 0 done, 2 usage, 3 some images failed, 4 all failed.
    """
    from caml_dask.runs.account import tell
    from caml_dask.runs.job_array import finish as finish_arrays

    outcome = finish_arrays(out)
    click.echo(tell(outcome))
    return outcome.exit_code
