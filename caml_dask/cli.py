"""The command `caml-dask`: parse, call, print."""

from __future__ import annotations

import functools
import logging
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from caml_dask import __version__
from caml_dask.errors import CamlError, UsageError

_log = logging.getLogger("caml_dask")
DONE, USAGE, INTERRUPTED, FAILED = 0, 2, 130, 4

MODEL = click.option("--model", default="XPILJZ", show_default=True, help="Network that labels the localizations.")
WORKERS = click.option(
    "--workers",
    type=click.IntRange(min=0),
    help="Worker processes of the embedded Dask cluster; 0 runs in this process.  [default: one a core]",
)
OUT = click.option("--out", type=click.Path(path_type=Path), required=True, help="Directory for the results.")
TILE = click.option(
    "--max-localizations", type=int, help="Localizations a tile may hold: bounds memory, never changes a result."
)
COLUMNS = click.option(
    "--columns", help="Coordinate columns and unit, such as x=X,y=Y,unit=nm  (also z=, pixel_nm=, channel=)."
)
NONFINITE = click.option(
    "--nonfinite",
    default="drop",
    show_default=True,
    type=click.Choice(["drop", "refuse"]),
    help="Rows with NaN or infinite coordinates: leave them out, with null results, or refuse the image.",
)
AREA = click.option("--area-um2", type=float, help="Area analysed.  [default: convex hull of the localizations]")
EXTENT = click.option(
    "--any-extent", is_flag=True, help="Take coordinates that span less than 500 nm or more than 3 mm."
)
FEATURES = click.option("--save-features", is_flag=True, help="Also store the neighbor distances, as Zarr.")
RESUME = click.option("--resume", is_flag=True, help="Continue a run that was stopped; finished units are kept.")
OVERWRITE = click.option(
    "--overwrite", is_flag=True, help="Remove the run that stands in the directory, and start anew."
)
SEED = click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all chance.")
DEBUG = click.option("--debug", is_flag=True, help="Show tracebacks and debug messages.")


