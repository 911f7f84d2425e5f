"""The Dask executor: the serial one of :mod:`caml_dask.pipeline`, with the units of all images in flight at once.

Dask carries keys to the workers and small records back, never tables.
"""

from __future__ import annotations

import itertools
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caml_dask import __version__
from caml_dask.errors import CamlError, OutputError, WorkersError
from caml_dask.executors.deployment import interrupts
from caml_dask.executors.deployment.interrupts import Ended
from caml_dask.executors.interface import Observer
from caml_dask.executors.pending import barriers
from caml_dask.executors.units import Key, in_words, run_unit
from caml_dask.io.run_directory import HIDDEN, Run
from caml_dask.seen import names_in
from caml_dask.stages.stage import Stage

if TYPE_CHECKING:
    from distributed import Client, Future

_IN_FLIGHT = 2  # units in flight a worker before the next image is begun
_LOOK_S = 5.0  # between two looks at the workers
_ANSWER_S = 30.0  # within which the scheduler tells of them
_SEEN_S = 60.0  # within which a worker sees the manifest that the driver wrote
_MOST_LOST = 10  # records of a unit that may be lost with the worker that made them
_KILLED = CamlError("the unit's workers died")


@lru_cache(maxsize=4)
def _open(root: str, which: tuple[str, str]) -> Run:
    """The run that the driver began; this machine may still remember one that was there before."""
    here, until = socket.gethostname(), time.monotonic() + _SEEN_S
    if "manifest.json" not in names_in(Path(root) / HIDDEN):
        raise OutputError(f"the worker on {here} does not see {root}: name a directory that all see")
    while _which(run := Run.open(Path(root))) != which:
        if time.monotonic() > until:
            raise OutputError(f"the worker on {here} sees another run in {root}: name a directory that all see")
        time.sleep(0.5)
    if run.manifest["version"] != __version__:
        raise OutputError(
            f"the worker on {here} has caml_dask {__version__}, and the run is one of {run.manifest['version']}: "
            "install the same on both sides"
        )
    return run


def _which(run: Run) -> tuple[str, str]:
    """What tells a run from an earlier one in its place, or from the same before its network was moved."""
    return run.digest, run.manifest["settings_digest"]


def unit_task(root: str, which: tuple[str, str], key: Key) -> dict[str, Any] | CamlError:
    """What a worker does: open the run, which it keeps, and run one unit of it; a failure is returned, not raised.

    Raised, Dask would print it with a traceback on the terminal of the user.
    """
    try:
        return run_unit(_open(root, which), key)
    except Exception as error:
        return in_words(error)


@dataclass
class _InFlight:
    """An image under way: the rest of its stages, and the units submitted of the present one, suspects among them."""

    index: int
    stages: Iterator[tuple[Stage, list[Key], int]]
    units: set[Key] = field(default_factory=set)


@dataclass(frozen=True)
class _Attempt:
    """A unit in flight, or a suspect that waits to be; alone: with nothing else in flight."""

    image: _InFlight
    key: Key
    alone: bool = False


class DaskExecutor:
    """Runs the pending units of a run on a Dask cluster.

    A unit under which workers died again and again is a suspect: Dask counts the deaths against every unit that a
    worker held. It is tried again with nothing else in flight, and only if it kills its workers then, its image fails.

    client : of the cluster
    wait_s : seconds without any worker after which the run is given up
    check : asked while there is no worker; raises where none will come
    """

    def __init__(self, client: Client, wait_s: float = 60.0, check: Callable[[], None] = interrupts.check):
        self._client, self._wait_s, self._check = client, wait_s, check

    def execute(self, run: Run, observer: Observer, resumed: bool = False) -> None:
        """Run every pending unit on the workers.

        Raises
        ------
        WorkersError : the scheduler, or for too long every worker, is lost.
        """
        _Execution(run, self._client, observer, resumed, self._wait_s, self._check).finish()


