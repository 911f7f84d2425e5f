"""Clusters as CSV."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from caml_dask.io.exporters.csv_files import write_csv
from caml_dask.io.exporters.exporter import Exportable, Exporter, Options, Writes

_ENDING = "_clusters.csv"


def _plan(image: Exportable, options: Options) -> Mapping[str, Writes]:
    def write(path: Path) -> None:
        clusters = image.clusters()
        write_csv(path, clusters.schema, [clusters])

    return {_ENDING: write}


EXPORTER = Exporter(
    name="clusters-csv",
    title="CSV of clusters",
    endings=(_ENDING,),
    writes="all rows and columns of `clusters.parquet`, numbers in full",
    units="in the names of the columns: `area_nm2`",
    opens="pandas, R, spreadsheets",
    plan=_plan,
)
