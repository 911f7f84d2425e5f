"""MATLAB files of any program: the longest columns in them, whose unit the user says.

Files up to version 7 are held whole, because they cannot be read in pieces; version 7.3 is HDF5 and is streamed. A
variable is a column where it is a vector, and several where it is a matrix of up to 16 columns; a structure holds
columns as its fields.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from caml_dask.errors import InputError
from caml_dask.io.readers import apart, hdf5, mat5
from caml_dask.io.readers.arrays import (
    BLOCK_ROWS,
    Array,
    ArrayColumn,
    ArrayTable,
    array_table,
    column,
)
from caml_dask.io.readers.reader import Reader
from caml_dask.settings import ColumnMap

_MAGIC_73 = b"MATLAB 7.3 MAT-file"
_WIDEST = 16
_POSITIONS = ("pos", "loc", "xyz", "xy", "position", "positions", "coords")


def is_version_5(head: bytes) -> bool:
    """Whether a file begins as MATLAB's versions 5 to 7 write it."""
    return head.startswith(mat5.MAGIC)


def columns_of(arrays: mat5.Variables) -> dict[str, Array]:
    """Vectors and narrow matrices of numbers, as (n,) or (n, k)."""
    found = {}
    for name, array in arrays.items():
        if isinstance(array, dict) or array.ndim != 2:
            continue
        if 1 in array.shape:
            found[name] = array.ravel()
        elif array.shape[1] <= _WIDEST:
            found[name] = array
    return found


@dataclass(frozen=True)
class MatlabBlocks:
    """Blocks of rows of variables, or of fields of structures (their names with a dot), of a version before 7.3."""

    path: Path
    rows: int

    def __call__(self, sources: Sequence[str]) -> Iterator[Mapping[str, Array]]:
        """Successive blocks of the arrays `sources`."""
        arrays = self.arrays(sources)
        for start in range(0, self.rows, BLOCK_ROWS):
            try:
                yield {source: arrays[source][start : start + BLOCK_ROWS] for source in sources}
            except KeyError as error:
                raise InputError(f"{error} has changed since the file was opened", self.path) from None

    def arrays(self, sources: Iterable[str]) -> dict[str, Array]:
        """The arrays by their names, and maybe others."""
        return numbers_in(self.path, [source.partition(".")[0] for source in sources])


def numbers_in(path: Path, names: Sequence[str] | None = None) -> dict[str, Array]:
    """All columns of numbers, those of structures under names with a dot.

    Raises
    ------
    InputError : the file is damaged.
    """
    found = mat5.load(path, names)
    inside: mat5.Variables = {}
    for name, held in found.items():
        if isinstance(held, dict):
            inside |= {f"{name}.{key}": value for key, value in held.items()}
    return columns_of({**found, **inside})


def begins(path: Path, head: bytes) -> bool:
    """Whether a file begins as MATLAB's."""
    return is_version_5(head) or (head.startswith(_MAGIC_73) and hdf5.is_hdf5(head))


def opens(path: Path, head: bytes, columns: ColumnMap, settle: bool) -> ArrayTable:
    """Open the longest columns of a file.

    Raises
    ------
    InputError : it is damaged, or holds no two columns of numbers of one length.
    """
    if is_version_5(head):
        sizes = {name: array.shape for name, array in numbers_in(path).items()}
        rows, own = _longest(path, sizes)
        return array_table(path, rows, own, [], MatlabBlocks(path, rows), columns)
    return apart.call(path, _opens, path, columns)


def _opens(path: Path, columns: ColumnMap) -> ArrayTable:
    """`opens` of version 7.3, in another process."""
    with hdf5.opened(path) as file:
        groups = ["", *(name for name in file if name != "#refs#" and hdf5.dataset(file, name) is None)]
        found = {f"{group}.{name}".strip("."): a for group in groups for name, a in hdf5.vectors(file, group).items()}
        found = {name: array for name, array in found.items() if array.ndim == 1 or 1 in array.shape}
        rows, own = _longest(path, {name: (hdf5.length(array),) for name, array in found.items()})
        taken = {c.parts[0].source for c in own}
        hdf5.refuse_hollow(path, [array for name, array in found.items() if name in taken])
    places = {name: name.replace(".", "/") for name in taken}
    return array_table(path, rows, own, [], hdf5.Hdf5Blocks(path, rows, places), columns)


def _longest(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, list[ArrayColumn]]:
    """The columns of the length that most have; of lengths that as many have, the longest."""
    lengths: Counter[int] = Counter()
    for shape in shapes.values():
        lengths[shape[0]] += shape[1] if len(shape) == 2 else 1
    fitting = {rows: count for rows, count in lengths.items() if count > 1 and rows > 1}
    if not fitting:
        held = ", ".join(map(repr, sorted(shapes)[:8])) or "no numbers"
        raise InputError(
            f"holds no two columns of numbers of one length (it holds {held}): save x and y as vectors, or as CSV", path
        )
    rows = max(fitting, key=lambda rows: (fitting[rows] * rows, rows))
    own: list[ArrayColumn] = []
    for name, shape in shapes.items():
        if shape[0] == rows:
            own += _named(name, shape[1] if len(shape) == 2 else 0)
    return rows, own


def _named(name: str, width: int) -> list[ArrayColumn]:
    """Columns under the name of their field; of positions, x, y and z."""
    short = name.rpartition(".")[2]
    if not width:
        return [column(short, name)]
    if short.lower() in _POSITIONS and width <= 3:
        return [column("xyz"[i], name, component=i) for i in range(width)]
    return [column(f"{short}_{i + 1}", name, component=i) for i in range(width)]


READER = Reader(
    name="MATLAB",
    endings=(".mat",),
    recognized="a MATLAB file, of no program named above",
    reads="the longest vectors and matrices, also those in a structure; `pos`, `loc` and `xyz` are x, y and z",
    units="from names such as `xnm`; otherwise say them with `--columns`",
    export="`save('table.mat', 'x', 'y', 'frame')`",
    example="table.mat --columns x=x,y=y,unit=nm",
    begins=begins,
    opens=opens,
)
