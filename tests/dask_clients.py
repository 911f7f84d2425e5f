"""A client of Dask's without processes: what is submitted runs here, and units end their worker where tests want it."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from distributed import KilledWorker

DEATHS = 3  # of the workers that a task has, until Dask gives it up


class DiedError(BaseException):
    """The end of a worker, from within a unit."""


class Future:
    """As the executor uses one of Dask's."""

    def __init__(self, told: Callable[[], None] = lambda: None):
        self.status, self._outcome, self._told, self._fetched = "pending", None, [], told

    def add_done_callback(self, tell):
        self._told.append(tell)
        if self.status != "pending":
            tell(self)

    def end(self, status, outcome=None):
        self.status, self._outcome = status, outcome
        for tell in self._told:
            tell(self)

    def cancel(self):
        self.end("cancelled")

    def result(self, timeout):
        self._fetched()
        return self._outcome

    def exception(self):
        self._fetched()
        return self._outcome


class Kept:
    """Keeps what is submitted, as (keys, future); it never ends by itself."""

    status = "running"
    scheduler = SimpleNamespace(ncores=None)

    def __init__(self, workers: int = 1):
        self._workers = workers
        self.submitted: list[tuple[Any, Future]] = []

    def sync(self, ask, callback_timeout):
        return dict.fromkeys(range(self._workers), 1)

    def submit(self, task, given, key, pure, **restriction):
        keys = pickle.loads(given)[1][-1]
        self.submitted.append((keys, Future()))
        return self.submitted[-1][1]


class Inline(Kept):
    """Runs what is submitted at once, as often as Dask does where workers die.

    batches : units of each
    sizes : bytes of what each is given
    most : tasks that were in flight at once
    """

    def __init__(self, workers: int = 1):
        super().__init__(workers)
        self.batches: list[int] = []
        self.sizes: list[int] = []
        self.most = self._open = 0

    def _close(self):
        self._open -= 1

    def submit(self, task, given, key, pure):
        self.batches.append(len(pickle.loads(given)[1][-1]))
        self.sizes.append(len(given))
        self._open += 1
        self.most = max(self.most, self._open)
        future = Future(self._close)
        for _ in range(DEATHS):
            try:
                future.end("finished", task(given))
            except DiedError:
                continue
            return future
        future.end("error", KilledWorker(key, None, DEATHS))
        return future
