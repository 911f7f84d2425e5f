"""The command `caml-dask`: parse, call, print."""

from __future__ import annotations

import click

from caml_dask import __version__
from caml_dask.cli import analysis, cluster, laboratory, reporting, screening


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="caml-dask")
def main() -> None:
    """Cluster analysis of single-molecule localizations with neural networks (CAML)."""


for command in (
    analysis.run,
    analysis.demo,
    screening.screen,
    screening.status,
    screening.prune,
    cluster.doctor,
    cluster.plan,
    cluster.unit,
    cluster.finish,
    laboratory.networks,
    laboratory.simulate_tables,
    laboratory.train,
    laboratory.evaluate,
    reporting.report,
):
    main.add_command(command)
