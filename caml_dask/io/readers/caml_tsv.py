"""The tab-separated tables of the CAML scripts (Williamson et al. 2020).

Their columns are x (nm), y (nm), Cluster UID, Class Label and Channel UID. A file may hold several
channels; each is an image of its own.
"""

from __future__ import annotations

from caml_dask.io.readers.headers import Header
from caml_dask.io.readers.reader import Reader


def recognises(header: Header) -> bool:
    """Whether these are the columns of a CAML table."""
    return {"x (nm)", "y (nm)", "Channel UID"} <= set(header.names)


READER = Reader(
    name="CAML tsv",
    endings=(".tsv",),
    recognized="the columns `x (nm)`, `y (nm)` and `Channel UID`",
    reads="all columns; `Channel UID` separates images",
    units="from the header",
    export="the CAML scripts write it",
    example="cell.tsv",
    columns=recognises,
    channel="Channel UID",
    from_folders=(".tsv",),
)
