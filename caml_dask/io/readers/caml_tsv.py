"""The tab-separated tables of the CAML scripts (Williamson et al. 2020).

Their columns are x (nm), y (nm), Cluster UID, Class Label and Channel UID. A file may hold several
channels; each is an image of its own.
"""

from __future__ import annotations

from caml_dask.io.readers.headers import Header

NAME = "CAML tsv"
CHANNEL: str | None = "Channel UID"


def recognises(header: Header) -> bool:
    """Whether these are the columns of a CAML table."""
    return {"x (nm)", "y (nm)", "Channel UID"} <= set(header.names)
