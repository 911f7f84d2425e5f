"""Delimited text of any program, whose header or column map says what the columns are."""

from __future__ import annotations

from caml_dask.io.readers.reader import Reader

READER = Reader(
    name="delimited text",
    endings=(".csv", ".tsv", ".txt"),
    recognized="text with rows of one width, of no program named above",
    reads="all columns; comma, semicolon, tab or blanks; decimal comma; with or without a header",
    units="from headers such as `x [nm]`, `X (um)`, `y_nm`; otherwise say them with `--columns`",
    export="save a table as CSV from any program",
    example="table.csv --columns x=X,y=Y,unit=um",
    from_folders=(".csv", ".tsv"),
)
