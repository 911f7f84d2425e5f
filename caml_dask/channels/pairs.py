"""Which images of a run belong together as channels of one field."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from caml_dask.errors import UnknownImageError, UsageError
from caml_dask.results.image import ImageResult
from caml_dask.results.run import RunResult

_HEADERS = ("a", "b")
LEAST_SHARED = 0.1  # of the larger bounding box; below, a unit may be wrong


def pairs_of(
    run: RunResult, named: Iterable[Sequence[str]] = (), table: Path | str | None = None
) -> list[tuple[ImageResult, ImageResult]]:
    """The pairs to compare: those that are named, or else all channels of each file with one another.

    Parameters
    ----------
    run : RunResult
        The run, or screening.
    named : iterable of (str, str)
        Pairs of image_ids, or of stems of inputs.
    table : path, optional
        CSV table with the columns a and b, a pair a row.

    Returns
    -------
    list of (ImageResult, ImageResult)
        At least one pair.

    Raises
    ------
    UsageError
        There is no pair, an image is not done or unknown, the same image twice, one in 2D and one in 3D, or two that
        do not overlap.
    """
    wanted = [tuple(pair) for pair in named]
    if table is not None:
        wanted += _listed(Path(table))
    if not wanted:
        found = channels_of_files(run)
        if not found:
            raise UsageError(
                f"no file of {run.directory} has two channels: name images with --pair A B, or a CSV table of pairs "
                "with --pairs"
            )
    else:
        found = [(_image(run, a), _image(run, b)) for a, b in dict.fromkeys(wanted)]
    for a, b in found:
        _refuse_unfit(a, b)
    return found


def channels_of_files(run: RunResult) -> list[tuple[ImageResult, ImageResult]]:
    """All pairs of channels of the same file, in the order of the run."""
    files: dict[Path, list[ImageResult]] = {}
    for image in run.images.values():
        if image.summary["channel"] is not None:
            files.setdefault(image.path, []).append(image)
    return [pair for images in files.values() for pair in combinations(images, 2)]


def _listed(path: Path) -> list[tuple[str, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read ({error}): give a CSV table with the columns a and b") from None
    first = text.split("\n", 1)[0]
    delimiter = next((mark for mark in ("\t", ";") if mark in first), ",")
    rows = csv.DictReader(text.splitlines(), delimiter=delimiter)
    names = {(name or "").strip().lower(): name for name in rows.fieldnames or ()}
    if missing := [name for name in _HEADERS if name not in names]:
        raise UsageError(f"{path} has no column {missing[0]}: a table of pairs has the columns a and b, a pair a row")
    found = []
    for number, row in enumerate(rows, start=2):
        pair = tuple((row[names[name]] or "").strip() for name in _HEADERS)
        if not all(pair):
            raise UsageError(f"{path}: line {number} names one image: a pair has two")
        found.append((pair[0], pair[1]))
    if not found:
        raise UsageError(f"{path} lists no pairs")
    return found


def _image(run: RunResult, name: str) -> ImageResult:
    try:
        return run.images[name]
    except UnknownImageError as error:
        raise UsageError(str(error)) from None


def _refuse_unfit(a: ImageResult, b: ImageResult) -> None:
    """
    Raises
    ------
    UsageError
        Two images that cannot be channels of one field.
    """
    if a.image_id == b.image_id:
        raise UsageError(f"{a.image_id} is paired with itself: name two images")
    axes = {image.image_id: 3 if "volume_nm3" in image.summary["medians"] else 2 for image in (a, b)}
    if len(set(axes.values())) > 1:
        of = " and ".join(f"{name} is {n}D" for name, n in axes.items())
        raise UsageError(f"{of}: analyze both in the same number of dimensions")
    for image in (a, b):
        if not image.summary["localizations"]:
            raise UsageError(f"{image.image_id} has no localizations that count: leave it out of the pairs")
    boxes = np.array([image.summary["bounds_nm"] for image in (a, b)], dtype=np.float64)
    low, high = boxes[:, :2].max(axis=0), boxes[:, 2:].min(axis=0)
    if (high <= low).any():
        spans = " and ".join(
            f"{image.image_id} spans x {box[0]:,.0f} to {box[2]:,.0f}, y {box[1]:,.0f} to {box[3]:,.0f} nm"
            for image, box in zip((a, b), boxes, strict=True)
        )
        raise UsageError(f"{spans}, which do not overlap: pair channels of one field, in one unit (--columns unit=)")


def shared_extent(a: ImageResult, b: ImageResult) -> float:
    """Area that the bounding boxes of two images share, over that of the larger one."""
    boxes = np.array([image.summary["bounds_nm"] for image in (a, b)], dtype=np.float64)
    shared = np.prod(boxes[:, 2:].min(axis=0) - boxes[:, :2].max(axis=0))
    return float(shared / np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).max())
