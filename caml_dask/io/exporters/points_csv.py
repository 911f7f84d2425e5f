"""Points as CSV: every column of points.parquet under its own name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from caml_dask.io.exporters.columns import note_left_out
from caml_dask.io.exporters.csv_files import is_scalar, write_csv
from caml_dask.io.exporters.exporter import Exportable, Exporter, Options, Writes

_ENDING = "_points.csv"


def _plan(image: Exportable, options: Options) -> Mapping[str, Writes]:
    kept = [field.name for field in image.schema if is_scalar(field.type)]
    left_out = [name for name in image.schema.names if name not in kept]
    note_left_out(image.image_id, EXPORTER.title, left_out, "CSV holds no lists and no bytes")
    schema = pa.schema([image.schema.field(name) for name in kept])

    def write(path: Path) -> None:
        write_csv(path, schema, image.points(kept))

    return {_ENDING: write}


EXPORTER = Exporter(
    name="csv",
    title="CSV of points",
    endings=(_ENDING,),
    writes="all rows and columns of `points.parquet`, numbers in full; `caml-dask run` reads it back",
    units="in the names of the columns: `x_nm`",
    opens="pandas, R, spreadsheets",
    plan=_plan,
)
