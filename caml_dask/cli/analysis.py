"""Commands that analyse: `run` and `demo`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from caml_dask.cli.options import (
    ANALYSIS,
    DEPLOY,
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
    RUN_WORKERS,
    WORKERS,
    guarded,
    say,
    settings_of,
)
from caml_dask.errors import UsageError

if TYPE_CHECKING:
    from caml_dask.io.remote.url import Url
    from caml_dask.runs.inputs import Input


@click.command()
@click.argument("inputs", nargs=-1, required=True, type=INPUT)
@OUT
@OUT_URL
@ANALYSIS
@RUN_WORKERS
@DEPLOY
@FEATURES
@EXPORT
@click.option("--dashboard", is_flag=True, help="Serve Dask's dashboard on 127.0.0.1 while the run goes on.")
@click.option("--performance-report", type=LOCAL, metavar="FILE", help="Write Dask's performance report, as HTML.")
@RESUME
@OVERWRITE
@LOGS
@guarded
def run(
    inputs: tuple[Input, ...],
    out: Path,
    out_url: Url | None,
    workers: int | None,
    deploy: Path | None,
    columns: str | None,
    export: tuple[str, ...],
    dashboard: bool,
    performance_report: Path | None,
    resume: bool,
    overwrite: bool,
    **settings: Any,
) -> int:
    """Label every localization of INPUTS, find their clusters, outline and measure them.

    INPUTS are files, folders, or patterns in quotes such as 'data/**/*.csv', of any format that `caml-dask formats`
    lists. Each file is an image, or one a channel. A folder means the tables in it and in its folders, known by their
    endings; .txt and .zip files, and .mat files other than _sml.mat, are taken by name or pattern alone. Hidden files
    and earlier results are left out. URLs of objects are inputs too: https://, and s3://BUCKET/KEY, where
    s3://BUCKET/FOLDER/ and patterns mean several.

    Images are numbered by the order of their paths, however INPUTS are listed. If a name does not exist, the
    command stops before it writes anything; a file that cannot be read fails, and the others are analyzed.

    Started by srun or mpirun as several tasks, without --workers: the first runs the analysis, the others work for it.

    Exit codes: 0 done, 2 usage, 3 some images failed or could not be exported or copied, 4 all failed, no workers, no
    store or no room, 130 interrupted.
    """
    from caml_dask.executors.deployment.pages import Pages
    from caml_dask.executors.deployment.settings import chosen_deployment
    from caml_dask.executors.deployment.tasks import deployment_of_tasks, task_of, work_for
    from caml_dask.runs.account import tell
    from caml_dask.runs.inputs import named
    from caml_dask.runs.session import execute

    chosen = settings_of(columns, settings)
    where = chosen_deployment(deploy, workers)
    files = named(inputs)
    task = None if workers is not None else task_of(os.environ)
    if task is not None:
        where = deployment_of_tasks(task, where)
        if task.rank:
            work_for(task, out, where)
            return DONE
    pages = Pages(dashboard, performance_report)
    if workers == 0 and pages != Pages():
        raise UsageError("--workers 0 runs without Dask, which has nothing to show: leave it out")
    outcome = execute(
        files,
        out,
        chosen,
        workers=workers,
        deployment=where,
        resume=resume,
        overwrite=overwrite,
        export=export,
        pages=pages,
        out_url=out_url,
    )
    say(tell(outcome))
    return outcome.exit_code


@click.command()
@click.option("-o", "--out", type=LOCAL, default=Path("caml_dask_demo"), show_default=True)
@WORKERS
@LOGS
@guarded
def demo(out: Path, workers: int | None) -> int:
    """Simulate a cell with clusters, analyze it, compare the result with the truth, and say where to look."""
    from caml_dask.executors.deployment.clusters import cores
    from caml_dask.runs.demo import demonstrate

    say(demonstrate(out, cores() if workers is None else workers))
    return DONE
