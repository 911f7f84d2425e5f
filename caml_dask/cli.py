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
            click.echo("interrupted; what is done is kept: continue with --resume", err=True)
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
@WORKERS
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
    from caml_dask.run.deployment import cores
    from caml_dask.run.report import tell
    from caml_dask.run.session import execute

    if resume and overwrite:
        raise UsageError("--resume continues a run and --overwrite removes it: give one of them")
    chosen = Settings(columns=ColumnMap.parse(columns) if columns else ColumnMap(), **settings)
    count = cores() if workers is None else workers
    outcome = execute(inputs, out, chosen, workers=count, resume=resume, overwrite=overwrite)
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
@DEBUG
@guarded
def models() -> int:
    """List the networks: what they take, how well they do, where they fail."""
    from caml_dask.models.cards import catalogue

    click.echo(catalogue())
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
