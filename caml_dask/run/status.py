"""How far a run or a screening is, from its files alone: no lock is taken, and what is half written is no error."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from caml_dask.errors import OutputError
from caml_dask.io import ledger, locks, rundir
from caml_dask.io.ledger import Ledger
from caml_dask.io.rundir import Image, Run
from caml_dask.io.store import DirectoryStore
from caml_dask.pipeline import FIRST, LAST, STAGES
from caml_dask.run.nights import Nights

_SHOWN = 20


def status_of(root: Path) -> dict[str, Any]:
    """How far the work in a directory is; all of it plain values.

    Returns
    -------
    kind : "run" or "screening"
    directory, images : where, and how many there are
    done, failed, waiting : how many of them
    under_way : image_id, stage, and how many of its units are done, of each image that was begun
    failures : image_id (path in a screening that rests) and reason, of those that failed
    last_unit_s : when the last unit was finished, in seconds since the epoch; None where none was
    holder : process, host and since when, in seconds since the epoch; None where nobody works on it
    seconds_an_image, seconds_left : as the present holder does them; None where that cannot be told yet
    night : of a screening, the one that was begun and not ended; None where there is none
    last_night, new, drift : of a screening, the last night with images, how many they were, and what drifts

    Raises
    ------
    OutputError : the directory holds neither a run nor a screening.
    """
    if (root / ledger.HIDDEN).is_dir():
        return {"kind": "screening", "directory": str(root), **_screening(root)}
    about = {"kind": "run", "directory": str(root)}
    try:
        return about | _run(root)
    except OutputError:
        if not (root / rundir.HIDDEN).is_dir() or rundir.read_manifest(root) is not None:
            raise
        # It is only just being begun.
        return about | _nothing_yet(0) | _speed([], 0, locks.holder(root, rundir.HIDDEN))


def _run(root: Path) -> dict[str, Any]:
    run = Run.open(root)
    holder = locks.holder(root, rundir.HIDDEN)
    under_way, failures, ends = [], {}, []
    latest: list[float] = []
    for image in run.images:
        store = run.store(image)
        if ended := store.finished(LAST.name):
            ends += ended
        elif (reason := _failure(run, image)) is not None:
            failures[image.image_id] = reason
        elif (progress := _progress(store)) is not None:
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
        **_speed(ends, left, holder),
    }


def _failure(run: Run, image: Image) -> str | None:
    try:
        return run.failure(image)
    except (OSError, ValueError, KeyError):
        return None


def _progress(store: DirectoryStore) -> dict[str, Any] | None:
    """Stage of an image under way, units done of it and in all, and when the last one was; None before the first."""
    ends = {stage.name: store.finished(stage.name) for stage in STAGES}
    begun = [stage for stage in STAGES if ends[stage.name]]
    if not begun:
        return None
    totals = {"image": 1, "chunk": _recorded(store, FIRST.name, "chunks"), "tile": _recorded(store, "plan", "tiles")}
    at = STAGES.index(begun[-1])
    if len(ends[STAGES[at].name]) == totals[STAGES[at].per] and at + 1 < len(STAGES):
        at += 1
    stage = STAGES[at]
    last = max(time_s for times in ends.values() for time_s in times)
    return {"stage": stage.name, "done": len(ends[stage.name]), "total": totals[stage.per], "last_s": last}


def _recorded(store: DirectoryStore, stage: str, name: str) -> int | None:
    return (store.done(stage, 0) or {}).get(name)


def _speed(ends: list[float], left: int, holder: locks.Holder | None) -> dict[str, Any]:
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


def _screening(root: Path) -> dict[str, Any]:
    book = Ledger.read(root)
    summary = _summary(root)
    listed = summary.get("images", [])
    nights = [image["folder"].split("/")[1] for image in listed if image["folder"]]
    about = {
        "night": None if book.underway is None else book.underway["night"],
        "last_night": max(nights, default=None),
        "new": len(summary.get("new", [])),
        "drift": summary.get("drift", []),
    }
    if book.underway is None:
        return _resting(root, listed) | about
    try:
        night = _run(Nights(root).folder(book.underway["night"]))
    except OutputError:
        night = _nothing_yet(book.underway["images"])
    stand = {name: book.underway[name] for name in ("done", "failed")}
    counts = {name: night[name] + number for name, number in stand.items()}
    holder = locks.holder(root, ledger.HIDDEN)
    return night | counts | about | {"images": night["images"] + sum(stand.values()), "holder": holder and vars(holder)}


def _summary(root: Path) -> dict[str, Any]:
    try:
        summary: dict[str, Any] = json.loads((root / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return summary


def _resting(root: Path, listed: list[dict[str, Any]]) -> dict[str, Any]:
    """A screening between nights, as its summary has it."""
    failures = {image["path"]: image["reason"] for image in listed if image["status"] == "failed"}
    failed = sum(image["status"] == "failed" for image in listed)
    return {
        **_nothing_yet(len(listed)),
        "waiting": 0,
        "done": len(listed) - failed,
        "failed": failed,
        "failures": failures,
        **_speed([], 0, locks.holder(root, ledger.HIDDEN)),
    }


def _nothing_yet(images: int) -> dict[str, Any]:
    return {
        "images": images,
        "done": 0,
        "failed": 0,
        "waiting": images,
        "under_way": [],
        "failures": {},
        "last_unit_s": None,
        **_speed([], images, None),
    }


def in_words(status: dict[str, Any]) -> str:
    """A status as text, a fact a line."""
    counts = f"{status['done']} done, {status['failed']} failed"
    if status["under_way"] or status["waiting"]:
        counts += f", {len(status['under_way'])} under way, {status['waiting']} waiting"
    lines = [f"{status['kind']} {status['directory']}: {status['images']} images, {counts}"]
    for image in status["under_way"][:_SHOWN]:
        total = "" if image["total"] is None else f" of {image['total']}"
        lines.append(f"  {image['image_id']}: {image['stage']}, {image['done']}{total} done")
    lines += [f"  failed: {reason}" for reason in list(status["failures"].values())[:_SHOWN]]
    lines.append(_who(status))
    if status["last_unit_s"] is not None:
        lines.append(f"last unit finished {_clock(status['last_unit_s'])}")
    if status["seconds_left"]:
        rate = 60 / status["seconds_an_image"]
        lines.append(f"{rate:.3g} images a minute, about {max(1, round(status['seconds_left'] / 60))} min left")
    if status["kind"] == "screening" and status["last_night"] is not None:
        lines.append(f"last images analysed: {status['new']}, on night {status['last_night']}")
        lines += [f"drift: {line}" for line in status["drift"]] or ["drift: none"]
    return "\n".join(lines)


def _who(status: dict[str, Any]) -> str:
    holder = status["holder"]
    if holder is not None:
        return f"in use by process {holder['process']} on {holder['host']} since {_clock(holder['since'])}"
    if status["kind"] == "screening":
        night = status["night"]
        return "nobody works on it" + (f"; night {night} was interrupted: screen again to resume it" if night else "")
    left = status["waiting"] or status["under_way"]
    return "nobody works on it" + ("; it was interrupted: continue with --resume" if left else "")


def _clock(seconds: float) -> str:
    ago = max(0, round(time.time() - seconds))
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC, {ago} s ago"
