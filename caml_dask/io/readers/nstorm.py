"""Nikon N-STORM molecule lists: text separated by tabs, in nm, with positions before and after correction of drift.

The corrected Xc, Yc and Zc are read. X, Y, Z, and Xw, Yw, Zw (warped between channels) are kept as columns.
"""

from __future__ import annotations

from caml_dask.io.readers.headers import Header
from caml_dask.io.readers.reader import Reader


def recognises(header: Header) -> bool:
    """Whether these are columns of N-STORM: raw and corrected positions beside frame and length."""
    return {"X", "Y", "Xc", "Yc", "Frame", "Length"} <= set(header.names)


READER = Reader(
    name="Nikon N-STORM",
    endings=(".txt",),
    recognized="columns `X`, `Y`, `Xc`, `Yc`, `Frame` and `Length`",
    reads="all columns; positions are the drift-corrected `Xc`, `Yc`, `Zc`; `Channel Name` separates images",
    units="nm, which N-STORM always writes",
    export="NIS-Elements, N-STORM: export the molecule list as text",
    example="cell.txt",
    columns=recognises,
    renamed={"Xc": "x_nm", "Yc": "y_nm", "Zc": "z_nm", "Lateral Localization Accuracy": "uncertainty_nm"},
    channel="Channel Name",
)
