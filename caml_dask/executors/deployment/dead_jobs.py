"""Jobs that end before a worker of theirs comes: told of with the end of their log, and submitted again or given up.

A batch system runs a job whose prologue fails, or that cannot reach the scheduler, and forgets it. Dask sees no more of
it than of a job that waits in the queue, so the batch system is asked.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Set as AbstractSet
from pathlib import Path

from caml_dask.errors import WorkersError
from caml_dask.executors.deployment import interrupts
from caml_dask.executors.deployment.queue import Fate, fate_of, last_words, number_of, unfinished
from caml_dask.executors.deployment.settings import Batch

_log = logging.getLogger("caml_dask")
_ASK_S = 10.0  # between two questions to the batch system
_AGAIN = 3  # times that a wanted job is submitted again, if no worker comes in between
_AGAIN_UNFIT = 3  # jobs of a run that are submitted again because their machine can do none of its units


class DeadJobs:
    """Which jobs of a cluster ended before a worker of theirs came, and what is done about it.

    A job that the site stopped is submitted again, and so is any other once workers have come: then its node may be at
    fault. Both happen a bounded number of times. If all jobs have ended and none is submitted again, no worker comes.

    Parameters
    ----------
    batch : the deployment.
    logs : the folder of what the jobs write.
    """

    def __init__(self, batch: Batch, logs: Path):
        self._batch, self._logs = batch, logs
        self._again, self._worked, self._again_unfit = _AGAIN * batch.jobs, False, _AGAIN_UNFIT
        self._ended: dict[str, Fate] = {}
        self._missing: set[str] = set()
        self._looked = time.monotonic()
        self._trouble: str | None = None

    def check(self) -> None:
        """What whoever waits for workers calls.

        Raises
        ------
        WorkersError : no worker will come; names jobs that ended, the log of one, and what that ends with.
        KeyboardInterrupt
        """
        interrupts.check()
        if self._trouble is not None:
            raise WorkersError(self._trouble)

    def worker_came(self) -> None:
        """A job has its first worker: those that ended before need not mean that all of them do."""
        self._again, self._worked = _AGAIN * self._batch.jobs, True

    def replaces_unfit(self) -> bool:
        """Whether one more job whose machine can do no unit is submitted again; it may start on that machine again."""
        self._again_unfit -= 1
        return self._again_unfit >= 0

    @property
    def given_up(self) -> int:
        """Jobs that could do no unit, and that no other was submitted for: so many fewer are wanted."""
        return max(0, -self._again_unfit)

    def none_left(self, why: str) -> None:
        """The last job was withdrawn: no worker will come."""
        self._trouble = f"{why}; no job of {self._batch.kind} is left; what is done is kept: continue with --resume"

    async def to_replace(self, jobs: AbstractSet[str], waited_for: AbstractSet[str]) -> set[str]:
        """Those of the jobs without a worker so far that have ended and are to be submitted again.

        Parameters
        ----------
        jobs : numbers of all jobs of the cluster.
        waited_for : of those that never had a worker.
        """
        now = time.monotonic()
        if now - self._looked < _ASK_S:
            return set()
        self._looked = now
        self._ended = {job: fate for job, fate in self._ended.items() if job in waited_for}
        found = await asyncio.to_thread(self._look, waited_for - set(self._ended))
        self._ended |= found
        replaced = self._allowed()
        if found:
            self._tell(sorted(found), replaced, jobs)
        return replaced

    def _look(self, jobs: AbstractSet[str]) -> dict[str, Fate]:
        """Those that two looks in succession did not see in the queue, and that have ended."""
        queued = unfinished(self._batch.kind) if jobs else None
        missing = set() if queued is None else {job for job in jobs if number_of(job) not in queued}
        twice, self._missing = missing & self._missing, missing
        fates = {job: fate_of(self._batch.kind, job) for job in twice}
        return {job: fate for job, fate in fates.items() if fate is not Fate.QUEUED}

    def _allowed(self) -> set[str]:
        """Those that ended and may be submitted again, which are then forgotten."""
        able = [job for job, fate in sorted(self._ended.items()) if self._worked or fate is Fate.STOPPED]
        replaced = able[: self._again]
        self._again -= len(replaced)
        for job in replaced:
            del self._ended[job]
        return set(replaced)

    def _tell(self, found: list[str], replaced: AbstractSet[str], jobs: AbstractSet[str]) -> None:
        named = f"{', '.join(found[:3])}{', ...' * (len(found) > 3)}"
        kind = self._batch.kind
        what = f"job {named} of {kind} ended" if len(found) == 1 else f"the jobs {named} of {kind} ended"
        words = last_words(found, self._logs) or f"no log in {self._logs} says more: ask {kind} what became of it"
        told = f"{what} before a worker came: {words}"
        if jobs <= set(self._ended):
            self._trouble = told
        else:
            _log.warning("%s%s", told, "; submitted again" if replaced else "")
