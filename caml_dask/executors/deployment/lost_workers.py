"""What runs inside Dask's scheduler: lost workers are told of."""

from __future__ import annotations

import logging
from typing import Any

from distributed import Scheduler, SchedulerPlugin

_log = logging.getLogger("caml_dask")


class LostWorkers(SchedulerPlugin):
    """Tells of every worker that ends while units may run on it, whatever ended it; the cluster replaces it."""

    name = "lost-workers"

    def __init__(self) -> None:
        self.closing = False

    def remove_worker(self, scheduler: Scheduler, worker: str, *, stimulus_id: str, **kwargs: Any) -> None:
        if not self.closing:
            _log.warning("a worker was lost and is replaced; what it was doing is done again")
