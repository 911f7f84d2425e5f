"""Options that commands share, and what turns exceptions into messages and exit codes."""

from __future__ import annotations

import dataclasses
import functools
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from caml_dask.atomic import FULL
from caml_dask.cli.logs import FORMATS, note_end, start_logs
from caml_dask.errors import CamlError, UsageError, printable
from caml_dask.io.remote.url import Url, is_url, shown
from caml_dask.methods import AUTO, METHODS, PARAMETERS, as_text, method_of, option_of, required
from caml_dask.settings import DEFAULT_NETWORK, DRIFT_METHODS, NETWORK_ALIASES

if TYPE_CHECKING:
    from caml_dask.settings import Settings

DONE, USAGE, SOME_FAILED, FAILED, INTERRUPTED = 0, 2, 3, 4, 130
EXIT_CODES = {
    DONE: "done",
    USAGE: "the command cannot be used like this, or the output directory is in use",
    SOME_FAILED: "some images failed, or could not be exported or copied; the others are done",
    FAILED: "all images failed, or no workers came, or a store did not answer, or the disk is full",
    INTERRUPTED: "interrupted; continue with `--resume`",
}


_INSTEAD = (
    "give one; `run` and `plan` take URLs as inputs, and copy results to a bucket with --out-url; elsewhere mount the "
    "store, or copy to and from this machine"
)


class _LocalPath(click.Path):
    """A path on this machine; a URL, which would be taken for a folder named `s3:`, is refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if is_url(text := os.fspath(value)):
            self.fail(f"{shown(text)} is a URL, where a path is wanted: {_INSTEAD}", param, ctx)
        return super().convert(value, param, ctx)


class _Url(click.ParamType):
    """A URL that can be opened."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Url:
        if isinstance(value, Url):
            return value
        try:
            return Url.parse(value)
        except UsageError as error:
            self.fail(printable(str(error)), param, ctx)


