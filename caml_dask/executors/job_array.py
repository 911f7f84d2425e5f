"""One task of a job array: its share of the units of one stage, without a scheduler.

Whatever tasks are killed, submitted twice or cut into other shares, no unit runs twice at once nor again when it is
done: a task claims a unit before it runs it.
"""

from __future__ import annotations

from caml_dask.errors import CamlError
from caml_dask.executors.interface import Observer
from caml_dask.executors.pending import barriers
from caml_dask.executors.units import Key, in_words, run_unit
from caml_dask.io.run_directory import Run


class JobArrayShare:
    """The units of a stage, of all images, that fall to task `index`, from 0, of an array of `of` tasks."""

    def __init__(self, stage: str, index: int, of: int):
        self._stage, self._index, self._of = stage, index, of

    def execute(self, run: Run, observer: Observer, resumed: bool = False) -> None:
        """Run the share; an image of which a unit fails, or an earlier stage is not done, has failed for now."""
        for number, image in enumerate(run.images):
            try:
                keys, total = self._due(run, number)
            except CamlError as error:
                observer.image_failed(image, error)
                continue
            mine = [key for key in keys if (number + key[2]) % self._of == self._index]
            observer.stage_started(image, self._stage, total, len(mine))
            for key in mine:
                _run(run, key, observer)

    def _due(self, run: Run, number: int) -> tuple[list[Key], int]:
        """The units of the stage of an image that are to be run, and how many it has in all."""
        for due in barriers(run, number, alone=False):
            if due.stage.name == self._stage:
                return due.keys, due.total
            if due.keys:
                raise CamlError(not_done(run, number, due.stage.name, due.keys))
        return [], 0


def not_done(run: Run, number: int, stage: str, keys: list[Key]) -> str:
    """Why units of a stage are not done, as far as it is known."""
    image = run.images[number]
    reasons = run.store(image).failures(stage, (unit for _, _, unit in keys))
    if reasons:
        return reasons[0]
    return f"{image.image_id}: {len(keys)} units of {stage} are not done: submit its array again"


def _run(run: Run, key: Key, observer: Observer) -> None:
    """Run a unit; a failure is noted for who comes later, and withdrawn when the unit is done."""
    image = run.images[key[0]]
    store = run.store(image)
    try:
        record = run_unit(run, key)
    except Exception as error:
        found = in_words(error)
        store.fail(key[1], key[2], str(found))
        observer.image_failed(image, found)
    else:
        store.fail(key[1], key[2], None)
        observer.unit_done(image, record)
