"""ONI Nanoimager tables: Channel, Frame, X (nm), Y (nm), Z (nm), and more; each channel is an image."""

from __future__ import annotations

from caml_dask.io.readers.headers import Header

NAME = "ONI Nanoimager"
CHANNEL: str | None = "Channel"


def recognises(header: Header) -> bool:
    """Whether these are the columns a Nanoimager writes first."""
    return header.names[:4] == ("Channel", "Frame", "X (nm)", "Y (nm)")
