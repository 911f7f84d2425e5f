"""The Dask executor: the serial one of :mod:`caml_dask.pipeline`, with the units of several images in flight at once.

Dask carries keys to the workers and small reports back, never tables. A task is a batch of units, so that small ones do
not cost a task each; a bounded number of tasks is in flight, and all other units wait here.
"""

from __future__ import annotations

import itertools
import math
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from caml_dask.errors import CamlError, WorkersError
from caml_dask.executors.deployment import interrupts
from caml_dask.executors.deployment.interrupts import Ended
from caml_dask.executors.fitness import Unfit, which_run
from caml_dask.executors.interface import Observer
from caml_dask.executors.pace import Pace
from caml_dask.executors.pending import Due, barriers
from caml_dask.executors.roster import BETWEEN_LOOKS_S, Roster
from caml_dask.executors.units import Key, in_words, standing
from caml_dask.executors.worker import Outcome, packed
from caml_dask.io.run_directory import Run
from caml_dask.io.shared_part import part_of, publish_shared_part
from caml_dask.pipeline import FIRST, stage_of

if TYPE_CHECKING:
    from distributed import Client, Future

_IN_FLIGHT = 2  # batches in flight a worker
_FETCHED_S = 5.0  # within which reports come from their worker
_MOST_LOST = 10  # reports of a batch that may be lost with the worker that made them
_KILLED: Sequence[Outcome] = [CamlError("the unit's workers died")]


@dataclass(eq=False)
class _Underway:
    """An image under way: the rest of its stages, and the units of the present one that have not ended.

    size : bytes of its input; None if they are unknown, as of a file that could not be read when the run began
    stages : None until its first unit told that there are further ones
    """

    index: int
    size: float | None
    stages: Iterator[Due] | None = None
    due: Due | None = None
    units: set[Key] = field(default_factory=set)
    failed: bool = False


@dataclass(frozen=True)
class _Unit:
    image: _Underway
    key: Key
    size: float | None


@dataclass(frozen=True)
class _Batch:
    """Units of one task; alone: with nothing else in flight; lost: times that its reports were."""

    units: tuple[_Unit, ...]
    alone: bool = False
    lost: int = 0


class DaskExecutor:
    """Runs the pending units of a run on a Dask cluster.

    A batch under which workers died again and again holds a suspect: Dask counts the deaths against every batch that a
    worker held. Its first unit without a record is tried again with nothing else in flight, and only if it kills its
    workers then, its image fails. The other units go on in other batches.

    A worker that cannot do units of the run counts against none of them: others do what it was given. Parameters are
    those of :class:`caml_dask.executors.roster.Roster`, and `want`, which is told at times how many batches there are
    for workers.
    """

    def __init__(
        self,
        client: Client,
        wait_s: float = 60.0,
        check: Callable[[], None] = interrupts.check,
        withdraw: Callable[[str, str], None] | None = None,
        want: Callable[[int], None] | None = None,
    ):
        self._client, self._want = client, want
        self._roster = partial(Roster, client, wait_s, check, withdraw)

    def execute(self, run: Run, observer: Observer, resumed: bool = False) -> None:
        """Run every pending unit on the workers.

        Raises
        ------
        WorkersError : the scheduler, or for too long every worker, is lost; or no worker can do units of the run.
        """
        publish_shared_part(run)
        _Execution(run, self._client, observer, resumed, self._roster(), self._want).finish()


