"""The command that writes results for other programs: `export`."""

from __future__ import annotations

from pathlib import Path

import click

from caml_dask.cli.options import DONE, LOCAL, LOGS, guarded, say
from caml_dask.errors import UnknownImageError, UsageError

_SHOWN = 20  # files listed


class _Exports(click.Command):
    """A command whose help lists the formats that are written."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_options(ctx, formatter)
        from caml_dask.io.exporters.formats import EXPORTERS

        with formatter.section("Formats"):
            rows = []
            for exporter in EXPORTERS:
                needs = f" Needs the extra {exporter.extra}." if exporter.extra else ""
                about = f"{exporter.title}: {exporter.writes}. Units: {exporter.units}.{needs}".replace("`", "")
                rows.append((exporter.name, about))
            formatter.write_dl(rows)


@click.command(cls=_Exports)
@click.argument("directory", type=LOCAL)
@click.option("--to", multiple=True, required=True, metavar="FORMAT", help="Format; can be given several times.")
@click.option("-o", "--out", type=LOCAL, help="Folder for the files.  [default: DIRECTORY/export]")
@click.option(
    "--images",
    multiple=True,
    metavar="IMAGE",
    help="image_id, or stem of the input; can be given several times.  [default: all images that are done]",
)
@click.option(
    "--pixel-nm",
    type=float,
    help="Size of the pixels of picasso, imagej, ome-tiff and ome-zarr.  [default: see the format]",
)
@click.option("--overwrite", is_flag=True, help="Replace files that are there already.")
@LOGS
@guarded
def export(
    directory: Path,
    to: tuple[str, ...],
    out: Path | None,
    images: tuple[str, ...],
    pixel_nm: float | None,
    overwrite: bool,
) -> int:
    """Write the results in DIRECTORY, which `run` or `screen` wrote, for other programs.

    A file appears whole or not at all. If one is there already, nothing is written.
    """
    from caml_dask.results.run import open_run

    try:
        written = open_run(directory).export(to, out, images=images or None, pixel_nm=pixel_nm, overwrite=overwrite)
    except UnknownImageError as error:
        raise UsageError(str(error)) from None
    for path in written[:_SHOWN]:
        say(str(path))
    if len(written) > _SHOWN:
        say(f"... and {len(written) - _SHOWN} more in {written[0].parent}")
    return DONE
