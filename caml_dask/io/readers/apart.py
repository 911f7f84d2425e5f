"""Work that a damaged file can crash or keep busy forever, done in a process of its own.

HDF5's library does either on some damaged files. The process is started once, answers one request after the other, and
is replaced where it dies. It is killed by a timer if it computes for long without a result; waiting for a disk does not
count. It ends with the process that started it.
"""

from __future__ import annotations

import atexit
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from caml_dask import other_python
from caml_dask.errors import InputError, UnreadableError

T = TypeVar("T")

_LONGEST_S = 5.0
_idle: list[_Process] = []
os.register_at_fork(after_in_child=_idle.clear)  # a forked process may not share them


@atexit.register
def _end_idle() -> None:
    while _idle:
        _idle.pop().end()


class _Process:
    """The other process, which waits for a request."""

    def __init__(self) -> None:
        self._process = other_python.start(serve, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def send(self, message: object) -> None:
        """Send a request, or whether more is wanted."""
        if self._process.stdin is not None:
            pickle.dump(message, self._process.stdin, protocol=5)
            self._process.stdin.flush()

    def receive(self) -> tuple[str, Any]:
        """The next answer."""
        if self._process.stdout is None:
            raise EOFError
        kind, value = pickle.load(self._process.stdout)
        return str(kind), value

    def end(self) -> None:
        """Kill it, if it still runs."""
        self._process.kill()
        self._process.communicate()


def iterate(path: Path, function: Callable[..., Iterator[T]], *arguments: object) -> Iterator[T]:
    """What a generator function yields in the other process.

    Parameters
    ----------
    path : the file that it reads, for the error.
    function, arguments : both can be pickled.

    Raises
    ------
    InputError : the other process crashed, or did not come to an end.
    UnreadableError : no process can be started.
    Exception : what the function raises.
    """
    try:
        process = _idle.pop() if _idle else _Process()
    except OSError as error:
        raise UnreadableError(
            f"cannot be read, for no process can be started: {error.strerror or error}", path
        ) from error
    alive = False
    try:
        try:
            process.send((function, arguments))
            kind, value = process.receive()
            while kind == "value":
                alive = True
                yield value
                alive = False
                process.send(True)
                kind, value = process.receive()
        except (EOFError, BrokenPipeError, pickle.UnpicklingError) as error:
            raise InputError("is damaged so that it cannot be read: copy or download it again", path) from error
        alive, kind = True, f"{kind} received"
        if kind.startswith("error"):
            raise value
    finally:
        if not alive:
            process.end()
        else:
            if kind == "value":  # no more is wanted
                process.send(False)
            _idle.append(process)


def call(path: Path, function: Callable[..., T], *arguments: object) -> T:
    """What a function returns in the other process.

    Raises
    ------
    InputError : the other process crashed, or did not come to an end.
    Exception : what the function raises.
    """
    (value,) = iterate(path, _once, function, arguments)
    return value  # type: ignore[no-any-return]


def _once(function: Callable[..., T], arguments: tuple[object, ...]) -> Iterator[T]:
    yield function(*arguments)


def still_at_work() -> None:
    """Set the timer back, in the other process; elsewhere there is none."""
    if signal.getitimer(signal.ITIMER_PROF)[0]:
        signal.setitimer(signal.ITIMER_PROF, _LONGEST_S)


def serve() -> None:
    """Answer requests until there are no more: the other process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends with the one that started it
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    try:
        while True:
            function, arguments = pickle.load(requests)
            signal.setitimer(signal.ITIMER_PROF, _LONGEST_S)
            _answer(function, arguments, requests, answers)
            signal.setitimer(signal.ITIMER_PROF, 0)
    except (EOFError, BrokenPipeError):
        os._exit(0)


def _answer(function: Callable[..., Iterator[Any]], arguments: tuple[object, ...], requests: Any, answers: Any) -> None:
    def reply(kind: str, value: object) -> None:
        pickle.dump((kind, value), answers, protocol=5)
        answers.flush()

    try:
        for value in function(*arguments):
            reply("value", value)
            if not pickle.load(requests):
                return
            still_at_work()
    except (EOFError, BrokenPipeError):
        raise
    except Exception as error:
        reply("error", error)
        return
    reply("end", None)
