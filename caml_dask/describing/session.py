"""What `caml-dask describe` does: each input to tables and a picture of its regions.

DIR/summary.json                      all images: regions with areas, scales and p values; warnings
DIR/<image_id>/                       describe.parquet, describe.csv, describe.png
DIR/.describe/<image_id>/             working tables while an image is in progress
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from caml_dask import __version__, locks
from caml_dask.atomic import WORKING, publish, publish_json, publish_text, read_json, sweep
from caml_dask.describing.image import Asked, describe_image, work_on
from caml_dask.describing.picture import draw_description
from caml_dask.describing.tables import DESCRIPTION, SUMMARY, TABLE
from caml_dask.errors import CamlError, OutputError, UsageError
from caml_dask.extras import require
from caml_dask.io.csv_text import csv_text
from caml_dask.io.manifest import Image, image_ids
from caml_dask.io.rois.given import refuse_missing
from caml_dask.io.run_directory import OUTPUT_MARKS
from caml_dask.io.store import DirectoryStore, MemoryStore
from caml_dask.runs.inputs import images_in, in_order, refuse_unfit
from caml_dask.runs.tables_done import Outcome
from caml_dask.schema import arrow_schema
from caml_dask.stages import read

HOME = OUTPUT_MARKS[3]
_IMAGES, _TEXT, _PICTURE = "images.json", "describe.csv", "describe.png"
_log = logging.getLogger("caml_dask")


def describe_images(
    inputs: Sequence[Path],
    out: Path,
    asked: Asked,
    settings: Mapping[str, Any],
    *,
    threads: int | None = None,
    overwrite: bool = False,
) -> Outcome:
    """Describe the images in files, one after another, into a directory.

    Parameters
    ----------
    inputs : sequence of Path
        Files in any order; each is an image, or one a channel.
    out : Path
        The directory.
    asked : Asked
        What is asked of each region.
    settings : mapping
        Fields of :class:`caml_dask.settings.Settings` that say what is read.
    threads : int, optional
        Threads; by default one a core. They never change a result.
    overwrite : bool
        Replace earlier descriptions.

    Returns
    -------
    Outcome
        What became of each image.

    Raises
    ------
    UsageError
        Settings, inputs or a directory that cannot be used.
    """
    chosen = work_on(Image("none"), settings, MemoryStore()).settings
    refuse_missing(chosen.roi)
    files = in_order(inputs)
    refuse_unfit(files, out.resolve(), overwrite)
    _refuse_another(out, overwrite)
    with locks.locked(out, HOME, "description"):
        images = image_ids(images_in(files, chosen.columns))
        _begin(out, images)
        outcome = Outcome()
        for image in images:
            try:
                outcome.summaries[image.image_id] = _describe(out, image, asked, settings, threads or _cores())
                _log.info("%s is described", image.image_id)
            except CamlError as error:
                outcome.failed[image.image_id] = str(error)
        about = {
            "version": __version__,
            "most_nm": asked.most_nm,
            "simulations": asked.simulations,
            "seed": asked.seed,
            "settings": {name: chosen.as_dict()[name] for name in settings},
        }
        publish_json(out / SUMMARY, {**about, "images": [_entry(image, outcome) for image in images]}, indent=1)
    return outcome


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _refuse_another(out: Path, overwrite: bool) -> None:
    """Refuse a directory that holds something else, or descriptions that are not to be replaced."""
    if any((out / mark).is_dir() for mark in OUTPUT_MARKS if mark != HOME):
        raise OutputError(f"{out} holds results of another command: name another directory with --out")
    if (out / HOME).is_dir():
        if (out / SUMMARY).exists() and not overwrite:
            raise OutputError(f"{out} holds images that were described: name another directory, or use --overwrite")
    elif out.is_dir() and any(out.iterdir()):
        raise OutputError(f"{out} holds other files: name a new directory with --out")


def _begin(out: Path, images: Sequence[Image]) -> None:
    """Remove what an earlier call left, and note the images of this one."""
    noted = out / HOME / _IMAGES
    try:
        before = read_json(noted)["image_ids"]
    except (FileNotFoundError, ValueError):
        before = []
    (out / SUMMARY).unlink(missing_ok=True)
    for image_id in before:
        for name in (TABLE, _TEXT, _PICTURE):
            (out / image_id / name).unlink(missing_ok=True)
        sweep((out / image_id).glob(WORKING))
        shutil.rmtree(out / HOME / image_id, ignore_errors=True)
        if (out / image_id).is_dir() and not any((out / image_id).iterdir()):
            (out / image_id).rmdir()
    publish_json(noted, {"image_ids": [image.image_id for image in images]})


def _describe(out: Path, image: Image, asked: Asked, settings: Mapping[str, Any], threads: int) -> dict[str, Any]:
    """Describe an image, and write its tables and its picture."""
    scratch, folder = out / HOME / image.image_id, out / image.image_id
    found: list[pd.DataFrame] = []

    def use(tables: Any) -> dict[str, Any]:
        shutil.rmtree(scratch, ignore_errors=True)
        store = DirectoryStore(out, scratch, scratch, "")
        curves, summary = describe_image(work_on(image, settings, store), tables, asked, threads)
        found.append(curves)
        return summary

    try:
        summary = read.from_input(work_on(image, settings, MemoryStore()), use)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    curves = found[0]
    typed = pa.Table.from_pandas(curves, arrow_schema(DESCRIPTION), preserve_index=False)
    publish(folder / TABLE, partial(pq.write_table, typed))
    publish_text(folder / _TEXT, csv_text([curves.columns, *curves.to_numpy(object).tolist()]))
    try:
        require("plot", "a picture")
    except UsageError as error:
        _log.warning("%s is left out: %s", folder / _PICTURE, error)
    else:
        title = image.image_id if image.path is None else image.path.name
        publish(folder / _PICTURE, lambda path: draw_description(curves, title, path))
    return summary


def _entry(image: Image, outcome: Outcome) -> dict[str, Any]:
    """What the summary says of an image."""
    entry = {"image_id": image.image_id, "path": str(image.path), "channel": image.channel}
    reason = outcome.failed.get(image.image_id)
    state = {"status": "failed", "reason": reason} if reason else {"status": "done"}
    return entry | state | outcome.summaries.get(image.image_id, {})
