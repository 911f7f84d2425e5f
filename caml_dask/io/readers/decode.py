"""DECODE: one array a property in HDF5; positions in pixels or nm, as its metadata say; z in nm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from caml_dask.errors import InputError
from caml_dask.io.readers import apart, hdf5
from caml_dask.io.readers.arrays import ArrayColumn, ArrayTable, Part, array_table, column
from caml_dask.io.readers.reader import Reader
from caml_dask.settings import ColumnMap

_SPLIT = {"xyz": "{}", "xyz_sig": "{}_sig", "xyz_cr": "{}_cr"}


def begins(path: Path, head: bytes) -> bool:
    """Whether an HDF5 file holds data/xyz."""
    return hdf5.is_hdf5(head) and "xyz" in hdf5.names_in(path, "data")


def opens(path: Path, head: bytes, columns: ColumnMap, settle: bool) -> ArrayTable:
    """Open a file of emitters.

    Raises
    ------
    InputError : no localizations, or pixels of a size that the file does not say.
    """
    return apart.call(path, _opens, path, columns)


def _opens(path: Path, columns: ColumnMap) -> ArrayTable:
    """`opens` in another process."""
    with hdf5.opened(path) as file:
        arrays = hdf5.vectors(file, "data")
        xyz = arrays.get("xyz")
        if xyz is None or xyz.ndim != 2 or xyz.shape[1] != 3:
            raise InputError("its data/xyz has no three columns", path)
        rows = int(xyz.shape[0])
        arrays = {
            name: a for name, a in arrays.items() if hdf5.length(a) == rows and (name not in _SPLIT or a.ndim == 2)
        }
        hdf5.refuse_hollow(path, list(arrays.values()))
        factors = None if columns.x is not None else _nm_per_unit(path, file, columns)
        widths = {name: a.shape[1] if a.ndim == 2 and a.shape[1] > 1 else 0 for name, a in arrays.items()}
    own = [c for name, width in widths.items() for c in _own(name, width)]
    canonical = [] if factors is None else _canonical(widths, factors)
    places = {name: f"data/{name}" for name in widths}
    return array_table(path, rows, own, canonical, hdf5.Hdf5Blocks(path, rows, places), columns)


def _own(name: str, width: int) -> list[ArrayColumn]:
    if not width:
        return [column(name, name)]
    if name in _SPLIT and width == 3:
        return [column(_SPLIT[name].format(axis), name, component=i) for i, axis in enumerate("xyz")]
    return [column(f"{name}_{i + 1}", name, component=i) for i in range(width)]


def _canonical(widths: dict[str, int], factors: tuple[float, float]) -> list[ArrayColumn]:
    named = {"frame": "frame_ix", "photons": "phot", "background_photons": "bg"}
    found = [column(f"{axis}_nm", "xyz", factor, i) for i, (axis, factor) in enumerate(zip("xyz", (*factors, 1.0)))]
    found += [column(name, source) for name, source in named.items() if source in widths]
    if widths.get("xyz_sig") == 3:
        lateral = tuple(Part("xyz_sig", factor, i) for i, factor in enumerate(factors))
        found += [ArrayColumn("uncertainty_nm", lateral), column("uncertainty_z_nm", "xyz_sig", component=2)]
    return found


def _nm_per_unit(path: Path, file: Any, columns: ColumnMap) -> tuple[float, float]:
    """What turns x and y into nm."""
    hdf5.refuse_damaged_heaps(path)
    about = file["meta"].attrs if "meta" in file else {}
    unit, size = columns.unit or about.get("xy_unit"), about.get("px_size")
    unit = unit.decode(errors="replace") if isinstance(unit, bytes) else unit
    if unit == "nm":
        return 1.0, 1.0
    if unit != "px":
        raise InputError(f"the unit of xyz is {unit!r}: say it with --columns unit=nm, or unit=px,pixel_nm=...", path)
    if columns.pixel_nm is not None:
        return columns.pixel_nm, columns.pixel_nm
    sizes = np.asarray(size, np.float64).ravel() if isinstance(size, np.ndarray | list) else np.empty(0)
    if sizes.shape != (2,) or not (np.isfinite(sizes).all() and (sizes > 0).all()):
        raise InputError("x and y are in pixels and its metadata name no px_size: add --columns pixel_nm=100", path)
    return float(sizes[0]), float(sizes[1])


READER = Reader(
    name="DECODE HDF5",
    endings=(".h5",),
    recognized="HDF5 with `data/xyz`",
    reads="every array of `data` with a value for each emitter; precision is the mean of `xyz_sig` in x and y",
    units="`xy_unit` and `px_size` of its metadata; the two sides of a pixel may differ; z in nm",
    export="`emitter.save('emitters.h5')` in DECODE",
    example="emitters.h5",
    begins=begins,
    opens=opens,
    from_folders=(".h5",),
)
