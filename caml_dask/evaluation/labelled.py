"""Tables that others labelled, in a folder of folders: what their layouts are, and how networks do on them.

Two layouts are known, told apart by what a table holds. Both are taken to be in nm, which neither states:

- header ``x,y,index``, index 0 for noise and a cluster's number from 1 on (Nieves et al. 2023);
- no header, ``x,y,label`` or ``x,y,z,label``, label -1 for noise and a cluster's number from 0 on (DBOpt, 2025).

A table with a header of x and y and no index has no truth: its folder is passed over, by name.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from caml_dask.api import analyze
from caml_dask.errors import CamlError, InputError, UsageError
from caml_dask.metrics import class_scores, cluster_scores, hull_iou
from caml_dask.networks import load
from caml_dask.schema import NO_CLUSTER

NO_TRUTH = "its tables have no column of labels"
SCORES = (
    "accuracy",
    "balanced_accuracy",
    "f1",
    "precision",
    "recall",
    "ari",
    "ari_clustered",
    "hull_iou",
    "true_clusters",
    "found_clusters",
    "matched_clusters",
    "true_percent_clustered",
    "called_percent_clustered",
)
COLUMNS = ("network", "folder", "file", "dimensions", "localizations", *SCORES, "reason")
KEYS = ("network", "folder", "file")


@dataclass(frozen=True, eq=False)
class Labelled:
    """A labelled table.

    points_nm : (n, d) float64, d 2 or 3
    truth : (n,) int64 cluster of each localization, -1 for noise
    """

    points_nm: NDArray[np.float64]
    truth: NDArray[np.int64]


@dataclass(frozen=True)
class LabelledFolder:
    """A folder of labelled tables.

    name : its path below the folder that was given, with / between
    tables : its files by name, each with its dimensions
    reason : why it is passed over; empty where it is not
    """

    name: str
    tables: tuple[tuple[Path, int], ...]
    reason: str = ""


def labelled_folders(root: Path) -> list[LabelledFolder]:
    """The folders at and below `root` that hold CSV tables, by name; every table is read, so that none fails later.

    Raises
    ------
    UsageError : no such folder, or no CSV table in it.
    InputError : a table that cannot be read, or of neither layout.
    """
    if not root.is_dir():
        raise UsageError(f"{root} is no folder: give one that holds folders of labelled CSV tables")
    found = []
    for folder in sorted({path.parent for path in root.rglob("*.csv")}):
        name = folder.relative_to(root).as_posix() if folder != root else root.resolve().name
        tables = [(path, _dimensions(path)) for path in sorted(folder.glob("*.csv"))]
        known = tuple((path, dimensions) for path, dimensions in tables if dimensions)
        if known and len(known) < len(tables):
            bare = next(path for path, dimensions in tables if not dimensions)
            raise InputError("has no column of labels, and other tables of its folder have: move it elsewhere", bare)
        for path, _ in known:
            read_labelled(path)
        found.append(LabelledFolder(name, known, "" if known else NO_TRUTH))
    if not found:
        raise UsageError(f"{root} holds no CSV table: give a folder of folders of labelled tables")
    return found


def read_labelled(path: Path) -> Labelled:
    """Read a labelled table.

    Raises
    ------
    InputError : neither layout, no labels, or cells that are no numbers.
    """
    dimensions = _dimensions(path)
    if not dimensions:
        raise InputError("has no column of labels", path)
    headed = _has_header(_first_cells(path))
    try:
        table = pd.read_csv(path, header=0 if headed else None, dtype=np.float64, encoding="utf-8-sig")
    except ValueError as error:
        raise InputError(f"cannot be read ({error}): wanted rows of {dimensions + 1} numbers", path) from None
    values = table.to_numpy()
    if values.shape[1] != dimensions + 1 or not np.isfinite(values).all():
        raise InputError(f"holds rows that are not {dimensions + 1} finite numbers: mend or remove them", path)
    truth = values[:, -1] - 1 if headed else values[:, -1]
    wrong = (truth != np.floor(truth)) | (truth < NO_CLUSTER)
    if wrong.any():
        noise = 0 if headed else NO_CLUSTER
        raise InputError(
            f"holds the label {values[wrong, -1][0]:g}: wanted whole numbers, {noise} for noise and more for clusters",
            path,
            int(np.flatnonzero(wrong)[0]),
        )
    return Labelled(np.ascontiguousarray(values[:, :-1]), truth.astype(np.int64))


def labelled_records(folder: str, path: Path, networks: Sequence[str]) -> list[dict[str, Any]]:
    """Analyse a table with each network and compare labels and clusters with its own.

    Returns
    -------
    a record for each network, with `COLUMNS`; one that could not be made has the reason.

    Raises
    ------
    InputError : a table that cannot be read.
    """
    table = read_labelled(path)
    n, dimensions = table.points_nm.shape
    about = {"folder": folder, "file": path.name, "dimensions": dimensions, "localizations": n}
    records = []
    for network in networks:
        tried = load(network)
        record = {"network": tried.name, **about}
        needed = tried.least_localizations
        if n < needed:
            reason = f"{tried.name} needs {needed} localizations; the table has {n}"
            records.append({**record, "reason": reason})
            continue
        try:
            points = analyze(table.points_nm, network=network, any_extent=True, n_jobs=1).points
        except CamlError as error:
            records.append({**record, "reason": str(error)})
            continue
        found = compare_table(table, points["label"].to_numpy(), points["cluster_id"].to_numpy())
        records.append({**record, **found, "reason": ""})
    return records


def compare_table(table: Labelled, labels: NDArray[np.int8], cluster: NDArray[np.int64]) -> dict[str, Any]:
    """Labels (n,) and cluster ids (n,) that a network found, against a table's own; hulls are compared in 2D alone."""
    truth = table.truth
    called, grouped = class_scores(truth != NO_CLUSTER, labels), cluster_scores(truth, cluster)
    flat = table.points_nm.shape[1] == 2
    return {
        "accuracy": called.accuracy,
        "balanced_accuracy": called.balanced_accuracy,
        "f1": called.f1,
        "precision": called.precision,
        "recall": called.recall,
        "ari": grouped.ari,
        "ari_clustered": grouped.ari_clustered,
        "hull_iou": hull_iou(table.points_nm, truth, cluster) if flat else math.nan,
        "true_clusters": grouped.n_true,
        "found_clusters": grouped.n_found,
        "matched_clusters": grouped.n_matched,
        "true_percent_clustered": 100.0 * float((truth != NO_CLUSTER).mean()),
        "called_percent_clustered": 100.0 * float((labels > 0).mean()),
    }


def _dimensions(path: Path) -> int:
    """2 or 3, of a labelled table; 0 where it has no labels.

    Raises
    ------
    InputError : a table of neither layout.
    """
    cells = _first_cells(path)
    if _has_header(cells):
        names = [cell.lower() for cell in cells]
        if names == ["x", "y", "index"]:
            return 2
        if names[:2] == ["x", "y"] and not {"index", "label"} & set(names):
            return 0
    elif len(cells) in (3, 4) and float(cells[-1]) % 1 == 0:
        return len(cells) - 1
    raise InputError(
        f"begins with {','.join(cells)[:80]!r}: wanted the header x,y,index (0 for noise), or rows of x,y,label or"
        " x,y,z,label without a header (-1 for noise), in nm",
        path,
    )


def _first_cells(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig") as lines:
            first = lines.readline()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read ({error})", path) from None
    return [cell.strip().strip('"').strip() for cell in first.rstrip("\n").split(",")]


def _has_header(cells: Sequence[str]) -> bool:
    """Whether any cell is no number."""
    try:
        [float(cell) for cell in cells]
    except ValueError:
        return True
    return False
