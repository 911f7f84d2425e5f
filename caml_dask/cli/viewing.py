"""The command that shows results in a browser: `view`."""

from __future__ import annotations

from pathlib import Path

import click

from caml_dask.cli.options import DONE, LOCAL, LOGS, guarded, say
from caml_dask.errors import UnknownImageError, UsageError


@click.command()
@click.argument("directory", type=LOCAL)
@click.option("--port", type=click.IntRange(0, 65535), help="Port on this machine.  [default: a free one]")
@click.option(
    "--cache",
    type=LOCAL,
    help="Folder for what the page needs of each image, made when it is first opened.  [default: DIRECTORY/.view]",
)
@click.option("--static", metavar="IMAGE", help="Write a page that holds this image in place of serving one.")
@click.option("-o", "--out", type=LOCAL, help="File of --static.  [default: IMAGE.html]")
@LOGS
@guarded
def view(directory: Path, port: int | None, cache: Path | None, static: str | None, out: Path | None) -> int:
    """Look at the results in DIRECTORY, which `run` or `screen` wrote, on a page in your browser.

    The page is served to this machine alone, at an address with a token in it, until you press Ctrl-C. Needs the extra
    view; --static does not.
    """
    if static is None:
        from caml_dask.viewer.serve import serve

        if out is not None:
            raise UsageError("--out is the file of --static: add --static IMAGE, or leave it out")
        serve(directory, port or 0, cache, say)
        return DONE
    if port is not None or cache is not None:
        raise UsageError("--port and --cache are those of a page that is served: leave them out with --static")
    from caml_dask.viewer.static_page import write_page

    try:
        page = write_page(directory, static, out)
    except UnknownImageError as error:
        raise UsageError(str(error)) from None
    say(f"{page} ({page.stat().st_size / 1e6:.1f} MB)")
    return DONE
