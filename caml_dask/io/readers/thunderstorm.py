"""ThunderSTORM tables: header cells ``label [unit]``, separated by commas (.csv) or tabs (.xls, .txt).

The unit of every column is its header's to say: the plug-in writes nm, um or px as the user set it. What its
files need of a reader of delimited text (a header quoted as one cell, CRLF, NaN and Infinity, id and frame as
floats) is done there, for all.
"""

from __future__ import annotations

from caml_dask.io.readers.headers import Header, label_and_unit

NAME = "ThunderSTORM"
CHANNEL: str | None = None


def recognises(header: Header) -> bool:
    """Whether these are ThunderSTORM's columns: x and y with their units in brackets, beside id or frame."""
    with_unit = {label_and_unit(name)[0] for name in header.names if "[" in name}
    return {"x", "y"} <= with_unit and bool({"id", "frame"} & set(header.names))
