"""What a comparison of channels leaves: tables, pictures and a methods paragraph in a folder."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from caml_dask.atomic import publish, publish_text
from caml_dask.channels.colocalization import Colocalization
from caml_dask.channels.figures import CROSS, CROSS_MEANING, FIGURES, A, B
from caml_dask.channels.methods import methods_of
from caml_dask.channels.picture import draw_pair
from caml_dask.channels.randomized import Tested
from caml_dask.errors import OutputError
from caml_dask.groups import make_folder
from caml_dask.io.csv_text import csv_text
from caml_dask.results.image import ImageResult

FOLDER = "colocalization"
"""Where the command writes, in the directory of a run."""
PAIRS, TESTS, METHODS = "colocalization.csv", "tests.csv", "methods.txt"


def write_pairs(
    folder: Path, pairs: Iterable[Colocalization], images: Mapping[str, ImageResult], command: str, overwrite: bool
) -> list[dict[str, Any]]:
    """Write pairs as they come, and the tables of all of them at the end.

    Parameters
    ----------
    folder : Path
        Where to write; it is made.
    pairs : iterable of Colocalization
        The pairs.
    images : mapping
        The images of the run, whose clusters are joined to what is found of them.
    command : str
        Version of the program and seed, for the methods paragraph.
    overwrite : bool
        Replace an earlier comparison.

    Returns
    -------
    list of dict
        The rows of colocalization.csv.

    Raises
    ------
    OutputError
        There is an earlier comparison, or the folder cannot be written to.
    """
    table = folder / PAIRS
    if table.exists():
        if not overwrite:
            raise OutputError(f"{table} is there already: name another folder with --out, or use --overwrite")
        _remove(folder)
    elif folder.is_dir() and any(folder.iterdir()):
        raise OutputError(f"{folder} holds other files: name another folder with --out")
    rows, tests, methods = [], [], []
    try:
        make_folder(folder)
        for number, pair in enumerate(pairs, start=1):
            name = f"{number:04d}_{pair.a.name}__{pair.b.name}"
            _write_pair(folder / name, pair, images)
            rows.append({"pair": name, **row_of(pair)})
            tests += [{"pair": name, **_test_row(test)} for test in pair.tests]
            methods.append(methods_of(pair, command))
        publish_text(folder / METHODS, "\n\n".join(dict.fromkeys(methods)) + "\n")
        publish_text(folder / TESTS, _csv(tests or [dict.fromkeys(["pair", *(f.name for f in fields(Tested))], "")]))
        publish_text(table, _csv(rows))
    except OSError as error:
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST):
            raise OutputError(f"{folder} cannot be written to ({error.strerror}): name another with --out") from None
        raise
    return rows


def row_of(pair: Colocalization) -> dict[str, Any]:
    """The row of a pair in colocalization.csv.

    Parameters
    ----------
    pair : Colocalization
        The pair.

    Returns
    -------
    dict
        Names, counts, region and shift; each figure, and for each way of randomization what it gives and the p value.
    """
    tests = {(test.figure, test.test): test for test in pair.tests}
    row: dict[str, Any] = {"a": pair.a.name, "b": pair.b.name, "dimensions": pair.a.axes}
    for name, channel in ((A, pair.a), (B, pair.b)):
        row |= {f"localizations_{name}": len(channel.loc_id), f"clusters_{name}": len(channel.cluster_id)}
    row |= {"area_um2": pair.domain.area_nm2 / 1e6, "region": pair.region}
    row |= {f"shift_{name}": value for name, value in pair.shift.as_dict().items()}
    for figure in figures_in_order():
        row[figure] = pair.figures[figure]
        for way in pair.randomized:
            test = tests[figure, way]
            row |= {f"{figure}_expected_{way}": test.expected, f"{figure}_p_{way}": test.p_value}
    return row | {"notes": "; ".join(pair.notes)}


def figures_in_order() -> list[str]:
    """Names of the figures: those of A with B, those of B with A, the cross pair correlation."""
    return [*(f"{name}_{of}" for of in (A, B) for name in FIGURES), CROSS]


def meaning_of(figure: str) -> str:
    """A figure in words.

    Parameters
    ----------
    figure : str
        Its name, such as "doc_a".

    Returns
    -------
    str
        What it means.
    """
    if figure == CROSS:
        return CROSS_MEANING
    name, of = figure.rsplit("_", 1)
    return FIGURES[name].format(*(("A", "B") if of == A else ("B", "A")))


def _write_pair(folder: Path, pair: Colocalization, images: Mapping[str, ImageResult]) -> None:
    for of, channel in ((A, pair.a), (B, pair.b)):
        points = pa.Table.from_pandas(pair.localizations(of), preserve_index=False)
        publish(folder / f"localizations_{of}.parquet", partial(pq.write_table, points))
        clusters = images[channel.name].clusters.merge(pair.clusters(of), on="cluster_id", how="inner")
        publish_text(folder / f"clusters_{of}.csv", _csv(clusters.to_dict("records"), list(clusters.columns)))
    publish_text(folder / "curves.csv", _csv(pair.curves.to_dict("records")))
    publish(folder / "colocalization.png", lambda path: draw_pair(pair, path))


def _test_row(test: Tested) -> dict[str, Any]:
    return {field.name: getattr(test, field.name) for field in fields(Tested)} | {"meaning": meaning_of(test.figure)}


def _csv(rows: list[dict[Any, Any]], header: list[str] | None = None) -> str:
    """Rows as CSV under the names of all of their columns, in the order met."""
    names = header or list(dict.fromkeys(name for row in rows for name in row))
    return csv_text([names, *([_plain(row.get(name)) for name in names] for row in rows)])


def _plain(value: Any) -> Any:
    """A cell: nothing for what there is not."""
    if value is None or value is pd.NA:
        return ""
    return value.item() if isinstance(value, np.generic) else value


def _remove(folder: Path) -> None:
    """Remove an earlier comparison, and nothing else."""
    table = pd.read_csv(folder / PAIRS)
    for name in table.get("pair", pd.Series(dtype=str)).astype(str):
        path = folder / name
        if path.parent == folder and (path / "curves.csv").is_file():
            shutil.rmtree(path)
    for name in (PAIRS, TESTS, METHODS):
        (folder / name).unlink(missing_ok=True)
