"""The interface of all executors, and of who watches them."""

from __future__ import annotations

from typing import Any, Protocol

from caml_dask.io.manifest import Image
from caml_dask.io.run_directory import Run


class Observer(Protocol):
    """Who watches a run."""

    def stage_started(self, image: Image, stage: str, total: int, pending: int) -> None:
        """A stage of an image begins; `pending` of its `total` units are still to run."""

    def unit_done(self, image: Image, record: dict[str, Any]) -> None:
        """A unit is done."""

    def image_done(self, image: Image) -> None:
        """All stages of an image are done."""

    def image_failed(self, image: Image, error: BaseException) -> None:
        """An image cannot be analysed; the others go on."""


class Executor(Protocol):
    """Who runs the units of a run; all executors leave the same files (DESIGN law 2)."""

    def execute(self, run: Run, observer: Observer, resumed: bool = False) -> None:
        """Run every pending unit; an image that fails is reported to the observer and does not stop the others.

        resumed : the run may have been interrupted: done units are checked by their files, leftovers are removed
        """
