"""ThunderSTORM tables: header cells ``label [unit]``, separated by commas (.csv) or tabs (.xls, .txt).

The unit of every column is its header's to say: the plug-in writes nm, um or px as the user set it. What its
files need of a reader of delimited text (a header quoted as one cell, CRLF, NaN and Infinity, id and frame as
floats) is done there, for all.
"""

from __future__ import annotations

from caml_dask.io.readers.headers import Header, label_and_unit
from caml_dask.io.readers.reader import Reader


def recognises(header: Header) -> bool:
    """Whether these are ThunderSTORM's columns: x and y with their units in brackets, beside id or frame."""
    with_unit = {label_and_unit(name)[0] for name in header.names if "[" in name}
    return {"x", "y"} <= with_unit and bool({"id", "frame"} & set(header.names))


READER = Reader(
    name="ThunderSTORM",
    endings=(".csv", ".xls"),
    recognized="columns such as `x [nm]` and `y [nm]` beside `id` or `frame`",
    reads="all columns",
    units="from the header: nm, um, or px with `--columns pixel_nm=...`",
    export="Plugins, ThunderSTORM, Import/export, Export results, CSV (comma separated)",
    example="cell.csv",
    columns=recognises,
    from_folders=(".csv", ".xls"),
)
