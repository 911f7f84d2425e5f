"""Simulated fields as tables that `caml-dask run` reads, with their truth in columns of their own."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from caml_dask.atomic import publish
from caml_dask.errors import OutputError
from caml_dask.simulate import Field

AXES = ("x", "y", "z")
DECIMALS = 3  # of a CSV: a thousandth of a nm


def write_field(field: Field, path: Path, about: dict[str, str] | None = None) -> None:
    """Write a field as ThunderSTORM CSV or, where `path` ends so, as Parquet.

    The truth stands in `true_cluster` (-1 for none) and `true_class` (0 non-clustered, 1 clustered, 2 fiber).

    Parameters
    ----------
    field : what to write; a CSV rounds its coordinates to 0.001 nm.
    path : the file; its folder is made.
    about : what the Parquet file's metadata say of its making.

    Raises
    ------
    OutputError : its folder cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path.parent} cannot be made ({error.strerror}): name another folder with --out") from None
    truth = {"true_cluster": field.truth, "true_class": field.classes}
    points = zip(AXES, field.points_nm.T, strict=False)
    if path.suffix == ".parquet":
        columns = {f"{axis}_nm": column for axis, column in points}
        table = pa.table(columns | truth).replace_schema_metadata(about)
        publish(path, lambda working: pq.write_table(table, working))
    else:
        columns = {
            f"{axis} [nm]": column.round(DECIMALS) for axis, column in zip(AXES, field.points_nm.T, strict=False)
        }
        publish(path, lambda working: pa_csv.write_csv(pa.table(columns | truth), working))
