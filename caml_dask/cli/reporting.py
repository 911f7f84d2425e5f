"""The command that tells of results: `report`."""

from __future__ import annotations

from pathlib import Path

import click

from caml_dask.cli.options import DEBUG, DONE, guarded


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--by", default="condition", show_default=True, help="Factor whose values are compared.")
@click.option("--within", multiple=True, help="Compare within each value of this factor; can be given several times.")
@click.option(
    "--cohort",
    type=click.Path(path_type=Path),
    help="Table that tells each image's condition, replicate and other factors, by its path (CSV).  [default: as "
    "screening knew them]",
)
@click.option("--out", "-o", type=click.Path(path_type=Path), help="Folder of the report.  [default: DIRECTORY]")
@DEBUG
@guarded
def report(directory: Path, by: str, within: tuple[str, ...], cohort: Path | None, out: Path | None) -> int:
    """Compare the conditions of DIRECTORY, as `run` or `screen` left it: report.html, and tables in report/.

    The page needs nothing but itself: send it, or open it without a network.
    """
    from caml_dask.report import write_report

    written = write_report(directory, cohort, by, within, out)
    for note in written.notes:
        click.echo(f"note: {note}", err=True)
    images, failed = len(written.results.images), len(written.results.failed)
    compared = sum(len(group) for family in written.families for group in family.groups.values())
    click.echo(f"{images} images, {compared} of them compared by {by}, {failed} failed; the report is {written.page}")
    return DONE
