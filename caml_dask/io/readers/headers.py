"""Which columns of a table are the coordinates, and in which unit: told by the header or by a column map.

Everything becomes nm here. A unit that is neither in the header nor in the map is refused, never guessed.

Our own tables are read back as they are, whatever columns of the original file they carry: `COORDINATES` of
:mod:`caml_dask.schema` win over other columns labelled x, y or z.

1. A table with loc_id, x_nm and y_nm is one that we wrote. Its coordinates are x_nm, y_nm and, where it has one, z_nm.
2. In any other table with x_nm and y_nm these two are the coordinates, and z_nm is, where it has one; without it z is
   found as in a table of any program.
3. Columns that a map names are taken before all of these.

What an earlier analysis found, such as label and cluster_id, is carried along as input_label and input_cluster_id
(:func:`name_own_columns`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from caml_dask.errors import InputError
from caml_dask.schema import COORDINATES, POINTS
from caml_dask.settings import NM_PER_UNIT, ColumnMap

PIXEL = "px"

_SPELLINGS = {
    "nm": ("nm", "nanometer", "nanometers", "nanometre", "nanometres"),
    "um": ("um", "µm", "micron", "microns", "micrometer", "micrometers", "micrometre", "micrometres"),
    "mm": ("mm", "millimeter", "millimeters", "millimetre", "millimetres"),
    "m": ("m", "meter", "meters", "metre", "metres"),
    PIXEL: ("px", "pix", "pixel", "pixels"),
}
LABELS = {
    "x": ("x",),
    "y": ("y",),
    "z": ("z",),
    "frame": ("frame", "frame number", "first frame", "frame_ix"),
    "photons": ("photons", "intensity", "phot", "number photons"),
    "background_photons": ("background", "bg", "offset"),
    "uncertainty_nm": ("uncertainty", "uncertainty_xy", "precision", "locprec", "localization precision"),
    "uncertainty_z_nm": ("uncertainty_z", "precision z", "locprecz", "z precision"),
}
"""What ThunderSTORM, ONI Nanoimager, SMAP, Picasso and DECODE call coordinates and carried columns, in lower case."""
IN_PHOTONS = ("photons", "phot", "number photons")
"""Those that say photons without a unit."""
_UNITS = {spelling: unit for unit, spellings in _SPELLINGS.items() for spelling in spellings}
_BRACKETED = re.compile(r"(?P<label>.*?)\s*[\[(]\s*(?P<unit>[^\])]*?)\s*[\])]")
# A bare m is left out: x_m is as likely a mean as metres.
_SUFFIXED = re.compile(r"(?P<label>.+?)[_\s](?P<unit>nm|um|µm|mm|px|pix|pixels?)", re.IGNORECASE)
_JOINED = re.compile(r"(?P<label>[xyz])(?P<unit>nm|um|µm)", re.IGNORECASE)


@dataclass(frozen=True)
class Axis:
    """One coordinate: the position of its column in the file, and what turns its values into nm."""

    column: int
    nm_per_unit: float


@dataclass(frozen=True)
class Header:
    """The names of a file's columns.

    Parameters
    ----------
    path : the file, for the errors.
    names : one a column, in file order; "" where a column has none.
    numbered : the file has no header, or a commented one: a map may name columns by number, from 1.
    converted : the reader made x_nm, y_nm and z_nm from the file's coordinates, which are not among the columns.
    """

    path: Path
    names: tuple[str, ...]
    numbered: bool = False
    converted: bool = False

    def find(self, name: str) -> int:
        """Position of the column a map calls `name`.

        Raises
        ------
        InputError : there is none, or more than one.
        """
        if self.names.count(name) > 1:
            raise InputError(f"{self.names.count(name)} columns are called {name!r}: rename all but one", self.path)
        if name in self.names:
            return self.names.index(name)
        if self.numbered and name.isascii() and name.isdigit() and 1 <= int(name) <= len(self.names):
            return int(name) - 1
        raise InputError(f"no column {name!r}; {self.listing()}", self.path)

    @property
    def is_ours(self) -> bool:
        """Whether the table is one that we wrote: rule 1 of this module."""
        return self._canonical(0) is not None and self._canonical(1) is not None and self.names.count("loc_id") == 1

    def canonical(self, axis: int) -> int | None:
        """Position of the column with our own name of the coordinate `axis`, 0 to 2.

        None where there is none, or more than one, or where x_nm and y_nm are not both there (rule 2 of this module).
        """
        if self._canonical(0) is None or self._canonical(1) is None:
            return None
        return self._canonical(axis)

    def _canonical(self, axis: int) -> int | None:
        name = COORDINATES[axis]
        return self.names.index(name) if self.names.count(name) == 1 else None

    def listing(self) -> str:
        """The columns found, as the errors give them."""
        if self.numbered:
            return f"it has no header and {len(self.names)} columns, which go by their numbers, from 1"
        return f"it has the columns {', '.join(repr(n) for n in self.names)}"


def label_and_unit(name: str) -> tuple[str, str | None]:
    """Split a header cell such as ``x [nm]``, ``X (µm)``, ``x_px`` or ``xnm`` into its label and unit.

    Returns
    -------
    label, unit : the label in lower case; the unit as in `NM_PER_UNIT` or "px", None where none is sure.
    """
    # The Greek letter mu and the micro sign look alike; files hold both.
    plain = name.strip().replace("\u03bc", "\u00b5")
    for pattern in (_BRACKETED, _SUFFIXED, _JOINED):
        match = pattern.fullmatch(plain)
        if match:
            return match["label"].strip().lower(), _UNITS.get(match["unit"].lower())
    return plain.lower(), None


def find_axes(header: Header, columns: ColumnMap) -> tuple[Axis, ...]:
    """The coordinate columns, two or three of them.

    A map that names x and y names all there is: without z the table is 2D, whatever columns it has.

    Raises
    ------
    InputError : a column is missing or not unique, or a unit is not known; the message says what to add.
    """
    if columns.x is not None and columns.y is not None:
        wanted = (columns.x, columns.y) if columns.z is None else (columns.x, columns.y, columns.z)
        found = [header.find(name) for name in wanted]
    else:
        found = _recognised(header)
    if len(set(found)) < len(found):
        raise InputError("one column cannot hold two coordinates: name different columns", header.path)
    factors = [_nm_per_unit(header, found, axis, columns) for axis in range(len(found))]
    return tuple(Axis(column, factor) for column, factor in zip(found, factors, strict=True))


def name_own_columns(names: Sequence[str]) -> tuple[str, ...]:
    """Names the file's columns get in our tables: unique, and none of those in `schema.POINTS`."""
    ours = {column.name for column in POINTS}
    given: dict[str, None] = {}
    for number, name in enumerate(names, start=1):
        base = f"input_{name}" if name in ours else name or f"column_{number}"
        unique, count = base, 1
        while unique in given:
            count += 1
            unique = f"{base}_{count}"
        given[unique] = None
    return tuple(given)


