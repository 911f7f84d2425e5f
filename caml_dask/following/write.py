"""What is written of a table whose clusters were followed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from caml_dask.atomic import publish, publish_text
from caml_dask.errors import InputError
from caml_dask.following.film import draw_film
from caml_dask.following.results import summarize, windows_table
from caml_dask.following.seen import FloatArray, Seen, see
from caml_dask.following.tables import EVENTS, TRACK_POINTS, TRACKS, WINDOWS
from caml_dask.following.tracks import track
from caml_dask.io.csv_text import csv_text
from caml_dask.results.image import ImageResult
from caml_dask.results.run import RunResult
from caml_dask.schema import Column, arrow_schema
from caml_dask.stages.shared.work import Network

if TYPE_CHECKING:
    from caml_dask.following.session import CutTable

FILM, DRIFT_TABLE = "film.png", "drift.parquet"
_TABLES: dict[str, tuple[Column, ...]] = {
    "tracks": TRACKS,
    "track_points": TRACK_POINTS,
    "events": EVENTS,
    "windows": WINDOWS,
}
WRITTEN = (*(f"{name}.{ending}" for name in _TABLES for ending in ("parquet", "csv")), FILM, DRIFT_TABLE)
"""Names of the files that are written of a table."""


def write_followed(
    folder: Path, made: CutTable, run: RunResult, least_overlap: float, network: Network
) -> dict[str, Any]:
    """Follow the clusters of a table, and write tracks, events, windows and the film strip.

    Parameters
    ----------
    folder : Path
        Where to write.
    made : CutTable
        The table and its windows.
    run : RunResult
        The run that analyzed them.
    least_overlap : float
        Share of the smaller outline that links two clusters.
    network : Network
        What labelled the localizations.

    Returns
    -------
    dict
        What the summary says of the table.

    Raises
    ------
    InputError
        A window could not be analyzed, or none was.
    StoreError
        A file of the run is not as the run left it.
    """
    images = _images(made, run)
    seen: list[Seen | None] = [
        see(window, image.clusters, image.outlines, image.points_in_batches())
        if (image := images.get(window.number)) is not None
        else None
        for window in made.windows
    ]
    found = track(seen, least_overlap)
    ids = {number: image.image_id for number, image in images.items()}
    windows = windows_table(made.windows, made.counts, seen, ids)
    summary = summarize(found, windows, made.left_out, network)
    tables = {"tracks": found.tracks, "track_points": found.points, "events": found.events, "windows": windows}
    for name, table in tables.items():
        _write(folder / name, table, _TABLES[name])
    there = [one for one in seen if one is not None]
    title = made.image.image_id if made.image.path is None else made.image.path.name
    publish(folder / FILM, lambda path: draw_film(path, title, there, lambda n: _points(images[n]), found))
    return summary


def _images(made: CutTable, run: RunResult) -> dict[int, ImageResult]:
    """The image of each window that was analyzed."""
    entries = {Path(entry["path"]): entry for entry in run.summary["images"]}
    images = {}
    for number, path in made.files.items():
        entry = entries[path.resolve()]
        if entry["status"] == "failed":
            raise InputError(f"window {number} could not be analyzed: {entry['reason']}", made.image.path)
        images[number] = run.images[entry["image_id"]]
    return images


def _points(image: ImageResult) -> FloatArray:
    return np.concatenate([np.column_stack([batch["x_nm"], batch["y_nm"]]) for batch in image.points_in_batches()])


def _write(path: Path, table: pd.DataFrame, columns: tuple[Column, ...]) -> None:
    typed = pa.Table.from_pandas(table, arrow_schema(columns), preserve_index=False)
    publish(path.with_name(f"{path.name}.parquet"), partial(pq.write_table, typed))
    publish_text(path.with_name(f"{path.name}.csv"), csv_text([table.columns, *_rows(typed)]))


def _rows(table: pa.Table) -> Iterator[list[Any]]:
    """Rows for people: lists of tracks with blanks between, nothing for what is null."""
    for row in table.to_pylist():
        yield [
            " ".join(map(str, value)) if isinstance(value, list) else "" if value is None else value
            for value in row.values()
        ]
