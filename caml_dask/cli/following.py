"""The command that follows clusters through time: `follow`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from caml_dask.cli.options import (
    COLUMNS,
    DEPLOY,
    DRIFT,
    EXTENT,
    FDR,
    LOCAL,
    LOGS,
    MERGE,
    MIN_POINTS_OF_NETWORKS,
    NETWORK,
    NONFINITE,
    OUT,
    OVERWRITE,
    RESUME,
    RUN_WORKERS,
    TILE,
    WHERE,
    guarded,
    say,
    settings_of,
)


@click.command()
@click.argument("inputs", nargs=-1, required=True, type=LOCAL)
@OUT
@click.option("--time-window", type=int, required=True, help="Frames of a window.")
@click.option(
    "--time-step",
    type=int,
    help="Frames from the start of a window to that of the next; fewer than a window makes windows overlap.  "
    "[default: those of a window]",
)
@click.option(
    "--least-overlap",
    type=float,
    default=0.3,
    show_default=True,
    help="Share of the smaller of two outlines of successive windows that makes them one cluster.",
)
@NETWORK
@MIN_POINTS_OF_NETWORKS
@DRIFT
@MERGE
@click.option("--test/--no-test", default=False, show_default=True, help="Compare each window with random fields.")
@FDR
@TILE
@COLUMNS
@WHERE
@NONFINITE
@EXTENT
@RUN_WORKERS
@DEPLOY
@RESUME
@OVERWRITE
@LOGS
@guarded
def follow(
    inputs: tuple[Path, ...],
    out: Path,
    time_window: int,
    time_step: int | None,
    least_overlap: float,
    workers: int | None,
    deploy: Path | None,
    columns: str | None,
    resume: bool,
    overwrite: bool,
    **settings: Any,
) -> int:
    """Follow the clusters of live cells through windows of frames.

    INPUTS are files, folders or patterns, as of `run`; their localizations need frames. Each window of frames is
    analyzed as an image of its own; drift is corrected and detections are merged before. Clusters of successive windows
    whose outlines overlap are the same: tracks say how long they persist, how they move and grow; events when they
    appear, vanish, merge or split.

    Exit codes are those of `run`.
    """
    from caml_dask.executors.deployment.settings import chosen_deployment
    from caml_dask.following.session import follow_tables
    from caml_dask.following.windows import TimeWindows
    from caml_dask.runs.inputs import inputs_of

    windows, chosen = TimeWindows(time_window, time_step), settings_of(columns, settings)
    outcome = follow_tables(
        inputs_of(inputs),
        out,
        chosen,
        windows,
        least_overlap=least_overlap,
        workers=workers,
        deployment=chosen_deployment(deploy, workers),
        resume=resume,
        overwrite=overwrite,
    )
    for image_id, summary in outcome.summaries.items():
        say(f"{image_id}: {_words(summary)}")
        for warning in summary["warnings"]:
            say(f"  warning: {warning}")
    for image_id, reason in outcome.failed.items():
        say(f"{image_id}: failed: {reason}")
    if outcome.summaries:
        say(f"tracks, events and film strips in {out}; the windows in {out / 'windows'}")
    return outcome.exit_code


def _words(summary: dict[str, Any]) -> str:
    """The key figures of a table."""
    events = ", ".join(f"{number:,} {kind}" for kind, number in summary["events"].items())
    median = summary["median_lifetime_frames"]
    lifetime = "not reached" if median is None else f"{median:,.0f} frames"
    return (
        f"{summary['tracks']:,} tracks of {summary['clusters']:,} clusters in {summary['windows']:,} windows; events: "
        f"{events}; median lifetime {lifetime}"
    )
