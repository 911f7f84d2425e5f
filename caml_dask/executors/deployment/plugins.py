"""What runs inside Dask's scheduler: workers that come are noted, and lost ones are told of."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from distributed import Scheduler, SchedulerPlugin, Status

_log = logging.getLogger("caml_dask")


class Arrivals(SchedulerPlugin):
    """Hands on the name of every worker that comes, in the scheduler's event loop."""

    name = "arrivals"

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note

    async def add_worker(self, scheduler: Scheduler, worker: str) -> None:
        self._note(str(scheduler.workers[worker].name))


class LostWorkers(SchedulerPlugin):
    """Tells of every worker that is lost: one that retires hands on what it had, as at the end of its lifetime."""

    name = "lost-workers"

    def __init__(self) -> None:
        self.closing = False

    def remove_worker(self, scheduler: Scheduler, worker: str, *, stimulus_id: str, **kwargs: Any) -> None:
        if not self.closing and not _retired(scheduler, worker):
            _log.warning("a worker was lost and is replaced; what it was doing is done again")


def _retired(scheduler: Scheduler, worker: str) -> bool:
    """Whether a worker that ended was asked to, or said that it would: plugins are not told, but events are kept."""
    return any(event.get("status") == Status.closing_gracefully.name for _, event in scheduler.get_events(worker))
