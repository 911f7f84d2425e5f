"""Serving the page until it is interrupted."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from caml_dask.errors import UsageError
from caml_dask.extras import require
from caml_dask.io.run_directory import OUTPUT_MARKS, VIEWED, Run, read_manifest

_TOKEN_BYTES = 24
_LOOPBACK = "127.0.0.1"


def serve(directory: Path, port: int, cache: Path | None, say: Callable[[str], None]) -> None:
    """Serve a run or a screening on this machine until interrupted.

    Parameters
    ----------
    directory : Path
        Of the run or screening.
    port : int
        The port; 0 for a free one.
    cache : Path or None
        Where prepared images are kept; None for `.view` in the directory.
    say : callable
        Prints a line.

    Raises
    ------
    UsageError
        The extra is missing, the directory holds neither, or the port is taken.
    """
    require("view", "caml-dask view")
    refuse_no_run(directory)
    import uvicorn

    from caml_dask.viewer.library import Library
    from caml_dask.viewer.server import application

    kept, token = cache or directory / VIEWED, secrets.token_urlsafe(_TOKEN_BYTES)
    app = application(Library(directory, kept), token)
    with _bound(port) as door:
        say(f"http://{_LOOPBACK}:{door.getsockname()[1]}/{token}/")
        say(f"Whoever has this address can look at {directory}. What the page needs is kept in {kept}.")
        say("Ctrl-C ends it.")
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, lifespan="off", ws="none"
        )
        with suppress(KeyboardInterrupt):  # which uvicorn raises again once it has ended
            uvicorn.Server(config).run([door])


def refuse_no_run(directory: Path) -> None:
    """Refuse a directory that holds neither a run nor a screening.

    Raises
    ------
    OutputError
    """
    if read_manifest(directory) is None and not (directory / OUTPUT_MARKS[1]).is_dir():
        Run.open(directory)


def _bound(port: int) -> socket.socket:
    """A socket of this machine alone.

    Raises
    ------
    UsageError : the port is taken, or not allowed.
    """
    door = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind((_LOOPBACK, port))
        door.listen()  # before the address is printed
    except OSError as error:
        door.close()
        raise UsageError(f"port {port} cannot be used ({error.strerror}): name another with --port, or none") from None
    return door
