"""The command that writes overviews for a talk or a paper: `overview`."""

from __future__ import annotations

from pathlib import Path

import click

from caml_dask.cli.options import DONE, LOCAL, LOGS, guarded, say
from caml_dask.errors import UnknownImageError, UsageError


@click.command()
@click.argument("directory", type=LOCAL)
@click.option(
    "--to", type=click.Choice(["pdf", "svg", "png"]), default="pdf", show_default=True, help="Kind of picture."
)
@click.option("-o", "--out", type=LOCAL, help="Folder for the files.  [default: DIRECTORY/export]")
@click.option(
    "--images",
    multiple=True,
    metavar="IMAGE",
    help="image_id, or stem of the input; can be given several times.  [default: all images that are done]",
)
@click.option("--overwrite", is_flag=True, help="Replace files that are there already.")
@LOGS
@guarded
def overview(directory: Path, to: str, out: Path | None, images: tuple[str, ...], overwrite: bool) -> int:
    """Write the overviews of the images in DIRECTORY as PDF or SVG, with lines and text as such.

    They show what overview.png of each image shows, on white paper. Needs the extra plot.
    """
    from caml_dask.results.overviews import save_overviews
    from caml_dask.results.run import open_run

    try:
        written = save_overviews(open_run(directory), to, out, images or None, overwrite)
    except UnknownImageError as error:
        raise UsageError(str(error)) from None
    for path in written:
        say(str(path))
    return DONE
