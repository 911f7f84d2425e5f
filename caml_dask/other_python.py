"""A function of this package in another Python process: a fresh one, that imports from where this one does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

Stream = int | IO[bytes] | None
"""Of a process, as `subprocess.Popen` takes it; None is this process' own."""


def can_start() -> bool:
    """Whether this program can be started as Python; embedded, it may be another one."""
    return Path(sys.executable or "").name.startswith("python")


def start(
    function: Callable[..., Any],
    *arguments: str,
    stdin: Stream = None,
    stdout: Stream = None,
    stderr: Stream = None,
) -> subprocess.Popen[bytes]:
    """Begin a process that calls a function and ends. The folder in which it begins is none that it imports from.

    Parameters
    ----------
    function : one of a module, by its name.
    arguments : of the function.

    Raises
    ------
    OSError : no process can be started.
    """
    name = function.__name__
    code = f"import sys; from {function.__module__} import {name}; {name}(*sys.argv[1:])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.Popen(
        [sys.executable, "-P", "-c", code, *arguments], env=environment, stdin=stdin, stdout=stdout, stderr=stderr
    )
