"""The result files of an image that a report reads; files that differ from what their run recorded are rejected."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from caml_dask.atomic import fingerprint
from caml_dask.errors import StoreError
from caml_dask.io.run_directory import Run
from caml_dask.pipeline import LAST
from caml_dask.report.measures import COLUMNS, values_of
from caml_dask.schema import NO_REGION
from caml_dask.stages.drift.correct import ESTIMATE

_DRIFT = "drift.parquet"


def read_clusters(
    runs: dict[Path, Run], folder: Path, summary: Mapping[str, Any]
) -> dict[str, npt.NDArray[np.float64]]:
    """Columns of an image's clusters: name to (c,) float64, NaN for null; its files are those of the run's record.

    Parameters
    ----------
    runs : the runs opened so far, by directory; the image's is added.
    folder : the image's results, in its run's directory.
    summary : its part of summary.json.

    Raises
    ------
    CamlError : files are missing or altered, or contradict the summary.
    """
    if folder.parent not in runs:
        runs[folder.parent] = Run.open(folder.parent)
    for name in ("clusters.parquet", "overview.png", *([_DRIFT] if summary.get("drift") else [])):
        _refuse_altered(runs[folder.parent], folder, name)
    path = folder / "clusters.parquet"
    try:
        with path.open("rb") as file:  # of a relative name with a colon Arrow would make a URI
            names = pq.read_schema(file).names
            table = pq.read_table(file, columns=[n for n in names if n in (*COLUMNS, "region_id")])
        if "region_id" in names:  # only what lies in a region of interest counts
            table = table.filter(pc.not_equal(table["region_id"], NO_REGION)).drop_columns("region_id")
    except (pa.ArrowException, OSError) as error:
        raise StoreError(f"{path} cannot be read ({error})") from None
    clusters = {n: np.asarray(table[n].to_numpy(zero_copy_only=False), dtype=np.float64) for n in table.column_names}
    _refuse_contradiction(folder, summary, clusters)
    return clusters


def read_drift(folder: Path) -> pa.Table:
    """The drift, in each frame, of an image whose clusters were read; columns as of ``schema.DRIFT``.

    Raises
    ------
    StoreError : the file has become unreadable since.
    """
    path = folder / _DRIFT
    try:
        with path.open("rb") as file:
            return pq.read_table(file)
    except (pa.ArrowException, OSError) as error:
        raise StoreError(f"{path} cannot be read ({error})") from None


def _refuse_altered(run: Run, folder: Path, name: str) -> None:
    image = next((i for i in run.images if i.image_id == folder.name), None)
    stages = [ESTIMATE.name, LAST.name] if name == _DRIFT else [LAST.name]
    records = [] if image is None else [run.store(image).done(stage, 0) for stage in stages]
    recorded = {file: stated for record in records if record for file, stated in record["files"].items()}
    path = folder / name
    found = fingerprint(path)
    if found is None:
        raise StoreError(f"{path} is missing")
    if found != recorded.get(f"{folder.name}/{name}"):
        raise StoreError(f"{path} is not the file that its run wrote")


def _refuse_contradiction(
    folder: Path, summary: Mapping[str, Any], clusters: Mapping[str, npt.NDArray[np.float64]]
) -> None:
    try:
        values = values_of(summary, clusters)
        said = {name: summary[name] for name in ("clusters_per_um2", "percent_clustered")}
        said |= {name: (summary["medians"][name] or {}).get("median") for name in clusters}
    except (KeyError, TypeError) as error:
        raise StoreError(f"the entry of {folder.name} in summary.json is damaged ({error!r})") from None
    for name, value in values.items():
        same = math.isnan(value) if said[name] is None else math.isclose(value, said[name], rel_tol=1e-9)
        if not same:
            raise StoreError(
                f"summary.json gives {said[name]} as {name} of {folder.name}, but its clusters give {value}"
            )