class _Execution:
    """One run on its way through a cluster."""

    def __init__(
        self, run: Run, client: Client, observer: Observer, resumed: bool, wait_s: float, check: Callable[[], None]
    ):
        self._run, self._client, self._observer, self._resumed = run, client, observer, resumed
        self._root, self._which = str(run.root.absolute()), _which(run)  # workers run elsewhere
        self._wait_s, self._check = wait_s, check
        self._ended = Ended()
        self._in_flight: dict[Future, _Attempt] = {}
        self._suspects: deque[_Attempt] = deque()
        self._numbers = itertools.count()
        self._lost: Counter[Key] = Counter()
        self._looked = self._seen = time.monotonic()
        self._workers = self._count_workers()

    def finish(self) -> None:
        """Run everything; images that fail are told to the observer and do not stop the others."""
        waiting = deque(range(len(self._run.images)))
        while waiting or self._in_flight or self._suspects:
            while waiting and not self._suspects and len(self._in_flight) < _IN_FLIGHT * max(1, self._workers):
                index = waiting.popleft()
                self._advance(_InFlight(index, barriers(self._run, index, self._resumed)))
            if self._suspects and not self._in_flight:
                self._submit(self._suspects.popleft())
            if self._in_flight:
                self._settle(self._next())

    def _next(self) -> Future:
        """The next unit that ended, whatever became of it; meanwhile the workers are looked after."""
        while True:
            if time.monotonic() - self._looked > _LOOK_S:
                self._look()
            with suppress(TimeoutError):
                return self._ended.next(_LOOK_S)

    def _look(self) -> None:
        self._workers = self._count_workers()
        self._looked = time.monotonic()
        if self._workers:
            self._seen = self._looked
            return
        self._check()
        if self._looked - self._seen > self._wait_s:
            raise WorkersError(f"no worker for {self._wait_s:g} s; what is done is kept: continue with --resume")

    def _count_workers(self) -> int:
        try:  # the client's own scheduler_info waits without end, and tells old news where the connection broke
            found = self._client.sync(self._client.scheduler.identity, n_workers=-1, callback_timeout=_ANSWER_S)
            return len(found["workers"])
        except Exception as error:  # of many kinds, by the moment in which the connection broke
            raise _scheduler_lost() from error

    def _advance(self, image: _InFlight) -> None:
        """Submit the next stage of an image that has units to run; or see its end."""
        name = self._run.images[image.index]
        try:
            while not image.units:
                stage, keys, total = next(image.stages)
                self._observer.stage_started(name, stage.name, total, len(keys))
                for key in keys:
                    self._submit(_Attempt(image, key))
        except StopIteration:
            self._observer.image_done(name)
        except WorkersError:
            raise
        except Exception as error:
            self._fail(image, in_words(error))

    def _submit(self, attempt: _Attempt) -> None:
        image, key = attempt.image, attempt.key
        if self._client.status != "running":
            raise _scheduler_lost()
        label = f"{key[1]}-{self._run.images[image.index].image_id}-{key[2]}-{next(self._numbers)}"
        future = self._client.submit(unit_task, self._root, self._which, key, key=label, pure=False)
        image.units.add(key)
        self._in_flight[future] = attempt
        self._ended.add(future)

    def _settle(self, future: Future) -> None:
        if future not in self._in_flight:
            return
        attempt = self._in_flight.pop(future)
        image, key, alone = attempt.image, attempt.key, attempt.alone
        outcome = _outcome(future)
        if outcome is None and self._lost[key] < _MOST_LOST:
            self._lost[key] += 1
            self._submit(attempt)
        elif outcome is None:
            self._fail(image, CamlError(f"the record of {key[1]} {key[2]} was lost {_MOST_LOST} times on its way here"))
        elif outcome is _KILLED and not alone:
            self._suspects.append(_Attempt(image, key, alone=True))
        elif isinstance(outcome, BaseException):
            self._fail(image, outcome if outcome is not _KILLED else self._poison(key))
        else:
            image.units.discard(key)
            self._observer.unit_done(self._run.images[image.index], outcome)
            if not image.units:
                self._advance(image)

    def _poison(self, key: Key) -> CamlError:
        return CamlError(
            f"{key[1]}-{self._run.images[key[0]].image_id}-{key[2]} ended its worker each time it was tried: most "
            "likely it needs more memory; use fewer --workers or a smaller --max-localizations"
        )

    def _fail(self, image: _InFlight, error: BaseException) -> None:
        for future in [future for future, attempt in self._in_flight.items() if attempt.image is image]:
            del self._in_flight[future]
            future.cancel()
        self._suspects = deque(suspect for suspect in self._suspects if suspect.image is not image)
        self._observer.image_failed(self._run.images[image.index], error)


def _outcome(future: Future) -> dict[str, Any] | BaseException | None:
    """What became of a unit: its record, what it found wrong, or _KILLED; None where its result went with its worker.

    Raises
    ------
    WorkersError : what failed is not the unit.
    """
    from distributed import KilledWorker
    from distributed.scheduler import NoWorkerError

    if future.status == "finished":
        with suppress(Exception):  # its worker may end before the result is fetched, which then would never come
            result: dict[str, Any] | CamlError = future.result(timeout=_LOOK_S)
            return result
    error = future.exception() if future.status == "error" else None
    if isinstance(error, NoWorkerError):
        raise WorkersError(f"no worker is left ({error}); what is done is kept: continue with --resume")
    if isinstance(error, KilledWorker):
        return _KILLED
    return None if error is None else in_words(error)


def _scheduler_lost() -> WorkersError:
    return WorkersError("the scheduler is lost; what is done is kept: continue with --resume")
