"""Overviews of the images of a run as PDF, SVG or PNG of lines and text."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from caml_dask.errors import OutputError
from caml_dask.io.run_directory import EXPORTS
from caml_dask.results.run import RunResult


def save_overviews(
    run: RunResult, to: str, folder: Path | None = None, images: Iterable[str] | None = None, overwrite: bool = False
) -> list[Path]:
    """Write the overviews of images.

    Parameters
    ----------
    run : RunResult
        The run.
    to : str
        "pdf", "svg" or "png".
    folder : Path, optional
        Where the files go; `export` in the directory of the run by default.
    images : iterable of str, optional
        image_ids, or stems of inputs; all images that are done by default.
    overwrite : bool
        Replace files that are there already.

    Returns
    -------
    list of Path
        The files, each named by its image_id.

    Raises
    ------
    UnknownImageError
        An image that there is not.
    UsageError
        Matplotlib is missing, or another kind of picture.
    OutputError
        A file is there already; nothing is written.
    """
    root = folder or run.directory / EXPORTS
    wanted = {run.images[name].image_id: run.images[name] for name in (run.images if images is None else images)}
    paths = {image_id: root / f"{image_id}_overview.{to}" for image_id in wanted}
    there = [path for path in paths.values() if path.exists()]
    if there and not overwrite:
        raise OutputError(f"{there[0]} is there already: name another folder with --out, or replace with --overwrite")
    return [image.save_overview(paths[image_id]) for image_id, image in wanted.items()]