def _log_to_stderr(debug: bool) -> None:
    """Our own lines, plain; what other packages log, only when debugging."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    log = logging.getLogger() if debug else _log
    log.handlers[:] = [handler]
    log.setLevel(logging.INFO)
    _log.propagate = debug
    if debug:
        _log.setLevel(logging.DEBUG)


def guarded(command: Callable[..., int]) -> Callable[..., None]:
    """Turn what a command raises into a message and an exit code; a traceback only with --debug."""

    @functools.wraps(command)
    def wrapper(*, debug: bool, **options: Any) -> None:
        _log_to_stderr(debug)
        try:
            code = command(**options)
        except KeyboardInterrupt:
            hint = "continue with --resume" if "resume" in options else "call again to go on"
            click.echo(f"interrupted; what is done is kept: {hint}", err=True)
            code = INTERRUPTED
        except (CamlError, OSError) as error:
            if debug:
                traceback.print_exc()
            click.echo(f"caml-dask: {error}", err=True)
            code = USAGE if isinstance(error, UsageError) else FAILED
        except Exception as error:
            if debug:
                traceback.print_exc()
            click.echo(
                f"caml-dask: a defect in the program ({type(error).__name__}: {error}); run with --debug and report it",
                err=True,
            )
            code = FAILED
        sys.exit(code)

    return wrapper


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="caml-dask")
def main() -> None:
    """Cluster analysis of single-molecule localizations with neural networks (CAML)."""


@main.command()
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@OUT
@MODEL
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    help="Worker processes of the embedded Dask cluster; 0 runs in this process.  "
    "[default: one a core; 0 for inputs of 2 MiB or less in all]",
)
@TILE
@COLUMNS
@NONFINITE
@AREA
@EXTENT
@FEATURES
@RESUME
@OVERWRITE
@DEBUG
@guarded
def run(
    inputs: tuple[Path, ...],
    out: Path,
    workers: int | None,
    columns: str | None,
    resume: bool,
    overwrite: bool,
    **settings: Any,
) -> int:
    """Label every localization of INPUTS, find their clusters, outline and measure them.

    INPUTS are ThunderSTORM CSV, CAML tsv, delimited tables or Parquet; each file is an image, or one a channel.

    Exit codes: 0 done, 2 usage, 3 some images failed, 4 all failed, 130 interrupted.
    """
    from caml_dask.params import ColumnMap, Settings
    from caml_dask.run.report import tell
    from caml_dask.run.session import execute

    if resume and overwrite:
        raise UsageError("--resume continues a run and --overwrite removes it: give one of them")
    chosen = Settings(columns=ColumnMap.parse(columns) if columns else ColumnMap(), **settings)
    outcome = execute(inputs, out, chosen, workers=workers, resume=resume, overwrite=overwrite)
    click.echo(tell(outcome))
    return outcome.exit_code


@main.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("caml_dask_demo"), show_default=True)
@WORKERS
@DEBUG
@guarded
def demo(out: Path, workers: int | None) -> int:
    """Simulate a cell with clusters, analyse it, compare with the truth, and say where to look."""
    from caml_dask.run.demo import demonstrate
    from caml_dask.run.deployment import cores

    click.echo(demonstrate(out, cores() if workers is None else workers))
    return DONE


@main.command()
@click.argument("name", required=False)
@DEBUG
@guarded
def models(name: str | None) -> int:
    """List the networks, or tell all that is known of the one called NAME."""
    from caml_dask.models.cards import catalogue, readable

    click.echo(catalogue() if name is None else readable(name))
    return DONE


@main.command(name="simulate")
@click.argument("names", nargs=-1)
@click.option("--out", type=click.Path(path_type=Path), help="Directory for the tables.")
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
@DEBUG
@guarded
def simulate_tables(
    names: tuple[str, ...], out: Path | None, seed: int, replicates: int, file_format: str, workers: int | None
) -> int:
    """Write simulated fields with their truth, by NAMES of scenarios or of grids; without any, list the grids.

    A scenario is named like uniform-p20-r50-c50-d100: p points per cluster, r nm radius, c percent clustered, d
    localizations per um2; also gaussian, line, ring; csr-d100; fiber-f50-p20-r50-c50-d100 with f percent of the
    clustered ones in fibers; slab-z150-p20-r50-c50-d100 in 3D, z nm high. Name and seed decide every localization.
    """
    from caml_dask.run.deployment import cores
    from caml_dask.run.laboratory import tables, write_tables
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


@main.command()
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Directory for the weights and the card.")
@click.option(
    "--work", type=click.Path(path_type=Path), required=True, help="Directory for training sets and checkpoints."
)
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
    "--clusters",
    type=click.Choice(["all", "small", "large"]),
    default="all",
    help="A variant: train on clusters of up to 40 points alone, or of more.",
)
@click.option("--relative-xy", is_flag=True, help="A variant: positions of the neighbors in place of distances.")
@WORKERS
@DEBUG
@guarded
def train(
    name: str,
    out: Path,
    work: Path,
    window: int | None,
    clusters: str,
    relative_xy: bool,
    samples: int,
    workers: int | None,
    restarts: int,
    folds: int,
    **chosen: Any,
) -> int:
    """Train the network NAME from simulated fields; what is finished under --work is not done again.

    A call that was stopped goes on where it was: finished parts of the sets, and finished epochs.
    """
    import json
    import shlex
    from dataclasses import replace

    from caml_dask.models.registry import variant
    from caml_dask.models.train import sets_of
    from caml_dask.run.deployment import cores
    from caml_dask.run.laboratory import compile_and_train

    entry = variant(name, window, clusters, relative_xy)
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
    return DONE


@main.command()
@click.argument("models", nargs=-1)
@OUT
@click.option("--grids", help="Grids of simulated scenarios, such as densities,csr.  [default: all]")
@click.option("--labelled", type=click.Path(path_type=Path), help="Folder of folders of labelled CSV tables, in nm.")
@click.option("--samples", default=2_000, show_default=True, help="Localizations compared in each field.")
@click.option("--replicates", default=2, show_default=True, help="Fields of each scenario.")
@click.option("--seed", default=0, show_default=True, help="Seed of the fields and samples.")
@click.option("--smoke", is_flag=True, help="A few scenarios in small cells: whether everything works, in seconds.")
@WORKERS
@DEBUG
@guarded
def evaluate(
    models: tuple[str, ...], out: Path, grids: str | None, labelled: Path | None, workers: int | None, **protocol: Any
) -> int:
    """Try MODELS (all, where none is named) on simulated fields and labelled tables: records, tables, figures.

    Called again with the same options, it goes on where it was; what is done is kept.
    """
    from caml_dask.evaluation.protocol import Protocol
    from caml_dask.run.deployment import cores
    from caml_dask.run.evaluation import evaluate as evaluate_networks

    names = [name.strip() for name in grids.split(",") if name.strip()] if grids else []
    count = cores() if workers is None else workers
    click.echo(evaluate_networks(models, out, Protocol(**protocol), grids=names, labelled=labelled, workers=count))
    return DONE