class _Execution:
    """One run on its way through a cluster."""

    def __init__(
        self,
        run: Run,
        client: Client,
        observer: Observer,
        resumed: bool,
        roster: Roster,
        want: Callable[[int], None] | None,
    ):
        self._run, self._client, self._observer, self._resumed = run, client, observer, resumed
        self._root, self._which = str(run.root.absolute()), which_run(run)  # workers run elsewhere
        self._roster, self._want = roster, want
        self._ended, self._pace = Ended(), Pace()
        self._images = deque(range(len(run.images)))
        self._waiting: deque[_Unit] = deque()
        self._suspects: deque[_Unit] = deque()
        self._in_flight: dict[Future, _Batch] = {}
        self._numbers, self._identity = itertools.count(), uuid.uuid4().hex  # the scheduler may have other runs

    def finish(self) -> None:
        """Run everything; images that fail are told to the observer and do not stop the others."""
        while self._fill():
            self._settle(self._next())

    def _fill(self) -> bool:
        """Submit as much as may be in flight; whether anything is."""
        while self._suspects and not self._in_flight:
            suspect = self._suspects.popleft()
            if not suspect.image.failed:
                self._submit(_Batch((suspect,), alone=True))
        if self._suspects or any(batch.alone for batch in self._in_flight.values()):
            return True
        while len(self._in_flight) < self._places and (units := self._take()):
            self._submit(_Batch(units))
        return bool(self._in_flight)

    @property
    def _places(self) -> int:
        return _IN_FLIGHT * max(1, self._roster.threads)

    def _take(self) -> tuple[_Unit, ...]:
        """The next units that wait, as many as make a batch: fewer where little is left for all workers."""
        most = math.ceil((len(self._waiting) + len(self._images)) / self._places)
        taken: list[_Unit] = []
        room = 1.0
        while len(taken) < max(1, most):
            while self._images and not self._waiting:
                interrupts.check()  # what stands of images of a run that is resumed takes long to look at
                self._begin(self._images.popleft())
            if not self._waiting:
                break
            unit = self._waiting[0]
            share = self._pace.share(unit.key[1], unit.size)
            if taken and share > room:
                break
            self._waiting.popleft()
            if not unit.image.failed:
                taken.append(unit)
                room -= share
        return tuple(taken)

    def _next(self) -> Future:
        """The next batch that ended, whatever became of it; meanwhile the workers are looked after."""
        while True:
            if self._roster.look_at_times() and self._want is not None:
                self._want(len(self._in_flight) + len(self._suspects) + self._batches_to_come())
            with suppress(TimeoutError):
                return self._ended.next(BETWEEN_LOOKS_S)

    def _batches_to_come(self) -> int:
        """About how many batches the units that wait will make, and the first ones of images that were not begun."""
        kinds = [(unit.key[1], unit.size) for unit in self._waiting]
        kinds += [(FIRST.name, self._size(index)) for index in self._images]
        return math.ceil(sum(min(1.0, self._pace.share(*kind)) for kind in kinds))

    def _size(self, index: int) -> float | None:
        content = part_of(self._run, index)[1]
        return content[0] if content else None

    def _begin(self, index: int) -> None:
        """An image's first unit waits to be run; of a run that is resumed, the units of its first stage that is due."""
        image = _Underway(index, self._size(index))
        if self._resumed:
            image.stages = barriers(self._run, index, True)
            self._advance(image)
        else:  # nothing of it stands: the worker begins it
            self._observer.stage_started(self._run.images[index], FIRST.name, 1, 1)
            self._put(image, [(index, FIRST.name, 0)], 1)

    def _put(self, image: _Underway, keys: list[Key], total: int) -> None:
        image.units.update(keys)
        size = None if image.size is None else image.size / total
        self._waiting.extend(_Unit(image, key, size) for key in keys)

    def _advance(self, image: _Underway) -> None:
        """Let the next stage of an image that has units to run wait for workers; or see its end."""
        name = self._run.images[image.index]
        if image.stages is None:
            image.stages = barriers(self._run, image.index)
        try:
            while not image.units:
                image.due = due = next(image.stages)
                self._observer.stage_started(name, due.stage.name, due.total, len(due.keys))
                self._put(image, due.keys, due.total)
        except StopIteration:
            self._observer.image_done(name)
        except Exception as error:
            self._fail(image, in_words(error))

    def _submit(self, batch: _Batch) -> None:
        restricted = self._roster.restriction()
        first = batch.units[0]
        number = f"{len(batch.units)}-{next(self._numbers)}-{self._identity}"
        label = f"{first.key[1]}-{self._name(first)}-{first.key[2]}-{number}"
        places = {index: place for place, index in enumerate(dict.fromkeys(unit.key[0] for unit in batch.units))}
        parts = [part_of(self._run, index) for index in places]
        keys = [(places[unit.key[0]], *unit.key[1:]) for unit in batch.units]
        task = packed(self._root, self._which, parts, keys)
        future = self._client.submit(*task, key=label, pure=False, **restricted)
        self._in_flight[future] = batch
        self._ended.add(future)

    def _name(self, unit: _Unit) -> str:
        return self._run.images[unit.key[0]].image_id

    def _settle(self, future: Future) -> None:
        if future not in self._in_flight:
            return
        batch = self._in_flight.pop(future)
        outcomes = _outcomes(future, len(batch.units), self._roster)
        if outcomes is None and batch.lost < _MOST_LOST:
            self._submit(replace(batch, lost=batch.lost + 1))
        elif outcomes is None:
            for unit in batch.units:
                lost = f"the record of {unit.key[1]} {unit.key[2]} was lost {_MOST_LOST} times on its way here"
                self._end(unit, CamlError(lost))
        elif outcomes is _KILLED:
            self._suspect(batch)
        else:
            self._enter(batch, outcomes)

    def _enter(self, batch: _Batch, outcomes: Sequence[Outcome]) -> None:
        """Each unit of a batch has its report, or has failed, or is left to another worker."""
        again = []
        for unit, outcome in zip(batch.units, outcomes, strict=True):
            if isinstance(outcome, Unfit):
                self._roster.leave_out(outcome)
                again.append(unit)
            else:
                self._end(unit, outcome)
        (self._suspects if batch.alone else self._waiting).extendleft(reversed(again))

    def _suspect(self, batch: _Batch) -> None:
        """Workers died of a batch: the first unit that they did not record may have ended them. The others are tried
        again, in which those with a record take no time."""
        if batch.alone:
            self._end(batch.units[0], self._poison(batch.units[0]))
            return
        first = next((unit for unit in batch.units if self._record(unit) is None), batch.units[0])
        self._suspects.append(first)
        self._waiting.extendleft(unit for unit in reversed(batch.units) if unit is not first)

    def _record(self, unit: _Unit) -> dict[str, Any] | None:
        try:
            store = self._run.store(self._run.images[unit.key[0]])
            return standing(store, stage_of(self._run.settings, unit.key[1]), unit.key[2])
        except Exception:  # what is wrong with it ends its image when it is tried
            return None

    def _end(self, unit: _Unit, outcome: dict[str, Any] | CamlError) -> None:
        """A unit has its report, or has failed; of an image that failed, nothing is told any more."""
        image = unit.image
        if image.failed:
            return
        if isinstance(outcome, CamlError):
            self._fail(image, outcome)
            return
        image.units.discard(unit.key)
        self._pace.learn(unit.key[1], unit.size, outcome["seconds"])
        if image.due is not None:
            image.due.enter(outcome)
        self._observer.unit_done(self._run.images[image.index], outcome)
        if image.units:
            return
        if outcome.get("fused") and image.stages is None:
            self._observer.image_done(self._run.images[image.index])
        else:
            self._advance(image)

    def _poison(self, unit: _Unit) -> CamlError:
        return CamlError(
            f"{unit.key[1]}-{self._name(unit)}-{unit.key[2]} ended its worker each time it was tried: most likely it "
            "needs more memory; use fewer --workers or a smaller --max-localizations"
        )

    def _fail(self, image: _Underway, error: BaseException) -> None:
        """An image has failed; its units that wait are passed over, and batches of nothing else are given up."""
        image.failed = True
        for future, batch in list(self._in_flight.items()):
            if all(unit.image.failed for unit in batch.units):
                del self._in_flight[future]
                future.cancel()
        self._observer.image_failed(self._run.images[image.index], error)


def _outcomes(future: Future, units: int, roster: Roster) -> Sequence[Outcome] | None:
    """What became of each unit of a batch; _KILLED where workers died of it; None where the reports went with theirs.

    Raises
    ------
    WorkersError : what failed is not the units.
    """
    from distributed import KilledWorker
    from distributed.scheduler import NoWorkerError

    if future.status == "finished":
        with suppress(Exception):  # its worker may end before the result is fetched, which then would never come
            reports: list[Outcome] = future.result(timeout=_FETCHED_S)
            return reports
    error = future.exception() if future.status == "error" else None
    if error is None or (isinstance(error, NoWorkerError) and roster.threads):  # the workers it was meant for are gone
        return None
    if isinstance(error, NoWorkerError):
        raise WorkersError(f"no worker is left ({error}); what is done is kept: continue with --resume")
    if isinstance(error, KilledWorker):
        return _KILLED
    return [roster.blamed(future.key, error) or in_words(error)] * units