class _Input(_LocalPath):
    """A path on this machine, or a URL."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, Url) or is_url(os.fspath(value)):
            return _Url().convert(value, param, ctx)
        return super().convert(value, param, ctx)


LOCAL = _LocalPath(path_type=Path)
INPUT = _Input(path_type=Path)
NETWORK = click.option(
    "-n",
    "--network",
    help=f"Network that labels the localizations, in upper or lower case: {DEFAULT_NETWORK}, field-3d (for 3D) or "
    "field-2d-fibers (round clusters and fibers apart), which see whole fields; of the published kinds, which see a "
    "window of neighbors, "
    + ", ".join(f"{code} or {alias}" for code, alias in NETWORK_ALIASES.items())
    + "; or a FOLDER that `caml-dask train`, `train-field` or `train-fibers` wrote.  "
    + f"[default: {DEFAULT_NETWORK}]",
)
METHOD = click.option(
    "--method",
    type=click.Choice(list(METHODS)),
    help="Method that finds the clusters in place of a network: "
    + ", ".join(" ".join([name, *(f"({option_of(one)})" for one in required(name))]) for name in METHODS)
    + ".",
)


class _NumberOrAuto(click.ParamType):
    """A number, or the word that has it found in the data."""

    name = "number or auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if value == AUTO else click.FLOAT.convert(value, param, ctx)


_KINDS: Mapping[str, Any] = {"int": int, "float": float, "bool": bool, "float | str": _NumberOrAuto()}


def _of_methods() -> list[Callable[..., Any]]:
    """An option for each parameter of the methods."""
    made = []
    for name in PARAMETERS:
        fields = {kind.name: one for kind in METHODS.values() for one in dataclasses.fields(kind) if one.name == name}
        helps = dict[str, list[str]]()
        for method, one in fields.items():
            default = "" if one.default in (None, dataclasses.MISSING) else f"  [default: {as_text(one.default)}]"
            helps.setdefault(f"{one.metadata['help']}.{default}", []).append(method)
        help = "  ".join(f"Of {' and '.join(methods)}: {text}" for text, methods in helps.items())
        kind = str(next(iter(fields.values())).type).removesuffix(" | None")
        made.append(click.option(option_of(name), type=_KINDS[kind], help=help))
    return made


WORKERS = click.option(
    "-j",
    "--workers",
    type=click.IntRange(min=0),
    help="Worker processes of the embedded Dask cluster; 0 runs in this process.  [default: one a core]",
)
TRAINING_WORKERS = click.option(
    "-j", "--workers", type=click.IntRange(min=0), default=1, show_default=True, help="Processes that draw fields."
)
RUN_WORKERS = click.option(
    "-j",
    "--workers",
    type=click.IntRange(min=0),
    help="Worker processes of the embedded Dask cluster; 0 runs in this process.  "
    "[default: one a core; 0 for inputs of 2 MiB or less in all]",
)
DEPLOY = click.option(
    "--deploy",
    type=LOCAL,
    help="TOML file that says where the workers come from: this machine, a scheduler, a batch system.",
)
OUT = click.option("-o", "--out", type=LOCAL, required=True, help="Directory for the results.")
TILE = click.option(
    "--max-localizations", type=int, help="Localizations a tile may hold: bounds memory, never changes a result."
)
COLUMNS = click.option(
    "--columns", help="Coordinate columns and unit, such as x=X,y=Y,unit=nm  (also z=, pixel_nm=, channel=)."
)
WHERE = click.option(
    "--where",
    metavar="FILTER",
    help="Analyze only rows that pass, such as 'uncertainty_nm < 20 and frame >= 500'; the others keep their place, "
    "with null results.",
)
ROI = click.option(
    "--roi",
    metavar="REGIONS",
    help="Count only what lies in regions: ImageJ .roi or .zip, GeoJSON in nm, a PNG or TIFF mask, a FOLDER with "
    "one for each image, or a rectangle in nm, such as x=1000..5000,y=0..2000.",
)
ROI_PIXEL = click.option("--roi-pixel-nm", type=float, help="Size of a pixel of --roi, in nm: ImageJ and masks.")
CELL_MASK = click.option(
    "--cell-mask",
    type=click.Choice(["auto"]),
    help="Count only what lies where localizations are: auto outlines them, as one would outline a cell. In place of "
    "--roi.",
)
NONFINITE = click.option(
    "--nonfinite",
    default="drop",
    show_default=True,
    type=click.Choice(["drop", "refuse"]),
    help="Rows with NaN or infinite coordinates: leave them out, with null results, or refuse the image.",
)
_MIN_POINTS = functools.partial(click.option, "--min-points", type=click.IntRange(min=1))
_AT_LEAST = "Localizations that a cluster has at least.  [default: 3"
MIN_POINTS = _MIN_POINTS(
    help=f"{_AT_LEAST}; " + ", ".join(f"of {name} {kind.least_members}" for name, kind in METHODS.items()) + "]"
)
MIN_POINTS_OF_NETWORKS = _MIN_POINTS(help=f"{_AT_LEAST}]")
AREA = click.option(
    "--area-um2", type=float, help="Area of the field, in um2.  [default: that of the convex hull of the localizations]"
)
MERGE = click.option(
    "--merge",
    metavar="RULE",
    help="Merge the detections of a molecule that blinks, before the analysis: auto, which estimates re-blinking from "
    "the data, or a radius and a gap from the last detection, such as 50nm,25frames.  [default: none are merged]",
)
DRIFT = click.option(
    "--drift",
    type=click.Choice(DRIFT_METHODS),
    help="Correct the drift of the stage, before all else but --where, by the frames of localizations: aim, adaptive "
    "intersection maximization, or rcc, redundant cross-correlation.  [default: coordinates are left as they are]",
)
TEST = click.option(
    "--test/--no-test",
    "test",
    default=True,
    show_default=True,
    help="Compare each image with random fields: a p value, and a q value for each cluster.",
)
FDR = click.option(
    "--fdr", type=float, help="Drop clusters whose q value is above this false discovery rate, such as 0.05."
)
BOOTSTRAP = click.option(
    "--bootstrap",
    type=int,
    metavar="RESAMPLES",
    help="Give each cluster's area a 95 % interval, from so many resamples of its members, such as 100; in 2D. It "
    "takes minutes for every thousand clusters.  [default: no interval]",
)
EXTENT = click.option(
    "--any-extent", is_flag=True, help="Take coordinates that span less than 500 nm or more than 3 mm."
)
FEATURES = click.option(
    "--save-features", is_flag=True, help="Also store the neighbor distances that a network of windows sees, as Zarr."
)


def _formats(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name.strip() for part in given for name in part.split(","))


EXPORT = click.option(
    "--export",
    multiple=True,
    metavar="FORMATS",
    callback=_formats,
    help="Also write the results for other programs, into the folder export, such as csv,picasso: the formats of "
    "`caml-dask export`. Can be given several times.",
)
OUT_URL = click.option(
    "--out-url",
    type=_Url(),
    metavar="URL",
    help="Copy each finished image, and the tables of the run, to s3://BUCKET/PREFIX; --out stays a directory here.",
)
RESUME = click.option("--resume", is_flag=True, help="Continue a run that was stopped; finished units are kept.")
OVERWRITE = click.option("--overwrite", is_flag=True, help="Remove the run that is in the directory, and start over.")
SEED = click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all chance.")


def LOGS(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say what is logged, and where; :func:`guarded` takes their values."""
    for option in (
        click.option("--debug", is_flag=True, help="Show tracebacks and debug messages."),
        click.option(
            "--log-format",
            type=click.Choice(FORMATS),
            default="text",
            show_default=True,
            help="Log lines as text, or as a JSON object each.",
        ),
        click.option("--log-file", type=LOCAL, help="Also add log lines, and how the command ended, to this file."),
    ):
        command = option(command)
    return command


