"""How many jobs a batch system is asked for, where a deployment leaves that to the work that waits."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

from caml_dask.executors.deployment.settings import Batch

GIVEN_BACK_S = 60.0
"""Jobs are too many for so long before one is given back: between two stages of an image, little waits for a moment."""


class Scaling:
    """How many jobs there are to be.

    Parameters
    ----------
    batch : the deployment, which says how many at least and at most.
    threads : of a job.
    wanted : threads that the run has work for, when it begins.
    """

    def __init__(self, batch: Batch, threads: int, wanted: int):
        self._least, self._most = batch.least_jobs or batch.jobs, batch.jobs
        self._threads, self._wanted = threads, wanted
        self._too_many_since: float | None = None

    def want(self, threads: int) -> None:
        """The run has work for so many threads; called from any thread."""
        self._wanted = threads

    @property
    def jobs(self) -> int:
        """How many jobs the work asks for, within the bounds of the deployment."""
        return min(self._most, max(self._least, math.ceil(self._wanted / self._threads)))

    def to_give_back(self, busy: Mapping[str, bool | None]) -> list[str]:
        """Which jobs are to end now: of those that are too many, first the ones without workers, then idle ones.

        busy : whether a job's workers have anything to do; None for a job without workers
        """
        many = len(busy) - self.jobs
        if many <= 0:
            self._too_many_since = None
            return []
        now = time.monotonic()
        if self._too_many_since is None:
            self._too_many_since = now
        if now - self._too_many_since < GIVEN_BACK_S:
            return []
        waiting = [name for name, works in busy.items() if works is None]
        return [*reversed(waiting), *(name for name, works in busy.items() if works is False)][:many]
