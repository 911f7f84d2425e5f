"""Tables from formats that hold their columns as numerical arrays, streamed in blocks of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from caml_dask.errors import InputError
from caml_dask.io.readers.headers import Header
from caml_dask.schema import COORDINATES
from caml_dask.settings import ColumnMap

BLOCK_ROWS = 1 << 16
# What is larger than this, and than so many times its file, is no table that a program wrote.
LARGEST_RATIO = 200
ALWAYS_BYTES = 64 << 20

Array = npt.NDArray[Any]
Blocks = Callable[[Sequence[str]], Iterator[Mapping[str, Array]]]


@dataclass(frozen=True)
class Part:
    """An array of the file, or its component `component` along the second axis, in the unit that `factor` makes."""

    source: str
    factor: float = 1.0
    component: int | None = None

    def of(self, block: Mapping[str, Array]) -> Array:
        """Its values in a block of rows, in the file's unit."""
        values = block[self.source]
        return values if self.component is None else values[:, self.component]


@dataclass(frozen=True)
class ArrayColumn:
    """A column: one part, or the mean of several. One part of factor 1 keeps its type, others become float64."""

    name: str
    parts: tuple[Part, ...]

    def of(self, block: Mapping[str, Array]) -> pa.Array:
        """Its values in a block of rows."""
        if len(self.parts) == 1 and self.parts[0].factor == 1.0:
            return to_arrow(self.parts[0].of(block))
        with np.errstate(over="ignore", invalid="ignore"):
            terms = [part.of(block).astype(np.float64) * part.factor for part in self.parts]
            return pa.array(sum(terms[1:], terms[0]) / len(terms))


def column(name: str, source: str, factor: float = 1.0, component: int | None = None) -> ArrayColumn:
    """A column of one part."""
    return ArrayColumn(name, (Part(source, factor, component),))


def to_arrow(values: Array) -> pa.Array:
    """An array of any byte order and stride; half precision becomes single."""
    if values.dtype.kind == "U":
        return pa.array(values)
    kind = np.dtype(np.float32) if values.dtype == np.float16 else values.dtype.newbyteorder("=")
    return pa.array(np.ascontiguousarray(values, dtype=kind))


def is_numerical(dtype: np.dtype[Any]) -> bool:
    """Whether arrays of this type can be columns."""
    return dtype.kind in "biu" or (dtype.kind == "f" and dtype.itemsize <= 8)


@dataclass(frozen=True)
class ArrayTable:
    """Columns of one file, ready to be streamed as often as wanted; it can be pickled where `blocks` can.

    Parameters
    ----------
    path : the file.
    header : the names of `columns`.
    rows : how many there are.
    columns : what they are made of.
    blocks : yields successive blocks of rows of the arrays that are named, each as long as the others.
    """

    path: Path
    header: Header
    rows: int
    columns: tuple[ArrayColumn, ...]
    blocks: Blocks
    settled: bool = True
    decimal: str = "."

    def batches(self, columns: Sequence[int] | None = None) -> Iterator[pa.Table]:
        """Successive tables of the columns at `columns` of the header (all by default), in that order.

        Raises
        ------
        InputError : the file is damaged, or holds another number of rows than it says.
        """
        chosen = list(range(len(self.columns)) if columns is None else columns)
        sources = list(dict.fromkeys(part.source for i in chosen for part in self.columns[i].parts))
        rows = 0
        for block in self.blocks(sources):
            table = pa.table([self.columns[i].of(block) for i in chosen], names=[str(i) for i in chosen])
            rows += table.num_rows
            yield table
        if rows != self.rows:
            raise InputError(f"says it holds {self.rows} rows and holds {rows}: it is damaged", self.path)


def array_table(
    path: Path,
    rows: int,
    own: Iterable[ArrayColumn],
    canonical: Iterable[ArrayColumn],
    blocks: Blocks,
    columns: ColumnMap,
) -> ArrayTable:
    """A table of canonical columns, then of the file's own that these do not replace.

    Where a map names the coordinates, its names are those of the file, so the canonical coordinates are left out.

    Parameters
    ----------
    own : columns under the file's names and in its units.
    canonical : columns under the names of `schema.COORDINATES` and `schema.CARRIED`, and in their units.

    Raises
    ------
    InputError : there are no rows.
    """
    if rows == 0:
        raise InputError("holds no localizations", path)
    mapped = columns.x is not None
    taken = [c for c in canonical if not (mapped and c.name in COORDINATES)]
    replaced = {(c.parts[0].source, c.parts[0].component) for c in taken if len(c.parts) == 1}
    kept = [c for c in own if (c.parts[0].source, c.parts[0].component) not in replaced]
    together = (*taken, *kept)
    header = Header(path, tuple(c.name for c in together), converted=not mapped and any(_is_x(c) for c in taken))
    return ArrayTable(path, header, rows, together, blocks)


def _is_x(column: ArrayColumn) -> bool:
    return column.name == COORDINATES[0]


def refuse_bomb(unpacked: int, packed: int, path: Path) -> None:
    """Refuse what unpacks to far more than any table does.

    Parameters
    ----------
    unpacked, packed : bytes.

    Raises
    ------
    InputError
    """
    if unpacked > max(ALWAYS_BYTES, LARGEST_RATIO * packed):
        raise InputError(
            f"unpacks to {unpacked:,} bytes or more, over {LARGEST_RATIO} times its {packed:,}, which no table of a "
            "program does: if this one is a table, unpack it, or save it without compression",
            path,
        )
