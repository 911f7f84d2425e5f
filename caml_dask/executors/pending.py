"""Which units of a run are still to be done, and what of a finished one is missing or altered (DESIGN laws 6 and 7)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from caml_dask.executors.units import Key, work_of
from caml_dask.io.run_directory import Run
from caml_dask.io.store import DirectoryStore
from caml_dask.pipeline import LAST, stages_by, stages_of
from caml_dask.stages.stage import Stage

_log = logging.getLogger("caml_dask")


@dataclass
class Due:
    """A stage of an image that is to be done.

    stage : which
    keys : its units that are still to run
    total : how many units it has
    rows : rows in the record of each unit that is done, of `keys` as :meth:`enter` is told of them
    fused : all later stages were done with it
    """

    stage: Stage
    keys: list[Key]
    total: int
    rows: dict[int, int]
    fused: bool = False

    def enter(self, record: dict[str, Any]) -> None:
        """A unit is done; its record, or a report with the fields of it that drivers need, is not read again."""
        self.rows[record["unit"]] = record.get("rows", 0)
        self.fused = record.get("fused", False)


def barriers(run: Run, index: int, resumed: bool = False, alone: bool = True) -> Iterator[Due]:
    """The stages of an image one after another, with the units still to run.

    Ask for the next stage only when all units of the last one are done and entered. A unit is pending where no done
    record stands for it, or, in a resumed run, where a file of its record is missing or altered.

    alone : nobody else works on the image, so that what killed units left, and at the end its working tables, may go

    Raises
    ------
    ConservationError : a stage whose tiles do not return the localizations they were given, named (DESIGN law 1).
    """
    image = run.images[index]
    store = run.store(image)
    new = store.begin()
    work = work_of(run, image, store)
    if resumed and not new:
        store.sweep()
    owned: list[int] = []
    for stage in stages_of(run.settings):
        if _complete(store, resumed):
            break
        if stage.name == LAST.name and alone:
            store.sweep()
        count = stage.units(work)
        rows = dict(_standing(store, stage.name, count, resumed))
        due = Due(stage, [(index, stage.name, unit) for unit in range(count) if unit not in rows], count, rows)
        yield due
        if due.fused:
            break
        owned = stage.check_rows(work, [rows[unit] for unit in range(count)], owned)
    conclude(store, alone)


def conclude(store: DirectoryStore, alone: bool = True) -> None:
    """What is left to do of an image of which all stages are done; alone : as of :func:`barriers`."""
    store.show_outputs()
    if alone:
        store.clear_tables()


def _standing(store: DirectoryStore, stage: str, count: int, check_files: bool) -> Iterator[tuple[int, int]]:
    """Units of a stage that need not run, with the rows of each; parameters as of :func:`_intact`."""
    for unit in store.recorded(stage):
        record = _intact(store, stage, unit, check_files) if unit < count else None
        if record is not None:
            yield unit, record.get("rows", 0)


def units_by_stage(record: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Every unit of an image that is done, by its last record; a fused image has that record only."""
    if record.get("fused"):
        yield LAST.name, 0
        return
    summary = record["summary"]
    merge = summary.get("merge") or {"rule": None, "tiles": 0}
    method = (summary.get("drift") or {}).get("method")
    count = {"image": 1, "chunk": summary["chunks"], "tile": summary["tiles"]}
    count |= {"detection chunk": summary["chunks"], "detection tile": merge["tiles"], "read chunk": summary["chunks"]}
    finder = summary["network"] or summary["method"]["name"]
    for stage in stages_by(finder, merge["rule"], method, "csr_test" in summary):
        for unit in range(count[stage.per]):
            yield stage.name, unit


def altered_results(store: DirectoryStore, untouched_since_ns: int | None = None) -> list[str]:
    """What of the results of an image that was finished is missing or altered, each in words.

    untouched_since_ns : see :meth:`caml_dask.io.store.DirectoryStore.altered`
    """
    last = store.done(LAST.name, 0)
    if last is None:
        return ["its done record"]
    found = []
    for stage, unit in units_by_stage(last):
        record = store.done(stage, unit)
        found += [f"{stage} {unit}"] if record is None else store.altered(record, True, untouched_since_ns)
    return found


def withdraw_altered(run: Run) -> None:
    """Withdraw the done records of units of which a file is missing or altered, each named, so that they run again.

    For who runs units without asking :func:`barriers` to look at their files, and holds the run alone.
    """
    for image in run.images:
        store = run.store(image)
        if not store.begin():
            store.sweep()
        if not _complete(store, check_files=True):
            for stage in stages_of(run.settings):
                for unit in store.recorded(stage.name):
                    _intact(store, stage.name, unit, check_files=True)


def _complete(store: DirectoryStore, check_files: bool) -> bool:
    """Whether all results of an image stand; its working tables need not."""
    last = store.done(LAST.name, 0)
    if last is None:
        store.forget(LAST.name, 0)
        return False
    broken = False
    for stage, unit in units_by_stage(last) if check_files else ():
        record = store.done(stage, unit)
        if record is None or _told(store.altered(record, outputs_only=True)):
            broken = True
            store.forget(stage, unit)
    if broken:
        store.forget(LAST.name, 0)
    return not broken


def _intact(store: DirectoryStore, stage: str, unit: int, check_files: bool) -> dict[str, Any] | None:
    """The done record of a unit; None where there is none or, if files are checked, one of its files does not match."""
    record = store.done(stage, unit)
    altered = store.altered(record) if record is not None and check_files else []
    if altered:
        _told([name for name in altered if store.stands(name)])  # tables may have been cleared away
        store.forget(stage, unit)
        return None
    return record


def _told(altered: list[str]) -> bool:
    """Whether there are any, each named in the log."""
    for name in altered:
        _log.warning("%s is missing or altered; it is made again", name)
    return bool(altered)