def ANALYSIS(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say how an image is analysed; :func:`settings_of` takes their values."""
    for option in (
        EXTENT,
        AREA,
        NONFINITE,
        CELL_MASK,
        ROI_PIXEL,
        ROI,
        WHERE,
        COLUMNS,
        TILE,
        BOOTSTRAP,
        FDR,
        TEST,
        MERGE,
        DRIFT,
        MIN_POINTS,
        *reversed(_of_methods()),
        METHOD,
        NETWORK,
    ):  # the last one added comes first in the help
        command = option(command)
    return command


def settings_of(columns: str | None, chosen: Mapping[str, Any]) -> Settings:
    """The settings that the options of :func:`ANALYSIS` ask for.

    columns : as given by --columns
    chosen : the other values, by the names of settings
    """
    from caml_dask.settings import ColumnMap, Settings

    settings, parameters = dict(chosen), {name: chosen[name] for name in PARAMETERS if name in chosen}
    for name in parameters:
        del settings[name]
    given = [name for name, value in parameters.items() if value is not None]
    if settings.get("method") is not None:
        settings["method"] = method_of(settings["method"], parameters)
    elif given:
        raise UsageError(f"{option_of(given[0])} is a parameter of a method: add --method, or leave it out")
    return Settings(columns=ColumnMap.parse(columns) if columns else ColumnMap(), **settings)


def say(text: str, *, err: bool = False) -> None:
    """Print a line, on stderr if asked, that changes nothing of the terminal but where the next one stands."""
    click.echo(printable(text), err=err)


def guarded(command: Callable[..., int]) -> Callable[..., None]:
    """Turn what a command raises into a message and an exit code; a traceback only with --debug."""

    @functools.wraps(command)
    def wrapper(*, debug: bool, log_file: Path | None, log_format: str, **options: Any) -> None:
        text = None
        try:
            start_logs(debug, log_format, log_file)
            _take_sigterm_for_an_interrupt()
            code = command(**options)
        except KeyboardInterrupt as interrupt:
            hint = "continue with --resume" if "resume" in options else "call again to go on"
            by = f" by {interrupt.args[0]}" if interrupt.args else ""
            text, code = f"interrupted{by}; what is done is kept: {hint}", INTERRUPTED
        except (CamlError, OSError) as error:
            full = isinstance(error, OSError) and error.errno in FULL
            hint = ": no room is left on the disk; make room and call again" if full else ""
            text, code = f"caml-dask: {error}{hint}", USAGE if isinstance(error, UsageError) else FAILED
            _show_traceback(debug)
        except Exception as error:
            defect = f"a defect in the program ({type(error).__name__}: {error})"
            text, code = f"caml-dask: {defect}; run with --debug and report it", FAILED
            _show_traceback(debug)
        if text is not None and log_format == "text":
            say(text, err=True)
        note_end(text, code)
        sys.exit(code)

    return wrapper


def _take_sigterm_for_an_interrupt() -> None:
    """As batch systems and systemd send it: what is done is kept, and workers and queued jobs are withdrawn."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, interrupt)


def _show_traceback(debug: bool) -> None:
    if debug:
        traceback.print_exc()
