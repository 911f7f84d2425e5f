"""The command that lists the formats of localization tables."""

from __future__ import annotations

import click

from caml_dask.cli.options import DONE, LOGS, guarded


@click.command()
@click.argument("name", required=False)
@LOGS
@guarded
def formats(name: str | None) -> int:
    """List the formats that are read, each with an example; or say more of one, by NAME or part of it.

    A file is recognized by its content; its name does not matter.
    """
    from caml_dask.io.readers.formats import details, listing

    click.echo(listing() if name is None else details(name))
    return DONE
