"""The command that reports on results: `report`."""

from __future__ import annotations

from pathlib import Path

import click

from caml_dask.cli.options import DONE, LOCAL, LOGS, guarded, say


@click.command()
@click.argument("directory", type=LOCAL)
@click.option("--by", default="condition", show_default=True, help="Factor to compare.")
@click.option("--within", multiple=True, help="Compare within each value of this factor; can be given several times.")
@click.option(
    "--cohort",
    type=LOCAL,
    help="CSV table of each image's path, condition, replicate and other factors.  [default: the factors that `screen` "
    "recorded]",
)
@click.option(
    "--described",
    type=LOCAL,
    help="Directory that `describe` wrote of the same inputs: their L(r) - r and g(r) are shown beside the images.",
)
@click.option("--out", "-o", type=LOCAL, help="Folder of the report.  [default: DIRECTORY]")
@LOGS
@guarded
def report(
    directory: Path, by: str, within: tuple[str, ...], cohort: Path | None, described: Path | None, out: Path | None
) -> int:
    """Compare the conditions of the results in DIRECTORY, which `run` or `screen` wrote.

    Writes report.html, and its tables in report/. The page holds its pictures and loads nothing, so it can be sent by
    mail and opened offline.
    """
    from caml_dask.report import write_report

    written = write_report(directory, cohort, by, within, out, described)
    for note in written.notes:
        say(f"note: {note}", err=True)
    images, failed = len(written.results.images), len(written.results.failed)
    compared = sum(len(group) for family in written.families for group in family.groups.values())
    say(f"{compared} of {images} images compared by {by}, {failed} failed; report written to {written.page}")
    return DONE
