"""The command that describes how localizations are spread: `describe`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from caml_dask.cli.options import (
    CELL_MASK,
    COLUMNS,
    DRIFT,
    EXTENT,
    LOCAL,
    LOGS,
    MERGE,
    NONFINITE,
    OUT,
    OVERWRITE,
    ROI,
    ROI_PIXEL,
    SEED,
    TILE,
    WHERE,
    guarded,
    say,
)


@click.command()
@click.argument("inputs", nargs=-1, required=True, type=LOCAL)
@OUT
@click.option(
    "--most-nm",
    type=float,
    help="Largest distance.  [default: 500 nm, or a quarter of the shorter side of the region if that is less]",
)
@click.option(
    "--simulations",
    type=int,
    default=99,
    show_default=True,
    help="Random fields that each region is compared with; the smallest p value is 1 / (1 + this). 0 for none.",
)
@SEED
@ROI
@ROI_PIXEL
@CELL_MASK
@WHERE
@DRIFT
@MERGE
@TILE
@COLUMNS
@NONFINITE
@EXTENT
@click.option(
    "-j",
    "--threads",
    type=click.IntRange(min=1),
    help="Threads; they never change a result.  [default: one a core]",
)
@OVERWRITE
@LOGS
@guarded
def describe(
    inputs: tuple[Path, ...],
    out: Path,
    most_nm: float | None,
    simulations: int,
    seed: int,
    columns: str | None,
    threads: int | None,
    overwrite: bool,
    **settings: Any,
) -> int:
    """Describe how localizations are spread over a region: clustered, random or regular, and at which scale.

    INPUTS are files, folders or patterns, as of `run`. Finds Ripley's K and L, the pair correlation and the
    nearest-neighbor distance function, corrected for the border of the region, beside those of random fields. Each
    region of --roi is described by itself; without regions, what the convex hull of the localizations holds, or where
    that is mostly empty the part that they occupy. No localization is labeled.
    """
    from caml_dask.describing.image import Asked
    from caml_dask.describing.session import describe_images
    from caml_dask.describing.summary import words_of
    from caml_dask.runs.inputs import inputs_of
    from caml_dask.settings import ColumnMap

    named = ColumnMap.parse(columns) if columns else ColumnMap()
    asked = Asked(most_nm, simulations, seed)
    outcome = describe_images(
        inputs_of(inputs), out, asked, {**settings, "columns": named}, threads=threads, overwrite=overwrite
    )
    for image_id, summary in outcome.summaries.items():
        for region in summary["regions"]:
            say(f"{image_id}: {words_of(region)}")
        for warning in summary["warnings"]:
            say(f"  warning: {warning}")
    for image_id, reason in outcome.failed.items():
        say(f"{image_id}: failed: {reason}")
    if outcome.summaries:
        say(f"tables and pictures in {out}")
    return outcome.exit_code
