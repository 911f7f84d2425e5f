"""Commands of the nightly screening: `screen`, `status` and `prune`."""

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
@click.option(
    "--acknowledge",
    multiple=True,
    metavar="PATH",
    help="A failed image (path, end of it, or pattern) that is known: it stays listed and no longer counts for the "
    "exit code, until its content or the settings change; can be given several times.",
)
@click.option("--forget-gone", is_flag=True, help="No longer report images that earlier calls found and that are gone.")
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
    acknowledge: tuple[str, ...],
    forget_gone: bool,
    **settings: Any,
) -> int:
    """Analyse what is new in COHORT since the last call; for a scheduler to call every night.

    COHORT is a CSV table with the columns path, condition and replicate, with channel where wanted and any other
    factor; or a pattern of paths in quotes, such as 'FOLDER/{condition}/{replicate}/*.csv'. Images that a pattern found
    earlier and that are gone are reported, and so are folders that cannot be listed.

    Exit codes: 0 all images of the cohort are done, or their failures acknowledged; 2 usage; 3 some failed or are gone;
    4 all failed, no workers or no room; 130 interrupted.
    """
    from caml_dask.executors.deployment.settings import chosen_deployment
    from caml_dask.screening.screen import screen as analyse_what_is_new
    from caml_dask.screening.summary import tell

    chosen = settings_of(columns, settings)
    where = chosen_deployment(deploy, workers)
    screened = analyse_what_is_new(
        cohort,
        out,
        chosen,
        workers=workers,
        deployment=where,
        retry=retry,
        verify=verify,
        acknowledge=acknowledge,
        forget_gone=forget_gone,
    )
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


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Remove them; without it they are listed.")
@DEBUG
@guarded
def prune(directory: Path, yes: bool) -> int:
    """List the nights of the screening in DIRECTORY whose images all have newer results, and remove them with --yes.

    Results that summary.json lists are never removed.
    """
    from caml_dask.screening.prune import prune as prune_nights

    found = prune_nights(directory, remove=yes)
    for night in found:
        click.echo(f"{night.name}: {night.images} images, {night.size / 2**20:,.1f} MiB")
    total = sum(night.size for night in found) / 2**20
    what = f"{len(found)} superseded night{'s'[: len(found) != 1]}, {total:,.1f} MiB"
    click.echo(f"removed {what}" if yes else f"{what}" + ("; remove them with --yes" if found else ""))
    return DONE
