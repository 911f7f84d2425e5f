"""How far a run is, from its files alone: no lock is taken, and what is half written is no error.

No name is looked up before it exists: workers of the same machine would not see it either (:mod:`caml_dask.seen`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from caml_dask import locks
from caml_dask.errors import OutputError
from caml_dask.io.manifest import Image
from caml_dask.io.run_directory import HIDDEN, Run, read_manifest
from caml_dask.io.store import DirectoryStore
from caml_dask.pipeline import FIRST, LAST, stages_of
from caml_dask.seen import names_in
from caml_dask.stages import plan
from caml_dask.stages.merging import prepare
from caml_dask.stages.stage import Stage


def status_of_run(root: Path) -> dict[str, Any]:
    """How far the run in a directory is, see :func:`caml_dask.screening.status.status_of`; it may be just beginning.

    Raises
    ------
    OutputError : the directory holds no run.
    """
    try:
        return progress_of_run(root)
    except OutputError:
        if HIDDEN not in names_in(root) or read_manifest(root) is not None:
            raise
        return nothing_yet(0) | speed([], 0, locks.holder(root, HIDDEN))


def progress_of_run(root: Path) -> dict[str, Any]:
    """Images done, failed, waiting and under way in a run that has a manifest, and at what speed."""
    run = Run.open(root)
    holder = locks.holder(root, HIDDEN)
    under_way, failures, ends = [], {}, []
    latest: list[float] = []
    begun = names_in(root / HIDDEN)
    for image in run.images:
        if image.image_id not in begun:
            continue
        store = run.store(image)
        if ended := store.finished(LAST.name):
            ends += ended
        elif (reason := _failure(run, image)) is not None:
            failures[image.image_id] = reason
        elif (progress := _progress(store, stages_of(run.settings))) is not None:
            latest.append(progress.pop("last_s"))
            under_way.append({"image_id": image.image_id, **progress})
    left = len(run.images) - len(ends) - len(failures)
    return {
        "images": len(run.images),
        "done": len(ends),
        "failed": len(failures),
        "waiting": left - len(under_way),
        "under_way": under_way,
        "failures": failures,
        "last_unit_s": max([*latest, *ends], default=None),
        **speed(ends, left, holder),
    }


def _failure(run: Run, image: Image) -> str | None:
    try:
        return run.failure(image)
    except (OSError, ValueError, KeyError):
        return None


def _progress(store: DirectoryStore, stages: tuple[Stage, ...]) -> dict[str, Any] | None:
    """Stage of an image under way, units done of it and in all, and when the last one was; None before the first."""
    ends = {stage.name: store.finished(stage.name) for stage in stages}
    begun = [stage for stage in stages if ends[stage.name]]
    if not begun:
        return None
    chunks, tiles = _recorded(store, FIRST.name, "chunks"), _recorded(store, plan.STAGE.name, "tiles")
    before = _recorded(store, prepare.PLAN.name, "tiles")
    totals = {"image": 1, "chunk": chunks, "tile": tiles, "detection chunk": chunks, "detection tile": before}
    totals["read chunk"] = chunks
    at = stages.index(begun[-1])
    if len(ends[stages[at].name]) == totals[stages[at].per] and at + 1 < len(stages):
        at += 1
    stage = stages[at]
    last = max(time_s for times in ends.values() for time_s in times)
    return {"stage": stage.name, "done": len(ends[stage.name]), "total": totals[stage.per], "last_s": last}


def _recorded(store: DirectoryStore, stage: str, name: str) -> int | None:
    return (store.done(stage, 0) or {}).get(name)


def speed(ends: list[float], left: int, holder: locks.Holder | None) -> dict[str, Any]:
    """Who works, seconds an image since that began, and seconds left at that rate; by the clock of the files."""
    each = None
    if holder is not None:
        recent = [end - holder.since for end in ends if end > holder.since]
        each = max(recent) / len(recent) if recent else None
    return {
        "holder": None if holder is None else vars(holder),
        "seconds_an_image": each,
        "seconds_left": None if each is None else each * left,
    }


def nothing_yet(images: int) -> dict[str, Any]:
    """The status of a run whose images are all waiting."""
    return {
        "images": images,
        "done": 0,
        "failed": 0,
        "waiting": images,
        "under_way": [],
        "failures": {},
        "last_unit_s": None,
        **speed([], images, None),
    }