def _recognised(header: Header) -> list[int]:
    """Positions of x, y and, where there is one, z, by our own names of them or else by their labels."""
    found = [_named_by_us(header, axis) for axis in range(3)]
    if found[0] is None or found[1] is None:
        such = "x=1,y=2,unit=nm" if header.numbered else "x=...,y=...,unit=nm"
        raise InputError(
            f"no x and y column recognized; {header.listing()}. Say which they are with --columns {such}",
            header.path,
        )
    return [position for position in found if position is not None]


def _named_by_us(header: Header, axis: int) -> int | None:
    """The column of a coordinate, by rules 1 and 2 of this module."""
    ours = header.canonical(axis)
    return ours if ours is not None or header.is_ours else _labelled(header, "xyz"[axis])


def _labelled(header: Header, axis: str) -> int | None:
    """The one column of "x", "y" or "z"; lengths win over pixels, and those over columns without a unit."""
    split = {i: label_and_unit(name) for i, name in enumerate(header.names)}
    units = {i: unit for i, (label, unit) in split.items() if label in LABELS[axis]}
    lengths = [i for i, unit in units.items() if unit in NM_PER_UNIT]
    pixels = [i for i, unit in units.items() if unit == PIXEL]
    best = lengths or pixels or list(units)
    if len(best) > 1:
        which = ", ".join(repr(header.names[i]) for i in best)
        if len({header.names[i] for i in best}) == 1:
            raise InputError(
                f"{len(best)} columns are called {header.names[best[0]]!r}: rename all but one", header.path
            )
        raise InputError(f"{which} may all be {axis}: name one with --columns x=...,y=...", header.path)
    return best[0] if best else None


def _nm_per_unit(header: Header, found: list[int], axis: int, columns: ColumnMap) -> float:
    """What turns the values of the coordinate `found[axis]` into nm."""
    name = header.names[found[axis]]
    in_header = label_and_unit(name)[1]
    unit = in_header or _canonical(columns.unit)
    if unit is None:
        raise InputError(_no_unit(header, found, axis), header.path)
    # z may differ: x and y in pixels beside z in nm is common.
    if axis < 2 and columns.unit is not None and unit != _canonical(columns.unit):
        raise InputError(
            f"the header of {name!r} says {in_header} and --columns says unit={columns.unit}: "
            "leave unit out, or correct the header",
            header.path,
        )
    if unit != PIXEL:
        return NM_PER_UNIT[unit]
    if columns.pixel_nm is None:
        raise InputError(
            f"{name!r} is in pixels: say how large one is, such as --columns {_mapped(columns)}pixel_nm=160",
            header.path,
        )
    return columns.pixel_nm


def _canonical(unit: str | None) -> str | None:
    return None if unit is None else _UNITS[unit]


def _mapped(columns: ColumnMap) -> str:
    """The coordinates a map already names, as they stand on the command line."""
    return "".join(f"{key}={value}," for key in "xyz" if (value := getattr(columns, key)) is not None)


def _no_unit(header: Header, found: list[int], axis: int) -> str:
    names = [str(i + 1) if header.numbered else header.names[i] for i in found]
    option = ",".join(f"{key}={name}" for key, name in zip("xyz", names, strict=False))
    flat = ",".join(f"{key}={name}" for key, name in zip("xy", names, strict=False))
    message = (
        f"the unit of {names[axis]!r} is not known: say it with --columns {option},unit=nm "
        "(or um, mm, m, or px with pixel_nm=)"
    )
    return message if axis < 2 else f"{message}, or leave z out with --columns {flat}"
