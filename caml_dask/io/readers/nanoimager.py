"""ONI Nanoimager tables: Channel, Frame, X (nm), Y (nm), Z (nm), and more; each channel is an image."""

from __future__ import annotations

from caml_dask.io.readers.headers import Header
from caml_dask.io.readers.reader import Reader


def recognises(header: Header) -> bool:
    """Whether these are the columns a Nanoimager writes first."""
    return header.names[:4] == ("Channel", "Frame", "X (nm)", "Y (nm)")


READER = Reader(
    name="ONI Nanoimager",
    endings=(".csv",),
    recognized="the first columns `Channel`, `Frame`, `X (nm)`, `Y (nm)`",
    reads="all columns; `Channel` separates images; a z of 0 throughout is left out",
    units="from the header",
    export="NimOS or CODI: export localizations as CSV",
    example="cell.csv",
    columns=recognises,
    channel="Channel",
    from_folders=(".csv",),
)
