"""The command `caml-dask`: parse, call, print."""

from __future__ import annotations

import click

from caml_dask import __version__
from caml_dask.cli import (
    analysis,
    cluster,
    colocalizing,
    completion,
    describing,
    exporting,
    following,
    formats,
    laboratory,
    picturing,
    reporting,
    screening,
    viewing,
)
from caml_dask.cli.examples import with_examples


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Completion in your shell: caml-dask completion bash >> ~/.bashrc  (or zsh, fish; see its --help).",
)
@click.version_option(__version__, prog_name="caml-dask")
def main() -> None:
    """Cluster analysis of single-molecule localizations with neural networks (CAML).

    \b
    Start with:
      caml-dask demo                       # a simulated cell, in a minute
      caml-dask run cell_a.csv -o results  # your own data
      caml-dask COMMAND --help             # options and examples
    """


for command in (
    analysis.run,
    analysis.demo,
    screening.screen,
    screening.status,
    screening.prune,
    cluster.doctor,
    cluster.array_script,
    cluster.plan,
    cluster.unit,
    cluster.finish,
    formats.formats,
    laboratory.networks,
    laboratory.simulate_tables,
    laboratory.train,
    laboratory.train_field,
    laboratory.train_fibers,
    laboratory.evaluate,
    reporting.report,
    exporting.export,
    picturing.overview,
    viewing.view,
    colocalizing.colocalize,
    following.follow,
    describing.describe,
    completion.completion,
):
    main.add_command(with_examples(command))
