"""Ctrl-C while Dask works: kept until the driver waits, where it does no harm."""

from __future__ import annotations

import math
import queue
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distributed import Future

_SECONDS_BETWEEN_LOOKS = 0.2
_asked, _raised = threading.Event(), threading.Event()  # an interrupt came; `check` told of it
_by: list[str] = []  # the signal that asked, where it is not Ctrl-C


@contextmanager
def kept() -> Iterator[None]:
    """In here the first interrupt waits for `check`, or for the end of this; a second one is raised at once.

    SIGTERM, as batch systems and systemd send it, is taken for the same: workers and queued jobs are then withdrawn.
    Raised anywhere, it would end up in a callback of Dask's or of the garbage collector, which prints a traceback and
    goes on. Elsewhere than in the main thread nothing changes: interrupts do not come there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        if _asked.is_set():
            signal.default_int_handler(number, frame)
        _by[:] = [signal.Signals(number).name] if number != signal.SIGINT else []
        _asked.set()

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        unheard = _asked.is_set() and not _raised.is_set()
        _asked.clear()
        _raised.clear()
    if unheard:
        raise KeyboardInterrupt(*_by)


@contextmanager
def workers_spared() -> Iterator[None]:
    """Ctrl-C reaches all processes of a terminal; those started in here never see it.

    Threads and processes inherit what is blocked, and Dask starts its workers, later ones too, from a thread of its
    own. The resource tracker runs before that: starting it would unblock the thread that does. An
    interrupt of this process is kept as before: another of its threads takes it, or this one once it is done in here.
    """
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def check() -> None:
    """Raise the interrupt that was kept, with the name of its signal where that was not Ctrl-C.

    Raises
    ------
    KeyboardInterrupt
    """
    if _asked.is_set():
        _raised.set()
        raise KeyboardInterrupt(*_by)


class Ended:
    """Futures in the order in which they end; waiting for one can be interrupted."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Future] = queue.Queue()

    def add(self, future: Future) -> None:
        """Wait for this one too."""
        future.add_done_callback(self._queue.put)

    def next(self, timeout_s: float = math.inf) -> Future:
        """The next that has ended: finished, failed or cancelled.

        Raises
        ------
        TimeoutError : none has ended in that time.
        KeyboardInterrupt
        """
        until = time.monotonic() + timeout_s
        while True:
            check()
            try:
                return self._queue.get(timeout=max(0.0, min(_SECONDS_BETWEEN_LOOKS, until - time.monotonic())))
            except queue.Empty:
                if time.monotonic() > until:
                    raise TimeoutError from None
