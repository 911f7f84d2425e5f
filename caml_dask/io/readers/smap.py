"""SMAP: a MATLAB file whose saveloc.loc has a vector a property, in nm where its name says so."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from caml_dask.errors import InputError
from caml_dask.io.readers import apart, hdf5, mat5, matlab
from caml_dask.io.readers.arrays import Array, ArrayColumn, ArrayTable, array_table, column
from caml_dask.io.readers.reader import Reader
from caml_dask.settings import ColumnMap

_CANONICAL = {
    "x_nm": "xnm",
    "y_nm": "ynm",
    "z_nm": "znm",
    "frame": "frame",
    "photons": "phot",
    "background_photons": "bg",
    "uncertainty_nm": "locprecnm",
    "uncertainty_z_nm": "locprecznm",
}
_PLACE = "saveloc/loc"


def begins(path: Path, head: bytes) -> bool:
    """Whether a MATLAB file holds saveloc."""
    if matlab.is_version_5(head):
        return "saveloc" in mat5.names_in(path)
    return hdf5.is_hdf5(head) and "loc" in hdf5.names_in(path, "saveloc")


def opens(path: Path, head: bytes, columns: ColumnMap, settle: bool) -> ArrayTable:
    """Open a file of localizations.

    Raises
    ------
    InputError : it is damaged, or holds no xnm and ynm.
    """
    if matlab.is_version_5(head):
        shapes = {name: array.shape for name, array in loc_of(path).items()}
        rows = _rows(path, shapes.get("xnm"), shapes.get("ynm"))
        names = [name for name, shape in shapes.items() if shape == (rows,)]
        return array_table(path, rows, _own(names), _canonical(names), SmapBlocks(path, rows), columns)
    return apart.call(path, _opens, path, columns)


def _opens(path: Path, columns: ColumnMap) -> ArrayTable:
    """`opens` of version 7.3, in another process."""
    with hdf5.opened(path) as file:
        arrays = hdf5.vectors(file, _PLACE)
        lengths = {name: (hdf5.length(a),) for name, a in arrays.items() if a.ndim == 1 or 1 in a.shape}
        rows = _rows(path, lengths.get("xnm"), lengths.get("ynm"))
        names = [name for name, length in lengths.items() if length == (rows,)]
        hdf5.refuse_hollow(path, [arrays[name] for name in names])
    places = {name: f"{_PLACE}/{name}" for name in names}
    return array_table(path, rows, _own(names), _canonical(names), hdf5.Hdf5Blocks(path, rows, places), columns)


def loc_of(path: Path) -> dict[str, Array]:
    """The vectors of saveloc.loc in a file of a version before 7.3."""
    saved = mat5.load(path, ["saveloc"]).get("saveloc")
    loc = saved.get("loc") if isinstance(saved, dict) else None
    return matlab.columns_of(loc) if isinstance(loc, dict) else {}


class SmapBlocks(matlab.MatlabBlocks):
    """Blocks of rows of vectors of saveloc.loc."""

    def arrays(self, sources: Iterable[str]) -> dict[str, Array]:
        """The vectors."""
        return loc_of(self.path)


def _rows(path: Path, x: tuple[int, ...] | None, y: tuple[int, ...] | None) -> int:
    if x is None or x != y:
        raise InputError("its saveloc.loc has no xnm and ynm of one length: save it again with SMAP", path)
    return x[0]


def _own(names: Iterable[str]) -> list[ArrayColumn]:
    return [column(name, name) for name in names]


def _canonical(names: list[str]) -> list[ArrayColumn]:
    return [column(name, field) for name, field in _CANONICAL.items() if field in names]


READER = Reader(
    name="SMAP",
    endings=("_sml.mat",),
    recognized="a MATLAB file with `saveloc.loc`",
    reads="every vector of `saveloc.loc`; `channel` separates images",
    units="nm, as the names say (`xnm`, `ynm`, `znm`, `locprecnm`)",
    export="File, save `_sml.mat` in SMAP",
    example="cell_sml.mat",
    begins=begins,
    opens=opens,
    channel="channel",
    from_folders=("_sml.mat",),
)
