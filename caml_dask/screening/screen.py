"""Screening: the new images of a cohort, analyzed night by night (DESIGN section 7, FAULTS).

Each call that finds new images analyzes them in one ordinary run, under nights/. Images that the ledger lists are not
analyzed again: an image is identified by its content and all that decides its result, not by its name.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from caml_dask import locks
from caml_dask.errors import CamlError, InputError, OutputError, UnreadableError
from caml_dask.executors.deployment.settings import Deployment
from caml_dask.io import run_directory as rundir
from caml_dask.io.exporters.write import usable
from caml_dask.io.manifest import Image, describe, image_ids
from caml_dask.io.rois.given import refuse_missing
from caml_dask.io.run_directory import Run, prepare
from caml_dask.networks.trained import load_for
from caml_dask.results.run import open_run
from caml_dask.runs.session import Outcome, analyse, write_summary
from caml_dask.screening.cohort import read_cohort
from caml_dask.screening.ledger import HIDDEN, Entry, Ledger
from caml_dask.screening.nights import Nights
from caml_dask.screening.summary import Screened, conclude, state_of
from caml_dask.screening.survey import CohortImage, failed_key, gone, image_key, survey
from caml_dask.settings import Settings

_log = logging.getLogger("caml_dask")


def screen(
    cohort: str,
    out: Path,
    settings: Settings,
    *,
    workers: int | None = None,
    deployment: Deployment | None = None,
    retry: bool = False,
    verify: bool = False,
    acknowledge: Sequence[str] = (),
    forget_gone: bool = False,
    export: Sequence[str] = (),
) -> Screened:
    """Analyze the new images of a cohort, and summarize the whole cohort.

    Parameters
    ----------
    cohort : a table or a pattern, see :func:`caml_dask.screening.cohort.read_cohort`.
    out : the directory of the screening.
    workers, deployment : as of :func:`caml_dask.runs.session.execute`.
    retry : retry all failed images, not only those that the machine caused to fail.
    verify : read all inputs and results, to find changes that left sizes and times unchanged.
    acknowledge : paths, or patterns of paths, of known failed images: they stay listed and do not count for the exit
        code, until their content or the settings change.
    forget_gone : stop reporting images that earlier calls found with the same pattern and that are now missing.
    export : formats in which the folder export gets the images of the whole cohort that it does not hold yet.

    Raises
    ------
    UsageError : a cohort, settings, network, deployment, format or directory that cannot be used.
    WorkersError : the scheduler, or for too long every worker, is lost; the next call resumes the night.
    """
    refuse_missing(settings.roi)
    formats = [exporter.name for exporter in usable(export, "--export")]
    network = load_for(settings).identity
    found = read_cohort(cohort, leave_out=out)  # refused before anything is written
    with locks.locked(out, HIDDEN, "screening"):
        tonight = _Screening(out, settings, partial(analyse, workers=workers, deployment=deployment))
        tonight.resume()
        manifest = describe(settings, (), network)
        images = survey(found, manifest, settings.columns, tonight.ledger, verify)
        missing = gone(found, images, tonight.ledger, forget_gone)
        tonight.forget(images, retry, verify)
        tonight.find_moved(images)
        tonight.analyse(images)
        screened = conclude(out, found, [*images, *missing], tonight.ledger, manifest, tonight.analyzed, acknowledge)
        tonight.ledger.write(out)
        return replace(screened, not_exported=open_run(out).export_missing(formats)) if formats else screened


class _Screening:
    """The nights of one call. Its caller holds the directory.

    ledger : as the last call left it; written whenever a night begins or ends
    analyzed : images run so far
    """

    def __init__(self, out: Path, settings: Settings, analyse_run: Callable[..., Outcome]):
        self.ledger = Ledger.read(out)
        self._out, self._settings, self._analyse_run = out, settings, analyse_run
        self._nights = Nights(out)
        self._ended: list[str] = []
        self.analyzed = 0

    def resume(self) -> None:
        """End the interrupted night: resume it, or keep what it finished if it cannot be resumed."""
        if self.ledger.underway is None:
            return
        name = self.ledger.underway["night"]
        folder = self._nights.folder(name)
        if not (folder / rundir.HIDDEN).is_dir():  # it was not begun yet, or has been removed since
            self._end()
            return
        _log.info("night %s was interrupted: resuming it", name)
        with rundir.locked(folder):
            try:
                self._run(name, Run.open(folder).images, resume=True)
            except OutputError as error:
                _log.warning("%s: its finished images are kept, the others are analyzed again", error)
                self._give_up(name)

    def forget(self, items: Sequence[CohortImage], retry: bool, verify: bool) -> None:
        """Remove from the ledger what must be done again: altered results, and failures that the machine caused.

        retry : remove all other failures too
        """
        entries = self.ledger.entries
        for item in items:
            done = entries.get(item.key)
            for altered in self._nights.altered(done, verify) if done is not None else ():
                _log.warning("%s: results are missing or altered (%s): analyzing the image again", item.path, altered)
                entries.pop(item.key, None)
            failed = entries.get(item.failed_key)
            known = item.failed_key in self.ledger.acknowledged
            if failed is not None and (retry or (failed.again and not known)):
                del entries[item.failed_key]

    def find_moved(self, items: Sequence[CohortImage]) -> None:
        """Enter the new path of what was moved, by which its results are known if the file there changes."""
        entries, here = self.ledger.entries, {str(item.path) for item in items}
        for item in items:
            done = entries.get(item.key)
            if done is not None and done.path not in here:
                entries[item.key] = replace(done, path=str(item.path))

    def analyse(self, items: Sequence[CohortImage]) -> None:
        """Run the images that the ledger does not list, in a new night; without such images no night begins."""
        new = [item for item in items if state_of(item, self.ledger) is None]
        if new:
            name = self._nights.begin()
            images = image_ids([(item.path, item.channel) for item in new], self.ledger.next_number)
            stand = [entry for item in items if (entry := state_of(item, self.ledger)) is not None]
            failed = sum(entry.reason is not None for entry in stand)
            self.ledger.underway = {"night": name, "images": len(new), "done": len(stand) - failed, "failed": failed}
            self.ledger.next_number += len(images)
            self.ledger.write(self._out)
            _log.info("night %s: %d of %d images are new", name, len(new), len(items))
            with rundir.locked(self._nights.folder(name)):
                self._run(name, images, resume=False)
        self.ledger.write(self._out)

    def _run(self, name: str, images: Sequence[Image], resume: bool) -> None:
        folder = self._nights.folder(name)
        manifest = describe(self._settings, images, load_for(self._settings).identity)
        run = prepare(folder, manifest, resume, overwrite=False)
        outcome = self._analyse_run(run, resume=resume)
        self._enter(outcome.run, outcome.failed)
        self.analyzed += len(images)
        self._end(name)

    def _give_up(self, name: str) -> None:
        """End a night that cannot be resumed, with what it finished."""
        try:
            run = Run.open(self._nights.folder(name))
        except OutputError:  # without its manifest, its files cannot be interpreted
            self._end()
            return
        left: dict[str, BaseException] = {
            image.image_id: CamlError("not finished in this night: see a later night")
            for image in run.images
            if self._nights.altered(Entry(name, image.image_id, str(image.path)), thoroughly=True)
        }
        write_summary(run, left)
        self._enter(run, {}, left)
        self._end(name)

    def _end(self, name: str | None = None) -> None:
        """Record that no night is under way any more; `name` is the night that ended with results."""
        if name is not None:
            self._ended.append(name)
            self.ledger.last = self._ended
        self.ledger.underway = None
        self.ledger.write(self._out)

    def _enter(self, run: Run, failed: Mapping[str, BaseException], leave_out: Container[str] = ()) -> None:
        """Enter the outcome of each image of a night, under the content that its manifest recorded."""
        for image in run.images:
            path = str(image.path)
            key = image_key(run.manifest, run.manifest["inputs"][path], image.channel)
            entry = Entry(run.root.name, image.image_id, path)
            error = failed.get(image.image_id)
            if error is not None:
                again = not isinstance(error, InputError) or isinstance(error, UnreadableError)
                self.ledger.entries[failed_key(key, path)] = replace(entry, reason=str(error), again=again)
            elif image.image_id not in leave_out:
                self.ledger.entries.setdefault(key, entry)
