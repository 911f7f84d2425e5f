"""Commands of the laboratory: networks listed, fields simulated, networks trained and evaluated."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from caml_dask.cli.options import DONE, LOCAL, LOGS, OUT, SEED, TRAINING_WORKERS, WORKERS, guarded
from caml_dask.errors import UsageError


@click.command()
@click.argument("network", required=False)
@LOGS
@guarded
def networks(network: str | None) -> int:
    """List the networks, or print the card of one: NETWORK is its name, or a folder that `train --out` wrote."""
    from caml_dask.networks.catalogue import catalogue, readable

    click.echo(catalogue() if network is None else readable(network))
    return DONE


@click.command(name="simulate")
@click.argument("names", nargs=-1)
@click.option("-o", "--out", type=LOCAL, help="Directory for the tables.")
@SEED
@click.option("--replicates", type=click.IntRange(min=1), default=1, show_default=True, help="Fields a scenario.")
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["csv", "parquet"]),
    default="csv",
    show_default=True,
    help="ThunderSTORM CSV or Parquet.",
)
@WORKERS
@LOGS
@guarded
def simulate_tables(
    names: tuple[str, ...], out: Path | None, seed: int, replicates: int, file_format: str, workers: int | None
) -> int:
    """Write simulated fields with their truth, by NAMES of scenarios or of grids; without any, list the grids.

    A scenario is named like uniform-p20-r50-c50-d100: p points per cluster, r nm radius, c percent clustered, d
    localizations per um2; also gaussian, line, ring; csr-d100; fiber-f50-p20-r50-c50-d100 with f percent of the
    clustered ones in fibers; slab-z150-p20-r50-c50-d100 in 3D, z nm high. Name and seed decide every localization.
    """
    from caml_dask.executors.deployment.clusters import cores
    from caml_dask.runs.laboratory import tables, write_tables
    from caml_dask.simulate import GRIDS, scenarios_named

    if not names:
        click.echo("\n".join(f"{name}: {len(grid())} scenarios" for name, grid in GRIDS.items()))
        return DONE
    scenarios = tuple(dict.fromkeys(s for name in names for s in scenarios_named(name)))
    if out is None:
        raise UsageError("no directory for the tables: name one with --out")
    wanted = tables(scenarios, out, seed, replicates, file_format)
    click.echo(write_tables(wanted, cores() if workers is None else workers))
    return DONE


@click.command()
@click.argument("network")
@click.option("-o", "--out", type=LOCAL, required=True, help="Folder for the weights and the card.")
@click.option("--work", type=LOCAL, required=True, help="Directory for training sets and checkpoints.")
@click.option("--epochs", type=int, help="Passes over the training set.  [default: the network's]")
@click.option("--batch", type=int, help="Samples an update.  [default: the network's]")
@click.option("--learning-rate", type=float, help="Of Adam, at the first update.  [default: the network's]")
@SEED
@click.option("--restarts", type=click.IntRange(min=1), default=1, show_default=True, help="Fits, the best is kept.")
@click.option("--folds", type=int, default=0, help="Also cross-validate, in so many folds of 200,000 samples in all.")
@click.option(
    "--samples",
    type=click.IntRange(min=10),
    default=500_000,
    show_default=True,
    help="Training samples; validation and test set hold a fifth each.",
)
@click.option("--window", type=int, help="A variant: neighbors in the input window.")
@click.option(
    "--name",
    "own_name",
    help="Name of what is trained, in its files and in results.  [default: NETWORK, with what the variant changes]",
)
@click.option(
    "--clusters",
    type=click.Choice(["all", "small", "large"]),
    default="all",
    help="A variant: train on clusters of up to 40 points alone, or of more.",
)
@click.option(
    "--relative-xy",
    is_flag=True,
    help="A variant: positions of the neighbors in place of distances. It can be compared, but not run.",
)
@WORKERS
@LOGS
@guarded
def train(
    network: str,
    out: Path,
    work: Path,
    window: int | None,
    own_name: str | None,
    clusters: str,
    relative_xy: bool,
    samples: int,
    workers: int | None,
    restarts: int,
    folds: int,
    **chosen: Any,
) -> int:
    """Train the architecture of NETWORK anew, from simulated fields; then use it with --network FOLDER.

    FOLDER is that of --out: it holds the weights, NAME.safetensors, and their card, NAME.json. After an interruption,
    call again: finished parts of the training sets and finished epochs under --work are kept.
    """
    import json
    import shlex
    from dataclasses import replace

    from caml_dask.executors.deployment.clusters import cores
    from caml_dask.networks.registry import variant
    from caml_dask.networks.training.train import sets_of
    from caml_dask.runs.laboratory import compile_and_train

    entry = variant(network, window, clusters, relative_xy)
    entry = replace(entry, name=own_name or entry.name)
    settings = replace(entry.settings, **{key: value for key, value in chosen.items() if value is not None})
    card = compile_and_train(
        entry,
        sets_of(entry, samples),
        out,
        work,
        settings,
        workers=cores() if workers is None else workers,
        restarts=restarts,
        folds=folds,
        command=shlex.join(["caml-dask", *sys.argv[1:]]),
    )
    click.echo(json.dumps(card["results"], indent=1))
    if not relative_xy:
        click.echo(f"{entry.name} is in {out}: use it with --network {out}", err=True)
    return DONE


@click.command(name="train-field")
@click.option("-o", "--out", type=LOCAL, required=True, help="Folder for the weights and the card.")
@click.option("--work", type=LOCAL, required=True, help="Directory for the training's states.")
@click.option("--axes", type=click.IntRange(2, 3), default=2, show_default=True, help="Coordinates of a localization.")
@click.option("--steady", type=click.IntRange(min=0), required=True, help="Steps before the step size is annealed.")
@click.option("--annealed", type=click.IntRange(min=1), required=True, help="Steps over which it then falls to zero.")
@click.option(
    "--localizations", type=click.IntRange(min=100), default=6_144, show_default=True, help="Least number in a step."
)
@click.option(
    "--most", type=click.IntRange(min=100), default=8_000, show_default=True, help="Localizations of the largest field."
)
@click.option(
    "--surveyed", type=click.IntRange(min=256), default=60_000, show_default=True, help="Fields that teach their kinds."
)
@click.option(
    "--fields",
    type=click.IntRange(min=1),
    default=500,
    show_default=True,
    help="Fields of each sort for the card's figures, and as many to calibrate and to decide on.",
)
@SEED
@TRAINING_WORKERS
@LOGS
@guarded
def train_field(
    out: Path,
    work: Path,
    axes: int,
    steady: int,
    annealed: int,
    localizations: int,
    most: int,
    surveyed: int,
    fields: int,
    seed: int,
    workers: int,
) -> int:
    """Train the field network, from simulated samples of which nothing is known beforehand.

    After an interruption, call again: the state under --work is at most 250 steps old. Call with a larger --steady to
    go on from the state before the step size was annealed. Use what it wrote with --network FOLDER.
    """
    import json
    import shlex

    from caml_dask.executors.deployment.clusters import cores
    from caml_dask.networks.training.keras import import_keras

    import_keras()
    from caml_dask.networks.training.field.fit import FieldFit
    from caml_dask.networks.training.field.train import train_field as fit_and_write

    card = fit_and_write(
        FieldFit(seed, steady, annealed, localizations, surveyed, {"axes": axes, "most": most}),
        axes,
        out,
        work,
        threads=cores(),
        workers=workers,
        fields=fields,
        command=shlex.join(["caml-dask", *sys.argv[1:]]),
    )
    click.echo(json.dumps(card["results"], indent=1))
    return DONE


@click.command(name="train-fibers")
@click.option("-o", "--out", type=LOCAL, required=True, help="Folder for the weights and the card.")
@click.option("--network", default="field-2d", show_default=True, help="Field network in 2D to add to, or its FOLDER.")
@click.option("--fields", type=click.IntRange(min=2), default=900, show_default=True, help="Fields to learn from.")
@SEED
@TRAINING_WORKERS
@LOGS
@guarded
def train_fibers(out: Path, network: str, fields: int, seed: int, workers: int) -> int:
    """Teach a field network to tell fibers from round clusters, in minutes; its other answers stay as they are.

    Use what it wrote with --network FOLDER.
    """
    import json
    import shlex

    from caml_dask.networks.field.trained import load_field_network
    from caml_dask.networks.training.keras import import_keras
    from caml_dask.settings import network_named

    import_keras()
    from caml_dask.networks.training.field.fibers import train_fibers as fit_and_write

    known = load_field_network(network_named(network))
    if known.dimensions != 2 or known.fibers:
        raise UsageError(f"--network {network}: give a field network in 2D that tells two classes")
    command = shlex.join(["caml-dask", *sys.argv[1:]])
    card = fit_and_write(known, seed, fields, out, workers=workers, command=command)
    click.echo(json.dumps(card["fibers"]["results"], indent=1))
    return DONE


@click.command()
@click.argument("networks", nargs=-1)
@OUT
@click.option("--grids", help="Grids of simulated scenarios, such as densities,csr.  [default: all]")
@click.option("--labelled", type=LOCAL, help="Folder of folders of labelled CSV tables, in nm.")
@click.option("--samples", default=2_000, show_default=True, help="Localizations compared in each field.")
@click.option("--replicates", default=2, show_default=True, help="Fields of each scenario.")
@click.option("--seed", default=0, show_default=True, help="Seed of the fields and samples.")
@click.option("--smoke", is_flag=True, help="A few scenarios in small cells: whether everything works, in seconds.")
@WORKERS
@LOGS
@guarded
def evaluate(
    networks: tuple[str, ...], out: Path, grids: str | None, labelled: Path | None, workers: int | None, **protocol: Any
) -> int:
    """Try NETWORKS on simulated fields and labelled tables: records, tables, figures.

    Each is a name or a folder that `caml-dask train --out` wrote; without any, all that ship are tried. After an
    interruption, call again with the same options: finished parts are kept.
    """
    from caml_dask.evaluation.protocol import Protocol
    from caml_dask.evaluation.run import evaluate as evaluate_networks
    from caml_dask.executors.deployment.clusters import cores

    names = [name.strip() for name in grids.split(",") if name.strip()] if grids else []
    count = cores() if workers is None else workers
    click.echo(evaluate_networks(networks, out, Protocol(**protocol), grids=names, labelled=labelled, workers=count))
    return DONE
