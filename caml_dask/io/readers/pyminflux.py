"""Tables that pyMINFLUX exports as CSV: a valid localization a row, in nm, with the trace it belongs to."""

from __future__ import annotations

from caml_dask.io.readers.headers import Header
from caml_dask.io.readers.reader import Reader


def recognises(header: Header) -> bool:
    """Whether these are columns of pyMINFLUX: trace and time, positions, and what MINFLUX measures."""
    return {"tid", "tim", "x", "y", "efo", "cfr", "eco", "dcr"} <= set(header.names)


READER = Reader(
    name="pyMINFLUX csv",
    endings=(".csv",),
    recognized="columns `tid`, `tim`, `x`, `y`, `efo`, `cfr`, `eco` and `dcr`",
    reads="all columns; `tid` is the trace; `fluo` separates images",
    units="nm, which pyMINFLUX always writes",
    export="pyMINFLUX, File, Export data, as .csv",
    example="cell.csv",
    columns=recognises,
    renamed={"x": "x_nm", "y": "y_nm", "z": "z_nm"},
    channel="fluo",
    from_folders=(".csv",),
)
