"""Results read back: what a run or a screening left in a directory, and which image belongs to which condition."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from caml_dask.errors import CamlError, OutputError
from caml_dask.io.cohort import read_cohort
from caml_dask.io.files import read_json
from caml_dask.io.rundir import Run
from caml_dask.report.factors import factors_of
from caml_dask.report.images import read_clusters
from caml_dask.report.measures import Measure, measures_of, values_of

_NOT_FACTORS = ("image_id", "path", "status", "reason", "folder")


@dataclass(frozen=True)
class Item:
    """One image of a cohort.

    image_id, path : as images.csv has them
    factors : name to value: condition, replicate, channel and whatever else the cohort tells
    """

    image_id: str
    path: str
    factors: Mapping[str, str]


@dataclass(frozen=True)
class Failed(Item):
    """An image that could not be analysed, or whose results could not be read."""

    reason: str


@dataclass(frozen=True, eq=False)
class Measured(Item):
    """An image with its results.

    folder : where they stand
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
    notes : what was found amiss on reading
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


def read_results(root: Path, table: Path | None = None) -> Results:
    """Read what `caml-dask run` or `caml-dask screen` left in a directory.

    Parameters
    ----------
    root : the directory.
    table : a cohort table, by whose paths the images get their factors; by default they have those that screening knew.

    Raises
    ------
    OutputError : the directory holds no results, or a cohort table that cannot be used.
    """
    facts = _summary(root)
    entries = facts.pop("images")
    listed = None if table is None else read_cohort(str(table))
    runs: dict[Path, Run] = {}
    items, notes = [], []
    for row, entry in _rows(root, entries):
        factors = _factors(row, entry)
        if listed is not None:
            found = factors_of(row["path"], factors.get("channel", ""), listed)
            factors |= found or {}
            if found is None:
                notes.append(f"{row['image_id']}: {row['path']} is not in {table}: it is in no condition.")
        items.append(_item(root, runs, row, entry, factors))
    settings = {run.manifest["settings_digest"] for run in runs.values()}
    if len(settings) > 1:
        notes.append(f"Images were analysed with {len(settings)} different settings: compare them with care.")
    images = tuple(item for item in items if isinstance(item, Measured))
    failed = tuple(item for item in items if isinstance(item, Failed))
    return Results(root, images, failed, facts, tuple(notes))


def _item(
    root: Path,
    runs: dict[Path, Run],
    row: Mapping[str, str],
    entry: Mapping[str, Any] | None,
    factors: Mapping[str, str],
) -> Measured | Failed:
    """An image with its results, or the reason why there are none."""
    named = row["image_id"], row["path"], factors
    if row["status"] != "done":
        return Failed(*named, row["reason"])
    if entry is None:
        return Failed(*named, "summary.json knows nothing of it")
    try:
        folder = _inside(root, row["folder"])
        return Measured(*named, folder, entry, read_clusters(runs, folder, entry))
    except CamlError as error:
        return Failed(*named, f"results cannot be used: {error}")


def _summary(root: Path) -> dict[str, Any]:
    path = root / "summary.json"
    try:
        facts = read_json(path)
        if not isinstance(facts["images"], list):
            raise ValueError("its images are no list")
    except FileNotFoundError:
        raise OutputError(
            f"{root} holds no results: name a directory that `caml-dask run` or `caml-dask screen` finished"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise OutputError(f"{path} is damaged ({error}): run again with --resume, or screen again") from None
    return facts


def _rows(
    root: Path, entries: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[dict[str, str], Mapping[str, Any] | None]]:
    """Each image's row of images.csv with its part of summary.json, None where it has none.

    Screening lists in images.csv what it met, and each row names its folder; a run's summary lists all there is.
    """
    path = root / "images.csv"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            listed = list(csv.DictReader(file))
    except FileNotFoundError:
        raise OutputError(f"{path} is missing: run again with --resume, or screen again") from None
    except (ValueError, csv.Error) as error:
        raise OutputError(f"{path} is damaged ({error}): run again with --resume, or screen again") from None
    if listed and "folder" in listed[0]:
        by_folder = {entry.get("folder"): entry for entry in entries}
        for row in listed:
            yield {key: value or "" for key, value in row.items() if key}, by_folder.get(row["folder"] or None)
        return
    for entry in entries:
        row = {key: str(entry.get(key) or "") for key in ("image_id", "path", "status", "reason")}
        yield {**row, "folder": row["image_id"]}, entry


def _factors(row: Mapping[str, str], entry: Mapping[str, Any] | None) -> dict[str, str]:
    listed = {name: value for name, value in row.items() if name not in _NOT_FACTORS}
    if entry is None:
        return listed
    channel = {"channel": str(entry["channel"])} if entry.get("channel") is not None else {}
    given = {str(name): "" if value is None else str(value) for name, value in (entry.get("factors") or {}).items()}
    return {**listed, **channel, **{name: value for name, value in given.items() if value}}


def _inside(root: Path, folder: str) -> Path:
    """The folder of an image's results; a table that was tampered with cannot point outside of the directory."""
    path = root / folder
    if not folder or not path.resolve().is_relative_to(root.resolve()):
        raise CamlError(f"{folder!r} does not lie in {root}")
    return path
