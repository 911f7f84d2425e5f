"""MINFLUX data of Imspector, as .npy or .mat: positions in m, several iterations a localization.

Of each valid localization the last iteration is read, as pyMINFLUX does by default; one without a position there is
left out. Older files are nested, with all iterations in a row; newer ones are flat, with an iteration a row.
tid, the trace of one molecule, is kept. Nothing corrects z for the refractive index.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from caml_dask.errors import InputError
from caml_dask.io.readers import mat5, matlab, npy
from caml_dask.io.readers.arrays import BLOCK_ROWS, Array, ArrayTable, array_table, column, is_numerical
from caml_dask.io.readers.reader import Reader
from caml_dask.settings import NM_PER_UNIT, ColumnMap

_NEEDED = {"itr", "vld", "tid"}
# Positions are read as coordinates; what remains of three numbers an iteration says nothing of the molecule.
_LEFT_OUT = {"vld", "lnc", "ext", "loc"}


def begins(path: Path, head: bytes) -> bool:
    """Whether an array, or the variables of a MATLAB file, have iterations, validity and traces."""
    if npy.begins(path, head):
        return set(npy.array_in(path).dtype.names or ()) >= _NEEDED
    return matlab.is_version_5(head) and set(mat5.names_in(path)) >= _NEEDED


def opens(path: Path, head: bytes, columns: ColumnMap, settle: bool) -> ArrayTable:
    """Open the valid localizations of a file.

    Raises
    ------
    InputError : it is damaged, has no positions, or no valid localization.
    """
    raw: NpyRaw | MatRaw = NpyRaw(npy.array_in(path)) if npy.begins(path, head) else MatRaw(path)
    blocks = MinfluxBlocks(path, raw, _last_iteration(path, raw))
    rows, names = 0, dict[str, None]()
    for block in blocks.blocks():
        rows, names = rows + len(block["tid"]), dict.fromkeys(block)
    factor = NM_PER_UNIT["m"]
    canonical = [column(f"{axis}_nm", axis, factor) for axis in "xyz"]
    return array_table(path, rows, [column(name, name) for name in names], canonical, blocks, columns)


@dataclass(frozen=True)
class NpyRaw:
    """Blocks of rows as an array has them."""

    array: npy.NpyArray

    def __call__(self) -> Iterator[Mapping[str, Array]]:
        """Fields of successive blocks; those of a nested itr together in one array of records."""
        for block in self.array.blocks():
            yield {name: block[name] for name in block.dtype.names or ()}


@dataclass(frozen=True)
class MatRaw:
    """Blocks of rows as a MATLAB file has them; the file is read whole."""

    path: Path

    def __call__(self) -> Iterator[Mapping[str, Any]]:
        """Variables of successive blocks; of a nested itr its fields, under "itr"."""
        held = mat5.load(self.path)
        itr = held.get("itr")
        nested = (
            {name: value for name, value in itr.items() if isinstance(value, np.ndarray)}
            if isinstance(itr, dict)
            else {}
        )
        flat = {name: _column(value) for name, value in held.items() if isinstance(value, np.ndarray)}
        rows = len(flat.get("vld", ()))
        arrays = {name: value for name, value in flat.items() if len(value) == rows and is_numerical(value.dtype)}
        inner = {name: value for name, value in nested.items() if len(value) == rows and is_numerical(value.dtype)}
        for at in range(0, rows, BLOCK_ROWS):
            part = slice(at, at + BLOCK_ROWS)
            block: dict[str, Any] = {name: value[part] for name, value in arrays.items()}
            yield block | ({"itr": {name: value[part] for name, value in inner.items()}} if nested else {})


def _column(value: Array) -> Array:
    """A vector of MATLAB, which is a matrix of one column or one row, as (n,)."""
    return value.ravel() if value.ndim == 2 and 1 in value.shape else value


def _last_iteration(path: Path, raw: Any) -> int | None:
    """The number of the last iteration of a flat file; None of a nested one.

    Raises
    ------
    InputError : what is damaged.
    """
    last = -1
    for block in _checked(path, raw):
        itr = block["itr"]
        if isinstance(itr, dict) or itr.dtype.names:
            return None
        valid = block["vld"].astype(bool)
        if valid.any():
            last = max(last, int(itr[valid].max()))
    return last


def _checked(path: Path, raw: Any) -> Iterator[Mapping[str, Any]]:
    """Blocks that have what is needed, each part as long as the others."""
    for block in raw():
        lacking = _NEEDED - set(block)
        if lacking:
            raise InputError(
                f"has no {' and '.join(sorted(lacking))} of one length: export it again from Imspector", path
            )
        if block["vld"].ndim != 1 or block["tid"].ndim != 1:
            raise InputError("has several values of vld or tid a row: export it again from Imspector", path)
        yield block


@dataclass(frozen=True)
class MinfluxBlocks:
    """Blocks of the valid localizations of a file.

    Parameters
    ----------
    path : the file.
    raw : yields its rows.
    last : the iteration that is read of a flat file; None of a nested one.
    """

    path: Path
    raw: NpyRaw | MatRaw
    last: int | None

    def __call__(self, sources: Sequence[str]) -> Iterator[Mapping[str, Array]]:
        """Successive blocks of the columns `sources`."""
        for block in self.blocks():
            missing = [source for source in sources if source not in block]
            if missing:
                raise InputError(f"{missing[0]!r} has changed since the file was opened", self.path)
            yield {source: block[source] for source in sources}

    def blocks(self) -> Iterator[dict[str, Array]]:
        """Successive blocks of all columns."""
        for raw in _checked(self.path, self.raw):
            columns = _flat(raw) if self.last is not None else _nested(raw)
            loc = columns.pop("loc", None)
            if loc is None or loc.ndim != 2 or loc.shape[1] not in (2, 3) or not is_numerical(loc.dtype):
                raise InputError("has no loc of two or three numbers: export it again from Imspector", self.path)
            kept = raw["vld"].astype(bool) & ~np.isnan(loc[:, 0])
            if self.last is not None:
                kept &= raw["itr"] == self.last
            plain = {name: values[kept] for name, values in columns.items() if name not in _LEFT_OUT}
            places = {axis: loc[kept, i] for i, axis in enumerate("xyz"[: loc.shape[1]])}
            places.setdefault("z", np.zeros(np.count_nonzero(kept)))
            yield {**places, **_split(plain)}


def _nested(raw: Mapping[str, Any]) -> dict[str, Array]:
    """Columns of the last iteration, and those that have one value for all."""
    itr = raw["itr"]
    names: Iterable[str] = itr if isinstance(itr, dict) else itr.dtype.names
    last = {}
    for name in names:
        values = itr[name]
        if values.ndim > 1 and not (name == "loc" and values.ndim == 2 and values.shape[1] in (2, 3)):
            last[name] = values[:, -1]
        elif values.ndim >= 1:
            last[name] = values
    return {**last, **{name: values for name, values in raw.items() if name != "itr"}}


def _flat(raw: Mapping[str, Any]) -> dict[str, Array]:
    return dict(raw)


def _split(columns: Mapping[str, Array]) -> dict[str, Array]:
    """Columns of numbers; of several numbers a row the first, as pyMINFLUX takes dcr."""
    first = {name: values[:, 0] if values.ndim == 2 else values for name, values in columns.items()}
    return {name: values for name, values in first.items() if values.ndim == 1 and is_numerical(values.dtype)}


READER = Reader(
    name="MINFLUX",
    endings=(".npy", ".mat"),
    recognized="an array, or MATLAB variables, with `itr`, `vld` and `tid`",
    reads="the last iteration of each valid localization; `tid` is the trace; z as it is, without a correction",
    units="m, which Imspector always writes",
    export="Imspector: export the MINFLUX data as .npy or .mat",
    example="cell.npy",
    begins=begins,
    opens=opens,
    from_folders=(".npy",),
)
