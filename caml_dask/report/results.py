"""Results read back: what a run or a screening wrote, and which image belongs to which condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from caml_dask.atomic import read_json
from caml_dask.errors import CamlError, OutputError
from caml_dask.io.run_directory import Run
from caml_dask.report.factors import factors_of
from caml_dask.report.images import read_clusters
from caml_dask.report.measures import Measure, measures_of, values_of
from caml_dask.screening.cohort import read_cohort


@dataclass(frozen=True)
class ReportedImage:
    """One image of a cohort.

    image_id, path : as summary.json has them
    factors : name to value: condition, replicate, channel and any other factor of the cohort
    """

    image_id: str
    path: str
    factors: Mapping[str, str]


@dataclass(frozen=True)
class Failed(ReportedImage):
    """An image that could not be analyzed, or whose results could not be read.

    acknowledged : the failure is known, and the screening no longer counts it for its exit code
    """

    reason: str
    acknowledged: bool = False


@dataclass(frozen=True, eq=False)
class Measured(ReportedImage):
    """An image with its results.

    folder : where they are
    summary : its part of summary.json
    clusters : column to (c,) float64 values of its clusters, NaN for null
    """

    folder: Path
    summary: Mapping[str, Any]
    clusters: Mapping[str, npt.NDArray[np.float64]]

    @cached_property
    def values(self) -> dict[str, float]:
        """Each measure's value for the image, by name."""
        return values_of(self.summary, self.clusters)


@dataclass(frozen=True)
class Results:
    """All that a report is made from.

    root : the directory
    images, failed : in the order of the cohort
    facts : the whole of summary.json but for its images
    notes : problems found on reading
    """

    root: Path
    images: tuple[Measured, ...]
    failed: tuple[Failed, ...]
    facts: Mapping[str, Any]
    notes: tuple[str, ...]

    @cached_property
    def measures(self) -> tuple[Measure, ...]:
        """The measures that every image has."""
        columns = [set(image.clusters) for image in self.images]
        return measures_of(set.intersection(*columns) if columns else set())

    @cached_property
    def factors(self) -> tuple[str, ...]:
        """Names of the factors that any image has a value of, in the order met."""
        known = (name for image in self.images for name, value in image.factors.items() if value)
        return tuple(dict.fromkeys(known))


def replicates_of(images: Sequence[Measured]) -> dict[str, list[Measured]]:
    """Replicate to its images, in the order met; under "" those that have none."""
    found: dict[str, list[Measured]] = {}
    for image in images:
        found.setdefault(image.factors.get("replicate", ""), []).append(image)
    return found


def read_results(root: Path, table: Path | None = None) -> Results:
    """Read what `caml-dask run` or `caml-dask screen` wrote to a directory.

    Parameters
    ----------
    root : the directory.
    table : a cohort table that gives the images their factors, by path; by default those that the screening recorded.

    Raises
    ------
    OutputError : the directory holds no results, or the cohort table cannot be used.
    """
    facts = _summary(root)
    entries = facts.pop("images")
    listed, found = _listed(entries, table)
    notes = [*(str(line) for line in facts.get("notes", ())), *found]
    runs: dict[Path, Run] = {}
    items = [_item(root, runs, entry, {**_factors(entry), **factors}) for entry, factors in listed]
    settings = {run.manifest["settings_digest"] for run in runs.values()}
    if len(settings) > 1:
        notes.append(f"Images were analyzed with {len(settings)} different settings: compare them with care.")
    images = tuple(item for item in items if isinstance(item, Measured))
    failed = tuple(item for item in items if isinstance(item, Failed))
    return Results(root, images, failed, facts, tuple(notes))


def _listed(
    entries: Sequence[Mapping[str, Any]], table: Path | None
) -> tuple[list[tuple[Mapping[str, Any], Mapping[str, str]]], list[str]]:
    """Images with the factors that a cohort table gives them, in its order, and notes on the two."""
    if table is None:
        return [(entry, {}) for entry in entries], []
    return factors_of(entries, read_cohort(str(table)), table)


def _item(
    root: Path,
    runs: dict[Path, Run],
    entry: Mapping[str, Any],
    factors: Mapping[str, str],
) -> Measured | Failed:
    """An image with its results, or the reason why there are none; in a run, its folder has its name."""
    named = entry["image_id"], entry["path"], factors
    if entry["status"] != "done":
        return Failed(*named, entry["reason"], bool(entry.get("acknowledged")))
    try:
        folder = inside(root, entry.get("folder", entry["image_id"]))
        return Measured(*named, folder, entry, read_clusters(runs, folder, entry))
    except CamlError as error:
        return Failed(*named, f"results cannot be used: {error}")


def _summary(root: Path) -> dict[str, Any]:
    path = root / "summary.json"
    try:
        facts = read_json(path)
        if not isinstance(facts["images"], list):
            raise ValueError("its images are not a list")
    except FileNotFoundError:
        raise OutputError(
            f"{root} holds no results: give a directory that `caml-dask run` or `caml-dask screen` wrote"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise OutputError(f"{path} is damaged ({error}): run again with --resume, or screen again") from None
    return facts


def _factors(entry: Mapping[str, Any]) -> dict[str, str]:
    """The channel of an image, and the factors that the screening recorded."""
    channel = {} if entry["channel"] is None else {"channel": entry["channel"]}
    return {**channel, **entry.get("factors", {})}


def inside(root: Path, folder: str) -> Path:
    """The folder of an image; a manipulated summary cannot point outside of the directory."""
    path = root / folder
    if not folder or not path.resolve().is_relative_to(root.resolve()):
        raise CamlError(f"{folder!r} is not inside {root}")
    return path
