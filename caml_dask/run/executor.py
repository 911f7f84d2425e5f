"""The Dask executor: the serial one of :mod:`caml_dask.pipeline`, with the units of all images in flight at once.

Dask carries keys to the workers and small records back, never tables.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caml_dask.errors import CamlError
from caml_dask.io.rundir import HIDDEN, Run
from caml_dask.pipeline import Key, Observer, Stage, barriers, in_words, run_unit
from caml_dask.run.interrupts import Ended

if TYPE_CHECKING:
    from distributed import Client, Future

_IN_FLIGHT = 2  # units in flight a worker before the next image is begun


@lru_cache(maxsize=4)
def _open(root: str, modified_ns: int) -> Run:
    return Run.open(Path(root))


def unit_task(root: str, key: Key) -> dict[str, Any] | CamlError:
    """What a worker does: open the run, which it keeps, and run one unit of it; a failure is returned, not raised.

    Raised, Dask would print it with a traceback on the terminal of the user.
    """
    try:
        manifest = Path(root) / HIDDEN / "manifest.json"
        return run_unit(_open(root, manifest.stat().st_mtime_ns), key)
    except Exception as error:
        return in_words(error)


@dataclass
class _InFlight:
    """An image under way: the rest of its stages, and the units submitted of the present one."""

    index: int
    stages: Iterator[tuple[Stage, list[Key], int]]
    futures: set[Future] = field(default_factory=set)


class DaskExecutor:
    """Runs the pending units of a run on a Dask cluster."""

    def __init__(self, run: Run, client: Client, observer: Observer, resumed: bool = False):
        self._run, self._client, self._observer, self._resumed = run, client, observer, resumed
        self._ended = Ended()
        self._of_future: dict[Future, _InFlight] = {}

    def execute(self) -> None:
        """Run everything; images that fail are told to the observer and do not stop the others."""
        waiting = deque(range(len(self._run.images)))
        most = _IN_FLIGHT * max(1, len(self._client.scheduler_info(n_workers=-1)["workers"]))
        while waiting or self._of_future:
            while waiting and len(self._of_future) < most:
                index = waiting.popleft()
                self._advance(_InFlight(index, barriers(self._run, index, self._resumed)))
            if self._of_future:
                self._settle(self._ended.next())

    def _advance(self, image: _InFlight) -> None:
        """Submit the next stage of an image that has units to run; or see its end."""
        name = self._run.images[image.index]
        try:
            while not image.futures:
                stage, keys, total = next(image.stages)
                self._observer.stage_started(name, stage.name, total, len(keys))
                for key in keys:
                    label = f"{stage.name}-{name.image_id}-{key[2]}"
                    future = self._client.submit(unit_task, str(self._run.root), key, key=label, pure=False)
                    image.futures.add(future)
                    self._of_future[future] = image
                    self._ended.add(future)
        except StopIteration:
            self._observer.image_done(name)
        except Exception as error:
            self._fail(image, in_words(error))

    def _settle(self, future: Future) -> None:
        image = self._of_future.pop(future, None)
        if image is None:
            return
        image.futures.discard(future)
        result = future.result() if future.status == "finished" else _reason(future)
        if isinstance(result, BaseException):
            self._fail(image, result)
            return
        self._observer.unit_done(self._run.images[image.index], result)
        if not image.futures:
            self._advance(image)

    def _fail(self, image: _InFlight, error: BaseException) -> None:
        for future in image.futures:
            self._of_future.pop(future, None)
            future.cancel()
        image.futures.clear()
        self._observer.image_failed(self._run.images[image.index], error)


def _reason(future: Future) -> BaseException:
    """What made a unit fail, in words a user can act on."""
    from distributed import KilledWorker

    error: BaseException | None = future.exception() if future.status == "error" else None
    if isinstance(error, KilledWorker):
        return CamlError(
            f"{future.key} ended its worker each time it was tried: most likely it needs more memory; "
            "use fewer --workers or a smaller --max-localizations"
        )
    return in_words(error or CamlError(f"{future.key} was {future.status}: continue with --resume"))
