"""What the formats inside HDF5 share: a file that is opened safely, and arrays read in blocks of rows.

All that touches a file runs in another process (:mod:`caml_dask.io.readers.apart`), for HDF5's library crashes on some
damaged files.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caml_dask.errors import InputError
from caml_dask.io.readers import apart
from caml_dask.io.readers.arrays import BLOCK_ROWS, Array, is_numerical, refuse_bomb

if TYPE_CHECKING:
    import h5py

MAGIC = b"\x89HDF\r\n\x1a\n"

_HEAP = b"GCOL\x01\0\0\0"
_USER_BLOCKS = (0, 512, 1024, 2048)
_CHUNK_CACHE_BYTES = 32 << 20
# Larger chunks than this are read once for each of their blocks.
_LONGEST_BLOCK = 1 << 20
# What h5py raises on damaged files.
_FAULTS = (
    OSError,
    KeyError,
    ValueError,
    TypeError,
    RuntimeError,
    OverflowError,
    MemoryError,
    AttributeError,
    IndexError,
)


def is_hdf5(head: bytes) -> bool:
    """Whether a file begins as HDF5, after a block of the program's own at most."""
    return any(head.startswith(MAGIC, at) for at in _USER_BLOCKS)


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """The file, without a lock, which network file systems may lack.

    Raises
    ------
    InputError : it is damaged.
    """
    import h5py

    try:
        with h5py.File(path, "r", locking=False, rdcc_nbytes=_CHUNK_CACHE_BYTES) as file:
            yield file
    except InputError:
        raise
    except _FAULTS as error:
        raise InputError(_explained(error), path) from error


def _explained(error: BaseException) -> str:
    cut = re.search(r"truncated file: eof = (\d+), .*stored_eof = (\d+)", str(error))
    if cut:
        return f"is incomplete: {int(cut[1]):,} of {int(cut[2]):,} bytes are there; copy or download it again"
    return f"cannot be read as HDF5: {error}"


def refuse_damaged_heaps(path: Path) -> None:
    """Check the collections of a file that hold text of any length; a damaged one keeps HDF5 busy forever.

    Call it before such text is read.

    Raises
    ------
    InputError
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        at = content.find(_HEAP)
        while at >= 0:
            if not _is_whole(content, at):
                raise InputError("cannot be read as HDF5: the text in it is damaged", path)
            at = content.find(_HEAP, at + 1)


def _is_whole(content: mmap.mmap, at: int) -> bool:
    """Whether objects follow each other to the end of a collection, and free space is the last."""
    words = content[at + 8 : at + 16]
    end = at + struct.unpack("<Q", words)[0] if len(words) == 8 else at
    at += 16
    if not at <= end <= len(content):
        return False
    while at + 16 <= end:
        index, _, _, length = struct.unpack("<HHIQ", content[at : at + 16])
        if index == 0:
            return bool(length == end - at)
        at += 16 + -(-length // 8) * 8
    return at <= end


def names_in(path: Path, group: str = "/") -> list[str]:
    """Names of what a group holds; none where there is no such group.

    Raises
    ------
    InputError : the file is damaged.
    """
    return apart.call(path, _names_in, path, group)


def _names_in(path: Path, group: str) -> list[str]:
    import h5py

    with opened(path) as file:
        held = _held(file, group) if group != "/" else file
        return sorted(held) if isinstance(held, h5py.Group) else []


def dataset(file: h5py.File, name: str) -> h5py.Dataset | None:
    """An array that the file itself holds; None where there is none.

    Raises
    ------
    InputError : its values lie in another file, which is not opened.
    """
    import h5py

    found = _held(file, name)
    if not isinstance(found, h5py.Dataset):
        return None
    if found.is_virtual or found.external:
        raise InputError(f"{name!r} lies in another file: save all in one", Path(file.filename))
    return found


def _held(file: h5py.File, name: str) -> Any:
    """What a path names, without links to other files."""
    import h5py

    held: Any = file
    for part in name.strip("/").split("/"):
        if not isinstance(held, h5py.Group) or part not in held:
            return None
        if isinstance(held.get(part, getlink=True), h5py.ExternalLink):
            raise InputError(f"{name!r} lies in another file: save all in one", Path(file.filename))
        held = held[part]
    return held


@dataclass(frozen=True)
class Hdf5Blocks:
    """Blocks of rows of arrays in one file.

    Parameters
    ----------
    path : the file.
    rows : they have.
    places : the name in the file of each array; of "" the fields of one array of records.
    """

    path: Path
    rows: int
    places: Mapping[str, str]

    def __call__(self, sources: Sequence[str]) -> Iterator[Mapping[str, Array]]:
        """Successive blocks of the arrays `sources`."""
        return apart.iterate(self.path, self.blocks, list(sources), BLOCK_ROWS, _LONGEST_BLOCK)

    def blocks(self, sources: Sequence[str], rows: int, longest: int) -> Iterator[Mapping[str, Array]]:
        """The same in this process, of `rows` rows, or of a chunk's, up to `longest`."""
        with opened(self.path) as file:
            found = {source: self._array(file, source) for source in sources}
            step = rows
            for array in found.values():
                chunk = max(array.chunks or (0,))
                step = max(step, rows // chunk * chunk if chunk else 0, min(chunk, longest))
            for start in range(0, self.rows, step):
                stop = min(start + step, self.rows)
                yield {source: _rows(array, start, stop, self._field(source)) for source, array in found.items()}

    def _array(self, file: h5py.File, source: str) -> h5py.Dataset:
        array = dataset(file, self.places.get(source, self.places.get("", "")))
        if array is None or length(array) != self.rows:
            raise InputError(f"{source!r} has changed since the file was opened", self.path)
        return array

    def _field(self, source: str) -> str | None:
        return None if source in self.places else source


def _rows(array: h5py.Dataset, start: int, stop: int, field: str | None) -> Array:
    apart.still_at_work()
    if field is not None:
        return array.fields(field)[start:stop]
    if array.ndim == 2 and array.shape[0] == 1:
        return array[0, start:stop]
    if array.ndim == 2 and array.shape[1] == 1:
        return array[start:stop, 0]
    return array[start:stop]


def length(array: h5py.Dataset) -> int:
    """Rows of an array: of a vector its length, whatever way MATLAB lays it; 0 for what has none."""
    if array.shape is None or not array.shape:
        return 0
    return int(max(array.shape)) if array.ndim == 2 and 1 in array.shape else int(array.shape[0])


def vectors(file: h5py.File, group: str) -> dict[str, h5py.Dataset]:
    """The numerical arrays of a group: vectors, and tables of up to 16 columns.

    Raises
    ------
    InputError : one lies in another file.
    """
    import h5py

    held = _held(file, group)
    found = {}
    for name in held if isinstance(held, h5py.Group) else ():
        array = dataset(file, f"{group}/{name}")
        if array is None or array.shape is None or not is_numerical(array.dtype):
            continue
        if array.ndim == 1 or (array.ndim == 2 and (1 in array.shape or array.shape[1] <= 16)):
            found[name] = array
    return found


def refuse_hollow(path: Path, arrays: Sequence[h5py.Dataset]) -> None:
    """Refuse arrays that are far larger than their file.

    Raises
    ------
    InputError
    """
    refuse_bomb(sum(int(array.size) * array.dtype.itemsize for array in arrays), path.stat().st_size, path)
