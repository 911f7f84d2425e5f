"""Progress of a run or a screening, as values and in words; read from files alone, at any time."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from caml_dask import locks
from caml_dask.errors import OutputError
from caml_dask.pipeline import STAGE_NAMED
from caml_dask.runs.status import nothing_yet, progress_of_run, speed, status_of_run
from caml_dask.screening import ledger
from caml_dask.screening.ledger import Ledger
from caml_dask.screening.nights import Nights

_SHOWN = 20


def status_of(root: Path) -> dict[str, Any]:
    """Progress of the work in a directory, as plain values.

    Returns
    -------
    kind : "run" or "screening"
    directory, images : where, and how many images
    done, failed, waiting : how many of the images
    under_way : image_id, stage, and number of units done and in all, of each image that was begun
    failures : image_id (path in a screening between nights) to the reason, of the failed images
    last_unit_s : when the last unit was finished, in seconds since the epoch; None before the first
    holder : process, host and start (seconds since the epoch) of the working process; None if there is none
    seconds_an_image, seconds_left : at the rate of the working process; None while unknown
    night : of a screening, the night that was begun and not ended; None if there is none
    last_night, new, unusual : of a screening, the last night with results, its number of images, and what is unusual

    Raises
    ------
    OutputError : the directory holds neither a run nor a screening.
    """
    if (root / ledger.HIDDEN).is_dir():
        return {"kind": "screening", "directory": str(root), **_screening(root)}
    return {"kind": "run", "directory": str(root), **status_of_run(root)}


def _screening(root: Path) -> dict[str, Any]:
    book = Ledger.read(root)
    summary = _summary(root)
    listed = summary.get("images", [])
    nights = [image["folder"].split("/")[1] for image in listed if image["folder"]]
    about = {
        "night": None if book.underway is None else book.underway["night"],
        "last_night": max(nights, default=None),
        "new": len(summary.get("new", [])),
        "unusual": summary.get("unusual", []),
    }
    if book.underway is None:
        return _resting(root, listed) | about
    try:
        night = progress_of_run(Nights(root).folder(book.underway["night"]))
    except OutputError:
        night = nothing_yet(book.underway["images"])
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
    """A screening between nights, from its summary."""
    failures = {image["path"]: image["reason"] for image in listed if image["status"] == "failed"}
    failed = sum(image["status"] == "failed" for image in listed)
    return {
        **nothing_yet(len(listed)),
        "waiting": 0,
        "done": len(listed) - failed,
        "failed": failed,
        "failures": failures,
        **speed([], 0, locks.holder(root, ledger.HIDDEN)),
    }


def in_words(status: dict[str, Any]) -> str:
    """A status as text, one fact per line."""
    counts = f"{status['done']} done, {status['failed']} failed"
    if status["under_way"] or status["waiting"]:
        counts += f", {len(status['under_way'])} under way, {status['waiting']} waiting"
    images = f"{status['images']} image{'s'[: status['images'] != 1]}"
    lines = [f"{status['kind']} {status['directory']}: {images}, {counts}"]
    for image in status["under_way"][:_SHOWN]:
        total = "" if image["total"] is None else f" of {image['total']}"
        lines.append(f"  {image['image_id']}: {STAGE_NAMED[image['stage']].title} ({image['done']}{total} units done)")
    lines += [f"  failed: {reason}" for reason in list(status["failures"].values())[:_SHOWN]]
    lines.append(_who(status))
    if status["last_unit_s"] is not None:
        lines.append(f"last unit finished at {_clock(status['last_unit_s'])}")
    if status["seconds_left"]:
        rate = 60 / status["seconds_an_image"]
        lines.append(f"{rate:.3g} images per minute, about {max(1, round(status['seconds_left'] / 60))} min left")
    if status["kind"] == "screening" and status["last_night"] is not None:
        lines.append(
            f"last night with results: {status['last_night']}, {status['new']} new image{'s'[: status['new'] != 1]}"
        )
        lines += [f"unusual: {line}" for line in status["unusual"]] or ["nothing unusual"]
    return "\n".join(lines)


def _who(status: dict[str, Any]) -> str:
    holder = status["holder"]
    if holder is not None:
        return f"in use by process {holder['process']} on {holder['host']} since {_clock(holder['since'])}"
    if status["kind"] == "screening":
        night = status["night"]
        return "not running" + (f"; night {night} was interrupted: screen again to resume it" if night else "")
    left = status["waiting"] or status["under_way"]
    return "not running" + ("; the run was interrupted: continue with --resume" if left else "")


def _clock(seconds: float) -> str:
    ago = max(0, round(time.time() - seconds))
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC ({ago} s ago)"
