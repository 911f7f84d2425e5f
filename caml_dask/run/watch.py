"""What runs inside Dask's own processes: told of lost workers, and what a worker of any deployment needs set."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import Any

from distributed import Scheduler, SchedulerPlugin, Worker, WorkerPlugin

_log = logging.getLogger("caml_dask")


class LostWorkers(SchedulerPlugin):
    """Tells of every worker that ends while units may run on it, whatever ended it; the cluster replaces it."""

    name = "lost-workers"

    def __init__(self) -> None:
        self.closing = False

    def remove_worker(self, scheduler: Scheduler, worker: str, *, stimulus_id: str, **kwargs: Any) -> None:
        if not self.closing:
            _log.warning("a worker was lost and is replaced; what it was doing is done again")


class OneThread(WorkerPlugin):
    """Keeps libraries to one thread in workers that others started.

    environment : variables that say so to libraries not yet loaded
    """

    name = "one-thread"

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)

    def setup(self, worker: Worker) -> None:
        os.environ.update(self._environment)
        if "numba" in sys.modules:
            sys.modules["numba"].set_num_threads(1)
