"""Commands of the nightly screening: `screen`, `status` and `prune`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from caml_dask.cli.options import (
    ANALYSIS,
    DEPLOY,
    DONE,
    EXPORT,
    LOCAL,
    LOGS,
    OUT,
    RUN_WORKERS,
    guarded,
    say,
    settings_of,
)


@click.command()
@click.argument("cohort")
@OUT
@ANALYSIS
@RUN_WORKERS
@DEPLOY
@EXPORT
@click.option(
    "--retry", is_flag=True, help="Retry all failed images; by default, only those that the machine caused to fail."
)
@click.option(
    "--verify", is_flag=True, help="Read all inputs and results again, even if their sizes and times have not changed."
)
@click.option(
    "--acknowledge",
    multiple=True,
    metavar="PATH",
    help="Acknowledge a failed image, given by its path, the end of its path, or a pattern: it stays listed, but does "
    "not count for the exit code until its content or the settings change. Can be given several times.",
)
@click.option(
    "--forget-gone", is_flag=True, help="Stop reporting images that earlier calls found and that are now missing."
)
@LOGS
@guarded
def screen(
    cohort: str,
    out: Path,
    workers: int | None,
    deploy: Path | None,
    columns: str | None,
    export: tuple[str, ...],
    retry: bool,
    verify: bool,
    acknowledge: tuple[str, ...],
    forget_gone: bool,
    **settings: Any,
) -> int:
    """Analyze the images of COHORT that are new since the last call. Schedule it to run every night.

    COHORT is a CSV table with the columns path, condition and replicate, optionally channel, and any further factors;
    or a pattern of paths in quotes, such as 'FOLDER/{condition}/{replicate}/*.csv'. The command reports images that an
    earlier call found with the same pattern and that are now missing, and folders that it cannot list.

    Exit codes: 0 all images are done, or their failures acknowledged; 2 usage error; 3 some images failed, are
    missing or could not be exported, or a folder cannot be listed; 4 all images failed, no workers, or no disk space;
    130 interrupted.
    """
    from caml_dask.executors.deployment.settings import chosen_deployment
    from caml_dask.screening.screen import screen as analyse_what_is_new
    from caml_dask.screening.summary import in_words

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
        export=export,
    )
    say(in_words(screened))
    return screened.exit_code


@click.command()
@click.argument("directory", type=LOCAL)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@LOGS
@guarded
def status(directory: Path, as_json: bool) -> int:
    """Show the progress of the run or the screening in DIRECTORY.

    It only reads files, so it can be called at any time and from any machine.
    """
    import json

    from caml_dask.screening.status import in_words, status_of

    found = status_of(directory)
    say(json.dumps(found, indent=1, allow_nan=False) if as_json else in_words(found))
    return DONE


@click.command()
@click.argument("directory", type=LOCAL)
@click.option("--yes", is_flag=True, help="Remove the nights; by default they are only listed.")
@LOGS
@guarded
def prune(directory: Path, yes: bool) -> int:
    """List the superseded nights of the screening in DIRECTORY, and remove them with --yes.

    A night is superseded when all images that summary.json lists have newer results elsewhere, for example after the
    settings were changed. The last results of an image that is now missing or fails are never removed.
    """
    from caml_dask.screening.prune import prune as prune_nights

    found = prune_nights(directory, remove=yes)
    for night in found:
        say(f"{night.name}: {night.images} image{'s'[: night.images != 1]}, {night.size / 2**20:,.1f} MiB")
    total = sum(night.size for night in found) / 2**20
    what = f"{len(found)} superseded night{'s'[: len(found) != 1]}, {total:,.1f} MiB"
    say(f"removed {what}" if yes else f"{what}" + ("; remove them with --yes" if found else ""))
    return DONE
