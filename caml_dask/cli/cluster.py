"""Commands for clusters: a run as a chain of job arrays, and what is to be known before anything is queued."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from caml_dask.cli.options import (
    ANALYSIS,
    DONE,
    EXPORT,
    FEATURES,
    INPUT,
    LOCAL,
    LOGS,
    OUT,
    OUT_URL,
    OVERWRITE,
    RESUME,
    SOME_FAILED,
    TILE,
    USAGE,
    guarded,
    say,
    settings_of,
)
from caml_dask.errors import UsageError
from caml_dask.executors.deployment.settings import BATCH_KINDS

if TYPE_CHECKING:
    from caml_dask.io.remote.url import Url
    from caml_dask.runs.inputs import Input


@click.command()
@click.argument("inputs", nargs=-1, type=LOCAL)
@click.option(
    "--deploy",
    type=LOCAL,
    help="TOML file of the deployment to be looked at.  [default: this machine]",
)
@click.option(
    "-o",
    "--out",
    type=LOCAL,
    default=Path(),
    help="Directory meant for the results.  [default: here]",
)
@TILE
@click.option("--ask", is_flag=True, help="Also submit one job of the deployment, wait for it, and ask its worker.")
@LOGS
@guarded
def doctor(inputs: tuple[Path, ...], deploy: Path | None, out: Path, max_localizations: int | None, ask: bool) -> int:
    """Check this machine, or a deployment before anything is queued.

    Without --deploy: versions, memory, cores, disk, permissions, the place of compiled code, and a tiny run in this
    process and on one worker, compared with its known result. With it: what would be submitted, memory, paths,
    versions, ports.

    INPUTS are those of the run that is meant: files, folders or patterns.

    Exit codes: 0 no problem, 2 a problem, or usage.
    """
    from caml_dask.executors.deployment.settings import Batch, load_deployment
    from caml_dask.runs.doctor import PROBLEM, Finding, examine, job_script
    from caml_dask.runs.inputs import inputs_of
    from caml_dask.runs.self_check import examine_machine
    from caml_dask.settings import Settings

    if ask and deploy is None:
        raise UsageError("--ask asks a worker of a deployment: name the deployment with --deploy")
    settings, files, found = Settings(max_localizations=max_localizations), list[Path](), list[Finding]()
    deployment = None if deploy is None else load_deployment(deploy)
    try:
        files = inputs_of(inputs)
    except UsageError as error:
        found.append(Finding(PROBLEM, str(error)))
    if deployment is None:
        found += examine_machine(files, out, settings)
    else:
        found += examine(deployment, files, out, settings, ask)
    say("\n".join(map(str, found)))
    if isinstance(deployment, Batch):
        say(f"\nWhat would be submitted:\n\n{job_script(deployment, out)}")
    return USAGE if any(finding.grade == PROBLEM for finding in found) else DONE


@click.command()
@click.argument("inputs", nargs=-1, required=True, type=INPUT)
@OUT
@OUT_URL
@ANALYSIS
@FEATURES
@EXPORT
@RESUME
@OVERWRITE
@LOGS
@guarded
def plan(
    inputs: tuple[Input, ...],
    out: Path,
    out_url: Url | None,
    columns: str | None,
    export: tuple[str, ...],
    resume: bool,
    overwrite: bool,
    **settings: Any,
) -> int:
    """Prepare a run of INPUTS for job arrays, and print the names of its stages, one a line.

    INPUTS are files, folders, patterns or URLs, as of `run`.

    Each stage is then an array: `caml-dask unit STAGE INDEX --of N --out DIR` for INDEX 0 to N-1, begun when the one
    before it has ended; `caml-dask finish --out DIR` comes last, and exports. `caml-dask array-script` writes a script
    that submits them all.
    """
    from caml_dask.runs.inputs import named
    from caml_dask.runs.job_array import plan as plan_arrays

    chosen = settings_of(columns, settings)
    say("\n".join(plan_arrays(named(inputs), out, chosen, resume, overwrite, export, out_url)))
    return DONE


@click.command()
@click.argument("stage")
@click.argument("index", type=int)
@click.option("--of", type=click.IntRange(min=1), required=True, help="Tasks of the array.")
@OUT
@LOGS
@guarded
def unit(stage: str, index: int, of: int, out: Path) -> int:
    """Run what falls to task INDEX (from 0) of an array over the units of STAGE, in a run that `plan` prepared.

    Exit codes: 0 done, 2 usage, 3 some units failed; `finish` names what is not done.
    """
    from caml_dask.runs.job_array import run_share

    return SOME_FAILED if run_share(out, stage, index, of) else DONE


@click.command("array-script")
@click.option("--system", type=click.Choice(BATCH_KINDS), required=True, help="Batch system that it submits to.")
@LOGS
@guarded
def array_script(system: str) -> int:
    """Print a script that plans a run and submits it as a chain of job arrays.

    Call it as `./slurm_array.sh OUT INPUT...`; its first lines explain its settings.
    """
    from caml_dask.executors.array_script import array_script as script_for

    say(script_for(system).rstrip("\n"))
    return DONE


@click.command()
@OUT
@LOGS
@guarded
def finish(out: Path) -> int:
    """Write the summary of a run whose arrays have ended, naming what is not done.

    Exit codes: 0 done, 2 usage, 3 some images failed or could not be exported or copied, 4 all failed.
    """
    from caml_dask.runs.account import tell
    from caml_dask.runs.job_array import finish as finish_arrays

    outcome = finish_arrays(out)
    say(tell(outcome))
    return outcome.exit_code
