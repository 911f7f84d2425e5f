"""All stages of an image in one process over one store in memory, units of a stage side by side on threads."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pyarrow as pa

from caml_dask.io.store import MemoryStore
from caml_dask.pipeline import FIRST, stages_of
from caml_dask.stages import read
from caml_dask.stages.shared.work import Work, tile_size
from caml_dask.stages.stage import Stage


def analyse(
    work: Work, tables: Iterable[pa.Table], seconds: dict[str, float], before: str | None = None, threads: int = 1
) -> dict[str, Any]:
    """Every stage in one process over one store in memory, up to the stage `before`, which is not run.

    By default up to the last stage, or where there is no output directory to the one before it.

    seconds : filled with the time each stage took
    threads : units of a stage done at a time; the kernels release the GIL
    Returns the record of the last stage run.
    """
    start = time.perf_counter()
    record = read.ingest(work, tables)
    seconds[FIRST.name] = time.perf_counter() - start
    stages, owned = stages_of(work.settings), list[int]()
    names = [stage.name for stage in stages]
    stop = len(stages) - (not work.store.has_outputs) if before is None else names.index(before)
    with ThreadPoolExecutor(threads) as pool:
        each = map if threads == 1 else pool.map  # one thread is this one
        for at, stage in enumerate(stages[1:stop], start=1):
            start = time.perf_counter()
            records = list(each(partial(stage.do, work), range(stage.units(work))))
            owned = stage.check_rows(work, [record.get("rows", 0) for record in records], owned)
            record = records[-1]
            _let_go(work, stage, stages[at + 1 :])
            seconds[stage.name] = time.perf_counter() - start
    return {**record, "seconds_by_stage": seconds}


def _let_go(work: Work, done: Stage, later: Sequence[Stage]) -> None:
    """Drop the large tables that no later stage reads."""
    for table in done.reads:
        if table.passing and isinstance(work.store, MemoryStore) and not any(table in stage.reads for stage in later):
            work.store.drop(table.name)


def read_or_analyse(work: Work) -> dict[str, Any]:
    """The first stage of an image in a run; one of a single tile goes through all stages at once (DESIGN section 5)."""
    return read.from_input(work, lambda tables: _read_or_analyse(work, tables))


def _read_or_analyse(work: Work, tables: Iterator[pa.Table]) -> dict[str, Any]:
    head = list(itertools.islice(tables, 2))
    rows = sum(len(table) for table in head)
    if len(head) == 2 or rows > tile_size(work.settings, rows):
        return read.ingest(work, itertools.chain(head, tables))
    memory = work.store.in_memory()
    record = analyse(work.using(memory), head, {})
    work.store.written += memory.written
    return {**record, "fused": True}
