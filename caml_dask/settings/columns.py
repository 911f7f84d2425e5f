"""Which columns of a table are its coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from caml_dask.errors import UsageError
from caml_dask.settings.units import NM_PER_UNIT


@dataclass(frozen=True)
class ColumnMap:
    """Which columns of a table are the coordinates, and in which unit.

    Parameters
    ----------
    x, y, z : str or None
        Names of the coordinate columns; None lets the reader find them by their headers.
    unit : str or None
        "nm", "um", "mm", "m" or "px"; None takes the unit from the header, and rejects a header without one.
    pixel_nm : float or None
        Size of a pixel in nm; needed with "px".
    channel : str or None
        Name of the column that holds the channel; each channel becomes an image.

    Raises
    ------
    UsageError
        The map names too few coordinates, an unknown unit, "px" without the size of a pixel, or a size that is not
        positive.
    """

    x: str | None = None
    y: str | None = None
    z: str | None = None
    unit: str | None = None
    pixel_nm: float | None = None
    channel: str | None = None

    def __post_init__(self) -> None:
        if (self.x is None) != (self.y is None):
            raise UsageError("--columns names only one of x and y: name both, such as x=X,y=Y,unit=nm")
        if self.z is not None and self.x is None:
            raise UsageError("--columns names z but not x and y: name all three")
        if self.unit is not None and self.unit not in (*NM_PER_UNIT, "px"):
            raise UsageError(f"unknown unit {self.unit!r}: use one of {', '.join(NM_PER_UNIT)}, or px with pixel_nm=")
        if self.unit == "px" and self.pixel_nm is None:
            raise UsageError("unit=px needs the size of a pixel: add pixel_nm=, such as pixel_nm=160")
        if self.pixel_nm is not None and not 0 < self.pixel_nm < float("inf"):
            raise UsageError(f"pixel_nm={self.pixel_nm} is not a size: give a positive number of nm")

    @classmethod
    def of(cls, columns: Any) -> ColumnMap:
        """Take a column map in any form that the interface accepts.

        Parameters
        ----------
        columns : ColumnMap or str or None
            A map, its text (:meth:`parse`), or None, which reads the headers.

        Returns
        -------
        ColumnMap
            The map; an empty one for None.

        Raises
        ------
        UsageError
            The value is of another type, or its text cannot be used.
        """
        if isinstance(columns, str):
            return cls.parse(columns)
        if columns is not None and not isinstance(columns, cls):
            raise UsageError(
                f"columns={columns!r} is of type {type(columns).__name__}: give a text such as "
                "'x=X,y=Y,unit=um', or a ColumnMap"
            )
        return columns or cls()

    @classmethod
    def parse(cls, text: str) -> ColumnMap:
        """Read ``x=...,y=...,z=...,unit=...,pixel_nm=...,channel=...`` as the command line takes it.

        Parameters
        ----------
        text : str
            Pairs of key and value, separated by commas; each key at most once.

        Returns
        -------
        ColumnMap
            The map that the text describes.

        Raises
        ------
        UsageError
            A key is unknown or repeated, or the combination names no unit or too few coordinates.
        """
        found: dict[str, Any] = {}
        for part in text.split(","):
            key, equals, value = (s.strip() for s in part.partition("="))
            if not equals or not value or key not in cls.__dataclass_fields__ or key in found:
                known = ", ".join(f"{k}=" for k in cls.__dataclass_fields__)
                raise UsageError(f"--columns {text!r}: cannot use {part!r}; known, once each: {known}")
            found[key] = value
        if "pixel_nm" in found:
            try:
                found["pixel_nm"] = float(found["pixel_nm"])
            except ValueError:
                raise UsageError(f"pixel_nm={found['pixel_nm']!r} is not a number of nm") from None
        return cls(**found)
