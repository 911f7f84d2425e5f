"""Commands of the nightly screening: `screen` and `status`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from caml_dask.cli.options import ANALYSIS, DEBUG, DEPLOY, DONE, OUT, RUN_WORKERS, guarded, settings_of


@click.command()
@click.argument("cohort")
@OUT
@ANALYSIS
@RUN_WORKERS
@DEPLOY
@click.option("--retry", is_flag=True, help="Try every failed image again, not only those that the machine failed.")
@click.option("--verify", is_flag=True, help="Read all inputs and results again, whatever their sizes and times say.")
@DEBUG
@guarded
def screen(
    cohort: str,
    out: Path,
    workers: int | None,
    deploy: Path | None,
    columns: str | None,
    retry: bool,
    verify: bool,
    **settings: Any,
) -> int:
    """Analyse what is new in COHORT since the last call; for a scheduler to call every night.

    COHORT is a CSV table with the columns path, condition and replicate, with channel where wanted and any other
    factor; or a pattern of paths in quotes, such as 'FOLDER/{condition}/{replicate}/*.csv'.

    Exit codes: 0 all images of the cohort are done, 2 usage, 3 some failed, 4 all failed, no workers or no room,
    130 interrupted.
    """
    from caml_dask.executors.deployment.settings import chosen_deployment
    from caml_dask.screening.screen import screen as analyse_what_is_new
    from caml_dask.screening.summary import tell

    chosen = settings_of(columns, settings)
    where = chosen_deployment(deploy, workers)
    screened = analyse_what_is_new(cohort, out, chosen, workers=workers, deployment=where, retry=retry, verify=verify)
    click.echo(tell(screened))
    return screened.exit_code


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@DEBUG
@guarded
def status(directory: Path, as_json: bool) -> int:
    """Say how far the run or the screening in DIRECTORY is. At any time, from any machine: it only reads files."""
    import json

    from caml_dask.screening.status import in_words, status_of

    found = status_of(directory)
    click.echo(json.dumps(found, indent=1, allow_nan=False) if as_json else in_words(found))
    return DONE
