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
from caml_dask.executors.job_array import JobArrayShare, not_done
from caml_dask.executors.pending import barriers, withdraw_altered
from caml_dask.executors.units import in_words
from caml_dask.io.remote.url import Url
from caml_dask.io.run_directory import Run, locked
from caml_dask.pipeline import stages_of
from caml_dask.runs.attended import Attended
from caml_dask.runs.inputs import Input
from caml_dask.runs.progress import Lines, observer
from caml_dask.runs.session import Outcome, begun, copying, exported, write_summary
from caml_dask.settings import Settings

_log = logging.getLogger("caml_dask")


def plan(
    inputs: Sequence[Input],
    out: Path,
    settings: Settings,
    resume: bool,
    overwrite: bool,
    export: Sequence[str] = (),
    out_url: Url | None = None,
) -> list[str]:
    """Start a run, or take up the one that stands; the stages to be run, in their order.

    Tasks look at done records alone: what is missing or altered of the files behind them is found here.
    """
    with begun(inputs, out, settings, resume, overwrite, export, out_url) as run:
        if resume:
            run.forget_failures()
            withdraw_altered(run)
        _log.info("%d images planned in %s", len(run.images), run.root)
    return _stages(settings)


def _stages(settings: Settings) -> list[str]:
    return [stage.name for stage in stages_of(settings)]


def run_share(out: Path, stage: str, index: int, of: int) -> int:
    """Run the units of a stage, of all images, that fall to one task of an array.

    Parameters
    ----------
    index, of : the task's number, from 0, and how many tasks there are.

    Returns
    -------
    How many images have failures: units that failed, or an earlier stage that is not done. Each is named in the log.

    Raises
    ------
    UsageError : no such stage or task.
    OutputError : a directory that holds no run, or is in use by `caml-dask run`.
    """
    if not 0 <= index < of:
        raise UsageError(f"task {index} of {of}: tasks are numbered from 0 to {of - 1}")
    run = Run.open(out)
    stages = _stages(run.settings)
    if stage not in stages:
        raise UsageError(f"no stage is called {stage!r}: use one of {', '.join(stages)}")
    if run.manifest["version"] != __version__:
        raise UsageError(f"{out} is a run of caml_dask {run.manifest['version']}; this is {__version__}")
    with locked(out, shared=True), Lines(run) as watch:
        JobArrayShare(stage, index, of).execute(run, watch)
    return len(watch.failed)


def finish(out: Path) -> Outcome:
    """Write the summary of a run whose arrays have ended; an image with units that are not done has failed."""
    run = Run.open(out)
    with locked(out), copying(run) as copies:
        with observer(run) as watch:
            attended = Attended(run, watch, copies)
            for number, image in enumerate(run.images):
                try:
                    for due in barriers(run, number):
                        if due.keys:
                            raise CamlError(not_done(run, number, due.stage.name, due.keys))
                except Exception as error:
                    attended.image_failed(image, in_words(error))
                else:
                    attended.image_done(image)
        write_summary(run, watch.failed)
        outcome = exported(Outcome(run, watch.failed))
        return outcome if copies is None else copies.finish(outcome)
