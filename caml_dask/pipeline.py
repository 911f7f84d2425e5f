"""The stages of an analysis as a table, which units are pending, one unit run, and the serial executor.

Executors trade in keys: (image, stage, unit). What a unit needs it reads from the store. The serial executor here is
the specification of the others.
"""

from __future__ import annotations

import itertools
import logging
import os
import socket
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import pyarrow as pa

from caml_dask.errors import CamlError, ConservationError, ContradictedError, UnreadableError
from caml_dask.io.rundir import Image, Run, content_of
from caml_dask.io.store import DirectoryStore
from caml_dask.models.classify import load
from caml_dask.stages import classify, link, publish, results, shapes, tiles
from caml_dask.stages.work import Work, tile_size

_log = logging.getLogger("caml_dask")
Key = tuple[int, str, int]
"""Index of the image in the run, name of the stage, number of the unit."""


@dataclass(frozen=True)
class Stage:
    """One step of the analysis of an image.

    name : as it stands in records and progress bars
    per : what its units are: the "image" itself, the "chunk" of its input, or the "tile"
    run : does one unit and returns its record, with `rows` where localizations flow through it
    """

    name: str
    per: str
    run: Callable[[Work, int], dict[str, Any]]


def read(work: Work, unit: int) -> dict[str, Any]:
    """Read an image's input into the store; an image of one tile is analysed at once, in memory (DESIGN section 5)."""
    try:
        return _read(work, tiles.input_tables(work, settle=False))
    except ContradictedError:
        return _read(work, tiles.input_tables(work, settle=True))


def _read(work: Work, tables: Iterator[pa.Table]) -> dict[str, Any]:
    head = list(itertools.islice(tables, 2))
    rows = sum(len(table) for table in head)
    if len(head) == 2 or rows > tile_size(work.settings, rows):
        return tiles.ingest(work, itertools.chain(head, tables))
    memory = work.store.in_memory()
    record = analyse(work.using(memory), head, {})
    work.store.written += memory.written
    return {**record, "fused": True}


STAGES = (
    Stage("read", "image", read),
    Stage("plan", "image", tiles.plan),
    Stage("scatter", "chunk", tiles.scatter),
    Stage("gather", "tile", tiles.gather),
    Stage("classify", "tile", classify.classify),
    Stage("link", "tile", link.link),
    Stage("stitch", "image", link.stitch),
    Stage("cut", "tile", link.cut),
    Stage("number", "image", link.number),
    Stage("measure", "tile", shapes.measure),
    Stage("points", "chunk", results.points),
    Stage("publish", "image", publish.publish),
)
FIRST, POINTS, LAST = STAGES[0], STAGES[-2], STAGES[-1]


def units(work: Work, stage: Stage) -> int:
    """How many units a stage has, once the stages before it are done."""
    if stage.per == "chunk":
        return int(work.facts()["chunks"])
    return work.partition().n_tiles if stage.per == "tile" else 1


def analyse(
    work: Work, tables: Iterable[pa.Table], seconds: dict[str, float], until: str | None = None, threads: int = 1
) -> dict[str, Any]:
    """Every stage in one process over one store in memory, up to the stage `until`.

    By default up to the last stage, or where there is no output directory to the one before it.

    seconds : filled with the time each stage took
    threads : units of a stage done at a time; the kernels release the GIL
    Returns the record of the last stage run.
    """
    start = time.perf_counter()
    record = tiles.ingest(work, tables)
    seconds[FIRST.name] = time.perf_counter() - start
    names = [stage.name for stage in STAGES]
    stop = len(STAGES) - (not work.store.has_outputs) if until is None else names.index(until) + 1
    with ThreadPoolExecutor(threads) as pool:
        each = map if threads == 1 else pool.map  # one thread is this one
        for stage in STAGES[1:stop]:
            start = time.perf_counter()
            records = list(each(partial(stage.run, work), range(units(work, stage))))
            _check_rows(work, stage, [record.get("rows", 0) for record in records])
            record = records[-1]
            seconds[stage.name] = time.perf_counter() - start
    return {**record, "seconds_by_stage": seconds}


def work_of(run: Run, image: Image, store: DirectoryStore) -> Work:
    """The world of an image's stages in a run directory."""
    return Work(image, run.settings, load(run.settings.model), store)


def run_unit(run: Run, key: Key) -> dict[str, Any]:
    """Do one unit and record it as done; of one that is done already, return the record.

    Executors may give a unit to a second process where they lost sight of the first: that one is waited for.

    Raises
    ------
    CamlError : what the unit found wrong.
    """
    index, name, unit = key
    stage = next(stage for stage in STAGES if stage.name == name)
    store = run.store(run.images[index])
    with store.claimed(name, unit):
        if (standing := _standing(store, stage, unit)) is not None:
            return standing  # its worker was lost between the record and its report
        start = time.perf_counter()
        record = stage.run(work_of(run, run.images[index], store), unit)
        if stage is FIRST:
            _check_input(run, run.images[index])
        record["seconds"] = time.perf_counter() - start
        record["worker"] = f"{socket.gethostname()}:{os.getpid()}"
        if not record.get("fused"):  # a small image leaves little, and the next one asks for it again
            pa.default_memory_pool().release_unused()
        return store.finish(LAST.name if record.get("fused") else name, unit, record)


