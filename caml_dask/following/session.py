"""What `caml-dask follow` does: tables to windows, windows to one run, its clusters to tracks.

DIR/summary.json                            all tables: windows, tracks, events, medians, warnings
DIR/<image_id>/                             tracks, their clusters, events, windows, film.png
DIR/windows/                                the run whose images are the windows of all tables
DIR/.follow/manifest.json, <image_id>/      what it was started with; the localizations of windows
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from caml_dask import locks
from caml_dask.atomic import WORKING, fingerprint, publish, publish_json, read_json, sweep
from caml_dask.errors import CamlError, OutputError, UsageError
from caml_dask.executors.deployment.settings import Deployment
from caml_dask.executors.kernels import compile_kernels
from caml_dask.following.cut import carried_for, cut, settings_of_windows
from caml_dask.following.link import LEAST_OVERLAP
from caml_dask.following.results import check_network, check_overlap
from caml_dask.following.windows import TimeWindows, Window
from caml_dask.following.write import DRIFT_TABLE, WRITTEN, write_followed
from caml_dask.io.manifest import Image, describe, differences, image_ids
from caml_dask.io.run_directory import OUTPUT_MARKS
from caml_dask.io.store import DirectoryStore
from caml_dask.networks.trained import load_for
from caml_dask.results.run import open_run
from caml_dask.runs.inputs import images_in, in_order, refuse_unfit
from caml_dask.runs.session import execute, made_with
from caml_dask.runs.tables_done import Outcome
from caml_dask.settings import Settings
from caml_dask.stages import read
from caml_dask.stages.drift.tables import DRIFT_OF_FRAMES
from caml_dask.stages.shared.work import Work

HOME, RUN = OUTPUT_MARKS[2], "windows"
_MANIFEST, _CUT = "manifest.json", "cut.json"
_log = logging.getLogger("caml_dask")


@dataclass(frozen=True)
class CutTable:
    """A table whose windows lie in files.

    Attributes
    ----------
    image : Image
        The table.
    windows : list of Window
        Its windows.
    counts : list of int
        Their localizations.
    left_out : int
        Frames at the end that are in none.
    files : dict of int to Path
        The files of those that have localizations enough.
    """

    image: Image
    windows: list[Window]
    counts: list[int]
    left_out: int
    files: dict[int, Path]


def follow_tables(
    inputs: Sequence[Path],
    out: Path,
    settings: Settings,
    windows: TimeWindows,
    *,
    least_overlap: float = LEAST_OVERLAP,
    workers: int | None = None,
    deployment: Deployment | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> Outcome:
    """Follow the clusters of tables through windows of frames, into a directory.

    Parameters
    ----------
    inputs : sequence of Path
        Tables in any order; each is an image, or one a channel.
    out : Path
        The directory.
    settings : Settings
        How windows are analyzed, and what is done before frames are cut.
    windows : TimeWindows
        How frames are cut.
    least_overlap : float
        Share of the smaller outline that links two clusters. A resumed call may give another one.
    workers, deployment : optional
        Where windows are analyzed, as :func:`caml_dask.runs.session.execute` takes them.
    resume, overwrite : bool
        What to do with what stands in `out`; by default it is refused.

    Returns
    -------
    Outcome
        What became of each table.

    Raises
    ------
    UsageError
        Settings, inputs or a directory that cannot be used.
    """
    if resume and overwrite:
        raise UsageError("--resume continues and --overwrite starts over: give one of them")
    check_overlap(least_overlap)
    network = load_for(settings)
    check_network(network)
    files = in_order(inputs)
    refuse_unfit(files, out.resolve(), overwrite)
    _refuse_another(out, resume or overwrite)
    with locks.locked(out, HOME, "following"):
        images = image_ids(images_in(files, settings.columns))
        manifest = _begin(out, describe(settings, images, network.identity), windows, resume)
        outcome = Outcome()
        cuts = [made for image in images if (made := _cut(out, image, settings, windows, outcome)) is not None]
        paths = [path for made in cuts for path in made.files.values()]
        if paths:
            execute(
                paths,
                out / RUN,
                settings_of_windows(settings),
                workers=workers,
                deployment=deployment,
                resume=resume,
                overwrite=overwrite,
            )
            run = open_run(out / RUN)
            for made in cuts:
                try:
                    outcome.summaries[made.image.image_id] = write_followed(
                        out / made.image.image_id, made, run, least_overlap, network
                    )
                except CamlError as error:
                    outcome.failed[made.image.image_id] = str(error)
        _write_summary(out, manifest, images, least_overlap, outcome)
    return outcome


def _refuse_another(out: Path, may_stand: bool) -> None:
    """Refuse a directory that holds something else, or windows that are neither to be continued nor replaced."""
    if any((out / mark).is_dir() for mark in OUTPUT_MARKS if mark != HOME):
        raise OutputError(f"{out} holds a run or a screening: name another directory with --out")
    if (out / HOME / _MANIFEST).exists():
        if not may_stand:
            raise OutputError(f"{out} holds clusters that were followed: continue with --resume, or use --overwrite")
    elif out.is_dir() and any(entry.name != HOME for entry in out.iterdir()):
        raise OutputError(f"{out} holds other files: name a new directory with --out")


def _begin(out: Path, described: dict[str, Any], windows: TimeWindows, resume: bool) -> dict[str, Any]:
    """The manifest, written; or the one that stands, if it is the same."""
    cut_by = {"time_window": windows.width, "time_step": windows.frames_between}
    manifest = json.loads(json.dumps(described | {"settings": described["settings"] | cut_by}))
    path = out / HOME / _MANIFEST
    try:
        stands = read_json(path)
    except FileNotFoundError:
        stands = None
    except ValueError as error:
        raise OutputError(f"{path} is damaged ({error}): start over with --overwrite") from None
    if resume and stands is not None:
        if found := differences(stands, manifest):
            raise OutputError(f"{out} cannot be resumed. It differs in " + "; ".join(found))
        return manifest
    for image in (stands or {}).get("images", []):
        _remove(out, image["image_id"])
    (out / "summary.json").unlink(missing_ok=True)
    publish_json(path, manifest, indent=1)
    return manifest


def _remove(out: Path, image_id: str) -> None:
    """Remove what was written of a table, and nothing else."""
    shutil.rmtree(out / HOME / image_id, ignore_errors=True)
    for name in WRITTEN:
        (out / image_id / name).unlink(missing_ok=True)
    if (out / image_id).is_dir() and not any((out / image_id).iterdir()):
        (out / image_id).rmdir()


def _cut(out: Path, image: Image, settings: Settings, windows: TimeWindows, outcome: Outcome) -> CutTable | None:
    """A table cut to windows, or what stands of it; None of one that cannot be, which has failed."""
    folder = out / HOME / image.image_id
    stem = image.image_id.partition("_")[2]
    try:
        found = _stands(folder) or _cut_to_files(folder, stem, image, settings, windows)
    except CamlError as error:
        outcome.failed[image.image_id] = str(error)
        return None
    files = {number: folder / name for number, name, _ in found["files"]}
    return CutTable(image, [Window(*one) for one in found["windows"]], found["counts"], found["left_out"], files)


def _stands(folder: Path) -> dict[str, Any] | None:
    """The record of the windows in a folder; None where there is none, or where it or a file is damaged."""
    try:
        found = read_json(folder / _CUT)
    except (FileNotFoundError, ValueError):
        return None
    whole = all(fingerprint(folder / name) == stated for _, name, stated in found["files"])
    return found if whole else None


def _cut_to_files(folder: Path, stem: str, image: Image, settings: Settings, windows: TimeWindows) -> dict[str, Any]:
    """Write the localizations of each window, then a record of them."""
    tables = folder / "tables"
    drift = folder.parents[1] / folder.name / DRIFT_TABLE
    shutil.rmtree(tables, ignore_errors=True)
    sweep(folder.glob(WORKING))
    network = load_for(settings)
    compile_kernels(settings.finder)
    work = Work(image, settings, network, DirectoryStore(folder, tables, tables, ""), carried_for(settings))
    found: dict[str, Any] = {"counts": [], "files": []}

    def use(source: Any) -> dict[str, Any]:
        cuts = cut(work, source, windows)
        for window, table in cuts.localizations():
            found["counts"].append(len(table))
            if len(table) >= network.least_localizations:
                name = f"{stem}_w{window.number:03d}.parquet"
                publish(folder / name, partial(pq.write_table, table), lasting=False)
                found["files"].append([window.number, name, fingerprint(folder / name)])
        if settings.drift is not None:
            publish(drift, partial(pq.write_table, work.get(DRIFT_OF_FRAMES, 0)))
        found["windows"] = [[window.number, window.start, window.stop] for window in cuts.windows]
        return {"left_out": cuts.left_out}

    found |= read.from_input(work, use)
    shutil.rmtree(tables)
    publish_json(folder / _CUT, found)
    _log.info("%s: %d windows", image.image_id, len(found["windows"]))
    return found


def _write_summary(
    out: Path, manifest: dict[str, Any], images: Sequence[Image], least_overlap: float, outcome: Outcome
) -> None:
    entries = []
    for image in images:
        entry = {"image_id": image.image_id, "path": str(image.path), "channel": image.channel}
        reason = outcome.failed.get(image.image_id)
        state = {"status": "failed", "reason": reason} if reason else {"status": "done"}
        entries.append(entry | state | outcome.summaries.get(image.image_id, {}))
    about = made_with(manifest) | {"least_overlap": least_overlap}
    publish_json(out / "summary.json", {**about, "images": entries}, indent=1)
