"""Where a command's lines go: to stderr and into a file, as text or as JSON."""

from __future__ import annotations

import json
import logging
import os
import shlex
import sys
from datetime import datetime
from pathlib import Path

from caml_dask import __version__
from caml_dask.errors import UsageError, printable

FORMATS = ("text", "json")
_SHOWN = {"shown": True}
_log = logging.getLogger("caml_dask")


class _Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


class _Json(logging.Formatter):
    """A record as an object on a line: when, how grave, what, and by which process."""

    def format(self, record: logging.LogRecord) -> str:
        said = record.getMessage() + (f"\n{self.formatException(record.exc_info)}" if record.exc_info else "")
        time = datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")
        level = record.levelname.lower()
        return json.dumps({"time": time, "level": level, "message": said, "process": record.process})


def start_logs(debug: bool, form: str, file: Path | None) -> None:
    """Send our own lines to stderr, and into a file if one is named; what other packages log, only when debugging.

    Parameters
    ----------
    form : of FORMATS.
    file : lines are added to its end.

    Raises
    ------
    UsageError : the file cannot be written.
    """
    formatter = _Json() if form == "json" else _Text()
    shown = logging.StreamHandler()
    if form == "text":  # what stands on the terminal already, such as a bar's lines and errors
        shown.addFilter(lambda record: not getattr(record, "shown", False))
    handlers: list[logging.Handler] = [shown]
    problem = None
    if file is not None:
        try:
            handlers.append(logging.FileHandler(file, encoding="utf-8"))
        except OSError as error:
            problem = UsageError(f"--log-file {file} cannot be written: {os.strerror(error.errno or 0)}")
    for handler in handlers:
        handler.setFormatter(formatter)
    log = logging.getLogger() if debug else _log
    log.handlers[:] = handlers
    log.setLevel(logging.INFO)
    _log.propagate = debug
    if debug:
        _log.setLevel(logging.DEBUG)
    else:  # it prints the traceback of whatever of Dask's was given up, as records of lost workers are
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    if problem is not None:
        raise problem
    if file is not None:
        _log.info("caml-dask %s: %s", __version__, shlex.join(sys.argv[1:]), extra=_SHOWN)


def note_end(text: str | None, code: int) -> None:
    """Log how a command ended, but for a terminal, which shows it.

    text : what it said of that
    """
    if text is not None:
        _log.error("%s", text, extra=_SHOWN)
    _log.info("ended with exit code %d", code, extra=_SHOWN)
