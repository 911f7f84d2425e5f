"""Clusters as an Excel workbook, with a sheet that says what the columns mean and how the results came about."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from caml_dask.errors import UsageError
from caml_dask.io.exporters.exporter import Exportable, Exporter, Options, Writes
from caml_dask.schema import CLUSTERS, CLUSTERS_3D

_ENDING = "_clusters.xlsx"
MOST_ROWS = 1_048_575
"""Rows of a sheet of Excel below its header."""
_AT_A_TIME = 10_000


def _plan(image: Exportable, options: Options) -> Mapping[str, Writes]:
    return {_ENDING: lambda path: _write(image, path)}


def _write(image: Exportable, path: Path) -> None:
    """Write the workbook.

    Raises
    ------
    UsageError : more clusters than a sheet has rows.
    """
    from openpyxl import Workbook

    clusters = image.clusters()
    if len(clusters) > MOST_ROWS:
        raise UsageError(
            f"{image.image_id} has {len(clusters):,} clusters and a sheet of Excel {MOST_ROWS:,} rows: export it with "
            "--to clusters-csv"
        )
    book = Workbook(write_only=True)
    sheet = book.create_sheet("clusters")
    sheet.freeze_panes = "B2"
    sheet.append(clusters.column_names)
    for batch in clusters.to_batches(_AT_A_TIME):
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            sheet.append(row)
    about = book.create_sheet("about")
    meanings = {column.name: column.meaning for column in (*CLUSTERS_3D, *CLUSTERS)}
    for name in clusters.column_names:
        about.append([name, meanings.get(name, "")])
    about.append([])
    for item in image.provenance.items():
        about.append([_text(cell) for cell in item])
    with path.open("wb") as file:  # a file and not its name, whose ending decides otherwise
        book.save(file)


def _text(cell: str) -> str:
    """Text that is no formula; a workbook holds no control characters."""
    plain = "".join(character for character in cell if character.isprintable())
    return f"'{plain}" if plain.startswith("=") else plain


EXPORTER = Exporter(
    name="xlsx",
    title="Excel workbook of clusters",
    endings=(_ENDING,),
    writes="all rows and columns of `clusters.parquet`, numbers to 16 digits; a second sheet says what the columns "
    "mean and how they came about",
    units="in the names of the columns: `area_nm2`",
    opens="Excel, LibreOffice; up to 1,048,575 clusters",
    plan=_plan,
    extra="export",
)
