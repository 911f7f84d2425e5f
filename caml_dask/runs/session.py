"""One run from inputs to summary: what `caml-dask run` does (DESIGN section 7)."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from caml_dask.atomic import publish_json_of, publish_text
from caml_dask.errors import CamlError, UsageError
from caml_dask.executors.dask import DaskExecutor
from caml_dask.executors.deployment.clusters import cores, deployed
from caml_dask.executors.deployment.pages import Pages, shown
from caml_dask.executors.deployment.settings import Deployment, Existing, Local
from caml_dask.executors.interface import Executor
from caml_dask.executors.kernels import compile_kernels
from caml_dask.executors.pending import units_by_stage
from caml_dask.executors.serial import SerialExecutor
from caml_dask.executors.shared_kernels import share_kernels
from caml_dask.io.csv_text import csv_text
from caml_dask.io.exporters.write import usable
from caml_dask.io.manifest import Image, describe, numbered
from caml_dask.io.remote.url import Url
from caml_dask.io.rois.given import refuse_missing
from caml_dask.io.run_directory import HIDDEN, Run, locked, prepare, refuse_standing
from caml_dask.networks.trained import load_for
from caml_dask.pipeline import LAST, stages_of
from caml_dask.results.run import open_run
from caml_dask.runs.attended import Attended
from caml_dask.runs.bringing import Bringing
from caml_dask.runs.copying import Copies, Target
from caml_dask.runs.inputs import Input, apart, in_order, refuse_unfit
from caml_dask.runs.key_figures import figures_of, key_figures, region_figures
from caml_dask.runs.looking import look_at
from caml_dask.runs.progress import observer
from caml_dask.settings import Settings

NO_PAGES = Pages()
SMALL_INPUT_BYTES = 2 << 20  # some 50,000 localizations of CSV
_PACKAGES = ("numpy", "scipy", "pyarrow", "shapely", "numba", "dask", "distributed", "scikit-learn", "zarr")


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    run : its directory
    failed : image_id to the reason, of the images that could not be analysed
    not_exported : image_id to the reason, of images that are done but could not be exported
    not_copied : image_id, or name of a table or an exported file, to the reason, of what could not be copied
    """

    run: Run
    failed: dict[str, BaseException]
    not_exported: dict[str, str] = field(default_factory=dict)
    not_copied: dict[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 all done, 3 some images failed or could not be exported or copied, 4 all failed."""
        if not self.failed:
            return 3 if self.not_exported or self.not_copied else 0
        return 4 if len(self.failed) == len(self.run.images) else 3


def execute(
    inputs: Sequence[Input],
    out: Path,
    settings: Settings,
    *,
    workers: int | None = None,
    deployment: Deployment | None = None,
    resume: bool = False,
    overwrite: bool = False,
    export: Sequence[str] = (),
    pages: Pages = NO_PAGES,
    out_url: Url | None = None,
) -> Outcome:
    """Analyse inputs into a run directory.

    Parameters
    ----------
    inputs : files and objects in any order; each is an image, or one a channel. They are numbered in the order of their
        paths, objects behind files.
    out : the run directory.
    workers : worker processes of an embedded Dask cluster; 0 runs everything in this process, without Dask. None is one
        a core, or 0 for inputs so small that a cluster takes longer to start than they take.
    deployment : where the units run in place of such a cluster.
    resume, overwrite : what to do with a run that stands in `out` already; by default it is refused.
    export : formats that finished images are exported to, as `caml-dask export` does; a resumed run knows them.
    pages : what Dask shows of the run, where it runs on Dask.
    out_url : where finished images are copied to (:mod:`caml_dask.runs.copying`); a resumed run knows it.

    Raises
    ------
    UsageError : settings, network, deployment, format, object, store or output directory that cannot be used.
    TransferError : an input by URL cannot be brought here.
    WorkersError : the scheduler, or for too long every worker, is lost; the run can be resumed.
    """
    pages.refuse_unusable()
    with begun(inputs, out, settings, resume, overwrite, export, out_url) as run, copying(run) as copies:
        outcome = analyse(run, workers=workers, deployment=deployment, resume=resume, pages=pages, copies=copies)
        outcome = exported(outcome)
        return outcome if copies is None else copies.finish(outcome)


@contextmanager
def begun(
    inputs: Sequence[Input],
    out: Path,
    settings: Settings,
    resume: bool,
    overwrite: bool,
    export: Sequence[str] = (),
    out_url: Url | None = None,
) -> Iterator[Run]:
    """A run started, or the one that stands taken up; its directory is held while the context lasts."""
    if resume and overwrite:
        raise UsageError("--resume continues a run and --overwrite removes it: give one of them")
    paths, urls = apart(inputs)
    files = in_order(paths)
    refuse_unfit([*files, *urls], out.resolve(), overwrite)
    refuse_missing(settings.roi)
    formats = [exporter.name for exporter in usable(export, "--export")]
    network = load_for(settings)  # refused before anything is written, and so are objects and stores
    objects = Bringing(urls)
    if out_url is not None:
        Target(out_url).refuse_standing(resume, overwrite)
    with locked(out):
        refuse_standing(out, resume, overwrite)
        looks = look_at(files, settings.columns)
        images = [Image("", look.path, channel) for look in looks for channel in look.channels]
        images += objects.images(out, settings.columns, resume)
        known = {str(look.path): look.content for look in looks if look.content is not None} | objects.contents
        manifest = describe(settings, numbered(images), network.identity, known)
        run = prepare(out, manifest, resume, overwrite)
        run.ask_exports(formats)
        run.ask_copies(out_url)
        if (asked := run.copies_asked()) is not None:
            Target(asked).claim(run, overwrite)
        yield run


@contextmanager
def copying(run: Run) -> Iterator[Copies | None]:
    """What copies the finished images of a run, while the context lasts; None where they are to be copied nowhere."""
    asked = run.copies_asked()
    if asked is None:
        yield None
    else:
        with Copies(run, Target(asked)) as copies:
            yield copies


def analyse(
    run: Run,
    *,
    workers: int | None = None,
    deployment: Deployment | None = None,
    resume: bool = False,
    pages: Pages = NO_PAGES,
    copies: Copies | None = None,
) -> Outcome:
    """Run what is pending of a run whose directory the caller holds; parameters and errors as of :func:`execute`."""
    if resume:
        run.forget_failures()
    if workers is None:
        workers = 0 if _bytes(run) <= SMALL_INPUT_BYTES and pages == NO_PAGES else cores()
    if deployment is None or isinstance(deployment, Local):
        compile_kernels(run.settings.finder)  # or each worker would compile all of them
    elif not isinstance(deployment, Existing):
        share_kernels(run.settings.finder, run.root.absolute() / HIDDEN)
    where = deployment or (Local(workers) if workers else None)
    with observer(run) as watch, executor(run, where, pages) as chosen:
        chosen.execute(run, Attended(run, watch, copies), resume)
    write_summary(run, watch.failed)
    return Outcome(run, watch.failed)


def exported(outcome: Outcome) -> Outcome:
    """An outcome after its finished images were exported to the formats that its run was asked for."""
    formats = outcome.run.exports_asked()
    if not formats:
        return outcome
    return replace(outcome, not_exported=open_run(outcome.run.root).export_missing(formats))


@contextmanager
def executor(run: Run, deployment: Deployment | None, pages: Pages = NO_PAGES) -> Iterator[Executor]:
    """The executor of a deployment, whose workers live while the context lasts; None runs all in this process."""
    if deployment is None:
        yield SerialExecutor()
    else:
        with (
            deployed(deployment, run.root.absolute() / HIDDEN, pages.dashboard, len(run.images)) as workers,
            shown(workers.client, pages),
        ):
            yield DaskExecutor(workers.client, deployment.wait_s, workers.check, workers.withdraw, workers.want)


def _bytes(run: Run) -> int:
    """Size of all inputs, each counted once."""
    return sum(content[0] for content in run.manifest["inputs"].values() if content is not None)


def write_summary(run: Run, failed: MutableMapping[str, BaseException]) -> None:
    """Write images.csv, with the key figures of each image, and summary.json; of each image, what images.csv needs is
    held meanwhile. Images whose results are not as the run left them join those that failed."""
    shown: list[dict[str, Any]] = []

    def entries() -> Iterator[dict[str, Any]]:
        for image in run.images:
            try:
                entry = entry_of(run, image, failed.get(image.image_id))
            except CamlError as error:
                failed[image.image_id] = error
                entry = entry_of(run, image, error)
            shown.append(figures_of(entry))
            yield entry

    publish_json_of(run.root / "summary.json", made_with(run.manifest), "images", entries())
    names, figures = key_figures(shown)
    rows: list[list[Any]] = [["image_id", "path", "status", "reason", *names]]
    for entry, values in zip(shown, figures, strict=True):
        rows.append([entry["image_id"], entry["path"], entry["status"], entry.get("reason", ""), *values])
    publish_text(run.root / "images.csv", csv_text(rows))
    if run.settings.has_regions:
        publish_text(run.root / "regions.csv", csv_text(region_figures(shown)))


def entry_of(run: Run, image: Image, error: BaseException | None) -> dict[str, Any]:
    """What the summary says of an image that is done, or that failed for a reason."""
    entry: dict[str, Any] = {"image_id": image.image_id, "path": image.source, "channel": image.channel}
    entry["status"] = "done" if error is None else "failed"
    return entry | ({"reason": str(error)} if error is not None else summary_of(run, image))


def made_with(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What a summary says of how its images were made, from the manifest."""
    return {
        "caml_dask": manifest["version"],
        "digest": manifest["settings_digest"],
        "settings": manifest["settings"],
        "network": manifest["network"],
        "machine": manifest["machine"],
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
    }


def summary_of(run: Run, image: Image) -> dict[str, Any]:
    """What the summary says of an image that is done."""
    store = run.store(image)
    record = store.made(LAST.name, 0)
    summary: dict[str, Any] = record["summary"]
    if record.get("fused"):
        return {**summary, "seconds": record["seconds_by_stage"]}
    seconds = dict.fromkeys((stage.name for stage in stages_of(run.settings)), 0.0)
    for stage, unit in units_by_stage(record):
        seconds[stage] += (store.done(stage, unit) or {}).get("seconds", 0.0)
    return {**summary, "seconds": seconds}
