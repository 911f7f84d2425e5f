"""A run as a chain of job arrays, one a stage, without a scheduler: each task does its share of the units and ends.

Whatever tasks are killed, submitted twice or cut into other shares, no unit runs twice at once nor again when it is
done: a task claims a unit before it runs it. What is missing in the end is named, and done by submitting again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from caml_dask import __version__
from caml_dask.errors import CamlError, UsageError
from caml_dask.io.rundir import Run, locked
from caml_dask.params import Settings
from caml_dask.pipeline import STAGES, Key, barriers, in_words, run_unit, withdraw_altered
from caml_dask.run.progress import observer
from caml_dask.run.session import Outcome, begun, write_summary

_log = logging.getLogger("caml_dask")


def plan(inputs: Sequence[Path], out: Path, settings: Settings, resume: bool, overwrite: bool) -> list[str]:
    """Start a run, or take up the one that stands; the stages to be run, in their order.

    Tasks look at done records alone: what is missing or altered of the files behind them is found here.
    """
    with begun(inputs, out, settings, resume, overwrite) as run:
        if resume:
            run.forget_failures()
            withdraw_altered(run)
        _log.info("%d images planned in %s", len(run.images), run.root)
    return [stage.name for stage in STAGES]


def run_share(out: Path, stage: str, index: int, of: int) -> int:
    """Run the units of a stage, of all images, that fall to one task of an array.

    Parameters
    ----------
    index, of : the task's number, from 0, and how many tasks there are.

    Returns
    -------
    How many units failed. They are told of, and images of which an earlier stage is not done.

    Raises
    ------
    UsageError : no such stage or task.
    OutputError : a directory that holds no run, or is in use by `caml-dask run`.
    """
    names = [s.name for s in STAGES]
    if stage not in names:
        raise UsageError(f"no stage is called {stage!r}: use one of {', '.join(names)}")
    if not 0 <= index < of:
        raise UsageError(f"task {index} of {of}: tasks are numbered from 0 to {of - 1}")
    failed = 0
    run = Run.open(out)
    if run.manifest["version"] != __version__:
        raise UsageError(f"{out} is a run of caml_dask {run.manifest['version']}; this is {__version__}")
    with locked(out, shared=True):
        for number in range(len(run.images)):
            try:
                keys = _due(run, number, stage)
            except CamlError as error:
                _log.warning("%s", error)
                continue
            failed += sum(not _done(run, key) for key in keys if (number + key[2]) % of == index)
    return failed


def _due(run: Run, number: int, stage: str) -> list[Key]:
    """The units of a stage of an image that are to be run."""
    for reached, keys, _ in barriers(run, number, alone=False):
        if reached.name == stage:
            return keys
        if keys:
            raise CamlError(_waits(run, number, reached.name, keys))
    return []


def _waits(run: Run, number: int, stage: str, keys: list[Key]) -> str:
    image = run.images[number]
    reasons = run.store(image).failures(stage, (unit for _, _, unit in keys))
    if reasons:
        return reasons[0]
    return f"{image.image_id}: {len(keys)} units of {stage} are not done: submit its array again"


def _done(run: Run, key: Key) -> bool:
    """Run a unit; whether nothing went wrong."""
    store = run.store(run.images[key[0]])
    try:
        run_unit(run, key)
    except Exception as error:
        told = in_words(error)
        store.fail(key[1], key[2], str(told))
        _log.error("%s: %s %d failed: %s", run.images[key[0]].image_id, key[1], key[2], told)
        return False
    store.fail(key[1], key[2], None)
    return True


def finish(out: Path) -> Outcome:
    """Write the summary of a run whose arrays have ended; an image with units that are not done has failed."""
    run = Run.open(out)
    with locked(out):
        watch = observer(len(run.images), run.note_failure)
        for number, image in enumerate(run.images):
            try:
                for stage, keys, _ in barriers(run, number):
                    if keys:
                        raise CamlError(_waits(run, number, stage.name, keys))
            except Exception as error:
                watch.image_failed(image, in_words(error))
            else:
                watch.image_done(image)
        write_summary(run, watch.failed)
    return Outcome(run, watch.failed)
