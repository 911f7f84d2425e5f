"""The workers of a cluster, and which of them are given units of a run: not those that can do none."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from caml_dask import __version__
from caml_dask.errors import WorkersError
from caml_dask.executors.fitness import Unfit

if TYPE_CHECKING:
    from distributed import Client

BETWEEN_LOOKS_S = 5.0
_ANSWER_S = 30.0  # within which the scheduler tells of its workers
_OTHERS_COME_S = 15.0  # after one that can do no unit: workers that start together do not come at the same time
_WAITS_S = 0.5
_KEPT = "what is done is kept: continue with --resume"

_log = logging.getLogger("caml_dask")


class Roster:
    """Which workers there are, and which can do units of the run.

    One that cannot is warned of, once for its machine, and given nothing more. Of a cluster that others started it
    stays a worker, as their runs may have use of it.

    Parameters
    ----------
    client : of the cluster.
    wait_s : seconds without any worker after which the run is given up.
    check : asked while there is no worker; raises where none will come.
    withdraw : takes a worker, by its address, and a reason: has the deployment end it, and start another if it may.
        None if the deployment has no other machines: if no worker is left that can do units, the run then ends soon.
    """

    def __init__(
        self, client: Client, wait_s: float, check: Callable[[], None], withdraw: Callable[[str, str], None] | None
    ):
        self._client, self._wait_s, self._check, self._withdraw = client, wait_s, check, withdraw
        self._unfit: dict[str, Unfit] = {}
        self._told: set[tuple[str, str]] = set()
        self._looked = self._seen = time.monotonic()
        self._cores = self._ask()

    @property
    def threads(self) -> int:
        """Threads of workers that can do units, as the last look saw them."""
        return sum(self._fit().values())

    def look_at_times(self) -> bool:
        """Look at the workers unless that was done in the last seconds; whether it was done now.

        Raises
        ------
        WorkersError : the scheduler is lost; or for too long there was no worker, or none that can do units.
        KeyboardInterrupt
        """
        due = time.monotonic() - self._looked > BETWEEN_LOOKS_S
        if due:
            self._look()
        return due

    def leave_out(self, unfit: Unfit) -> None:
        """Give nothing more to a worker."""
        if unfit.worker in self._unfit:  # another batch of its
            return
        self._unfit[unfit.worker] = unfit
        if (unfit.machine, unfit.reason) not in self._told:
            self._told.add((unfit.machine, unfit.reason))
            _log.warning("%s; it gets no more units, and others do what it was given", unfit)
        if self._withdraw is not None:
            self._withdraw(unfit.worker, str(unfit))

    def restriction(self) -> dict[str, Any]:
        """Arguments of `Client.submit` that keep a task from workers that cannot do it; none if all can.

        While all that are there cannot, others are waited for.

        Raises
        ------
        WorkersError, KeyboardInterrupt : as of `look_at_times`.
        """
        if self._client.status != "running":
            raise scheduler_lost()
        while self._left_out() and not self.threads:
            time.sleep(_WAITS_S)
            self._look()
        return {"workers": list(self._fit()), "allow_other_workers": False} if self._left_out() else {}

    def blamed(self, key: str, error: BaseException) -> Unfit | None:
        """The worker that could not even begin a task; None if the scheduler does not know it.

        What a unit finds wrong is returned by its task: if one raises, the package is missing or another one there.
        """

        def find(dask_scheduler: Any) -> list[str]:
            """Sent whole, like what `worker.packed` makes: the scheduler may not have the package."""
            return sorted(dask_scheduler.tasks[key].erred_on or ())

        try:
            worker = self._client.run_on_scheduler(find)[0]
        except Exception:  # of many kinds: the task, or the scheduler, may be gone
            return None
        wrong = f"cannot begin its units ({type(error).__name__}: {error}): install caml_dask {__version__} there"
        return Unfit(worker, urlsplit(worker).hostname or worker, wrong)

    def _fit(self) -> dict[str, int]:
        return {worker: cores for worker, cores in self._cores.items() if worker not in self._unfit}

    def _left_out(self) -> list[Unfit]:
        """Those of the workers that are there that can do no units."""
        return [self._unfit[worker] for worker in self._cores if worker in self._unfit]

    def _look(self) -> None:
        self._cores = self._ask()
        before, self._looked = self._looked, time.monotonic()
        if self.threads or self._looked - before > 2 * BETWEEN_LOOKS_S:  # while nobody looked, there may have been some
            self._seen = self._looked
        if self.threads:
            return
        self._check()
        waited_s, unfit = self._looked - self._seen, self._left_out()
        if unfit and self._withdraw is None and waited_s > min(_OTHERS_COME_S, self._wait_s):
            raise WorkersError(f"no worker can do units of this run: {unfit[0]}; {_KEPT}")
        if waited_s > self._wait_s:
            raise WorkersError(f"no worker for {self._wait_s:g} s; {_KEPT}")

    def _ask(self) -> Mapping[str, int]:
        try:  # the client's own scheduler_info waits without end, and tells old news where the connection broke
            cores: Mapping[str, int] = self._client.sync(self._client.scheduler.ncores, callback_timeout=_ANSWER_S)
        except Exception as error:  # of many kinds, by the moment in which the connection broke
            raise scheduler_lost() from error
        return cores


def scheduler_lost() -> WorkersError:
    """What ends a run whose scheduler does not answer."""
    return WorkersError(f"the scheduler is lost; {_KEPT}")
