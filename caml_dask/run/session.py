"""One run from inputs to summary: what `caml-dask run` does (DESIGN section 7)."""

from __future__ import annotations

import csv
import io
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from caml_dask import __version__
from caml_dask.errors import InputError
from caml_dask.io.files import publish_json, publish_text
from caml_dask.io.rundir import Image, Run, describe, image_ids, locked, prepare, refuse_standing
from caml_dask.io.sources import list_channels
from caml_dask.models.classify import load
from caml_dask.params import ColumnMap, Settings
from caml_dask.pipeline import LAST, STAGES, run_serial, units_by_stage
from caml_dask.run.deployment import cores, local_cluster
from caml_dask.run.executor import DaskExecutor
from caml_dask.run.progress import observer

SMALL_INPUT_BYTES = 2 << 20  # some 50,000 localizations of CSV
_PACKAGES = ("numpy", "scipy", "pyarrow", "shapely", "numba", "dask", "distributed", "scikit-learn", "zarr")


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    run : its directory
    failed : image_id to the reason, of the images that could not be analysed
    """

    run: Run
    failed: dict[str, BaseException]

    @property
    def exit_code(self) -> int:
        """0 all done, 3 some images failed, 4 all failed."""
        if not self.failed:
            return 0
        return 4 if len(self.failed) == len(self.run.images) else 3


def execute(
    inputs: Sequence[Path],
    out: Path,
    settings: Settings,
    *,
    workers: int | None,
    resume: bool = False,
    overwrite: bool = False,
) -> Outcome:
    """Analyse inputs into a run directory.

    Parameters
    ----------
    inputs : files; each is an image, or one a channel.
    out : the run directory.
    workers : worker processes of an embedded Dask cluster; 0 runs everything in this process, without Dask. None is one
        a core, or 0 for inputs so small that a cluster takes longer to start than they take.
    resume, overwrite : what to do with a run that stands in `out` already; by default it is refused.

    Raises
    ------
    UsageError : settings, model or output directory that cannot be used.
    """
    classifier = load(settings.model)
    with locked(out):
        refuse_standing(out, resume, overwrite)
        images = image_ids([s for path in inputs for s in _channels(path, settings.columns)])
        model = {"name": classifier.name, "weights_sha256": classifier.weights_sha256}
        run = prepare(out, describe(settings, images, model, __version__), resume, overwrite)
        watch = observer(len(images))
        if workers is None:
            workers = 0 if _bytes(images) <= SMALL_INPUT_BYTES else cores()
        if workers == 0:
            run_serial(run, watch, resume)
        else:
            with local_cluster(workers) as client:
                DaskExecutor(run, client, watch, resume).execute()
        write_summary(run, watch.failed)
    return Outcome(run, watch.failed)


def _bytes(images: Sequence[Image]) -> int:
    """Size of all inputs, each counted once."""
    paths = {image.path for image in images if image.path is not None}
    return sum(path.stat().st_size for path in paths if path.is_file())


def _channels(path: Path, columns: ColumnMap) -> list[tuple[Path, str | None]]:
    """The images in a file; one that cannot be read is an image too, and will fail by name."""
    try:
        return [(path.resolve(), channel) for channel in list_channels(path, columns)]
    except InputError:
        return [(path.resolve(), None)]


def write_summary(run: Run, failed: dict[str, BaseException]) -> None:
    """Write images.csv and summary.json."""
    rows = io.StringIO()
    table = csv.writer(rows, lineterminator="\n")
    table.writerow(["image_id", "path", "status", "reason"])
    images: list[dict[str, Any]] = []
    for image in run.images:
        error = failed.get(image.image_id)
        status = "done" if error is None else "failed"
        table.writerow([image.image_id, _cell(str(image.path)), status, "" if error is None else _cell(str(error))])
        entry: dict[str, Any] = {"image_id": image.image_id, "path": str(image.path), "channel": image.channel}
        entry["status"] = status
        images.append(entry | ({"reason": str(error)} if error is not None else _summary_of(run, image)))
    whole = {
        "caml_dask": run.manifest["version"],
        "digest": run.manifest["settings_digest"],
        "settings": run.manifest["settings"],
        "model": run.manifest["model"],
        "machine": run.manifest["machine"],
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "images": images,
    }
    publish_text(run.root / "images.csv", rows.getvalue())
    publish_json(run.root / "summary.json", whole, indent=1)


def _cell(text: str) -> str:
    """A text cell that a spreadsheet would take for a formula is quoted."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _summary_of(run: Run, image: Image) -> dict[str, Any]:
    store = run.store(image)
    record = store.done(LAST.name, 0) or {}
    summary: dict[str, Any] = record["summary"]
    if record.get("fused"):
        return {**summary, "seconds": record["seconds_by_stage"]}
    seconds = dict.fromkeys((stage.name for stage in STAGES), 0.0)
    for stage, unit in units_by_stage(record):
        seconds[stage] += (store.done(stage, unit) or {}).get("seconds", 0.0)
    return {**summary, "seconds": seconds}