def _check_input(run: Run, image: Image) -> None:
    """Refuse what was read of a file that is no longer the one whose digest the manifest has."""
    if image.path is not None and content_of(image.path) != run.manifest["inputs"][str(image.path)]:
        raise UnreadableError("it changed after the run had begun: analyse it in a new run", image.path)


def _standing(store: DirectoryStore, stage: Stage, unit: int) -> dict[str, Any] | None:
    """The done record of a unit; of a fused image the last one, which is its only one."""
    record = store.done(stage.name, unit)
    if record is None and stage is FIRST:
        last = store.done(LAST.name, 0)
        return last if last is not None and last.get("fused") else None
    return record


def barriers(run: Run, index: int, resumed: bool = False, alone: bool = True) -> Iterator[tuple[Stage, list[Key], int]]:
    """The stages of an image one after another, with the units still to run and how many there are in all.

    Ask for the next stage only when all units of the last one are done. A unit is pending where no done record stands
    for it, or, in a resumed run, where a file of its record is missing or altered.

    alone : nobody else works on the image, so that what killed units left, and at the end its working tables, may go

    Raises
    ------
    ConservationError : a stage whose tiles do not return the localizations they were given, named (DESIGN law 1).
    """
    image = run.images[index]
    store = run.store(image)
    work = work_of(run, image, store)
    if resumed:
        store.sweep()
    owned: list[int] = []
    for stage in STAGES:
        if _complete(store, resumed):
            break
        if stage is LAST and alone:
            store.sweep()
        count = units(work, stage)
        pending = [unit for unit in range(count) if not _intact(store, stage.name, unit, resumed)]
        yield stage, [(index, stage.name, unit) for unit in pending], count
        if stage is FIRST and store.done(LAST.name, 0):
            continue
        owned = _conserved(work, store, stage, count, owned)
    if alone:
        store.clear_tables()


def units_by_stage(record: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Every unit of an image that is done, by its last record; a fused image has that record only."""
    if record.get("fused"):
        yield LAST.name, 0
        return
    count = {"image": 1, "chunk": record["summary"]["chunks"], "tile": record["summary"]["tiles"]}
    for stage in STAGES:
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
        store.sweep()
        if not _complete(store, check_files=True):
            for stage in STAGES:
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


def _intact(store: DirectoryStore, stage: str, unit: int, check_files: bool) -> bool:
    record = store.done(stage, unit)
    if record is None:
        return False
    altered = store.altered(record) if check_files else []
    if altered:
        _told([name for name in altered if store.stands(name)])  # tables may have been cleared away
        store.forget(stage, unit)
    return not altered


def _told(altered: list[str]) -> bool:
    """Whether there are any, each named in the log."""
    for name in altered:
        _log.warning("%s is missing or altered; it is made again", name)
    return bool(altered)


def _conserved(work: Work, store: DirectoryStore, stage: Stage, count: int, owned: list[int]) -> list[int]:
    """Check that a stage returned as many localizations as it was given; the rows each tile owns, once known."""
    rows = [(store.done(stage.name, unit) or {}).get("rows", 0) for unit in range(count)]
    _check_rows(work, stage, rows)
    if stage.name == "gather":
        return rows
    if stage.per == "tile" and rows != owned:
        tile = next(i for i in range(count) if rows[i] != owned[i])
        raise ConservationError(
            f"{work.image.image_id}: {stage.name} returned {rows[tile]} rows of tile {tile}, which owns {owned[tile]}"
        )
    return owned


def _check_rows(work: Work, stage: Stage, rows: list[int]) -> None:
    facts = work.facts()
    expected = {"chunk": facts["rows"] if stage is POINTS else facts["finite"], "tile": facts["finite"]}.get(stage.per)
    if expected is not None and sum(rows) != expected:
        raise ConservationError(f"{work.image.image_id}: {stage.name} returned {sum(rows)} rows of {expected}")


def in_words(error: BaseException) -> CamlError:
    """What failed, as a user can be told; what was not foreseen carries its traceback as a note."""
    if isinstance(error, CamlError):
        return error
    told = CamlError(f"{type(error).__name__}: {error}")
    told.add_note("".join(traceback.format_exception(error)))
    return told


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


def run_serial(run: Run, observer: Observer, resumed: bool = False) -> None:
    """Run every pending unit in this process, one after another."""
    for index, image in enumerate(run.images):
        try:
            for stage, keys, total in barriers(run, index, resumed):
                observer.stage_started(image, stage.name, total, len(keys))
                for key in keys:
                    observer.unit_done(image, run_unit(run, key))
        except Exception as error:
            observer.image_failed(image, in_words(error))
        else:
            observer.image_done(image)
