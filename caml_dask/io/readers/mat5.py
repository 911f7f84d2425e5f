"""MATLAB files of versions 5 to 7: numbers and structures of numbers.

Written afresh from MathWorks' description of the format, because a damaged file crashes SciPy's reader. Every length is
checked against what is there. Text, cells, objects, sparse and complex matrices are left out.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from caml_dask.errors import InputError, UnreadableError
from caml_dask.io.readers.arrays import Array, refuse_bomb
from caml_dask.io.readers.whole import refuse_beyond_memory

MAGIC = b"MATLAB 5.0 MAT-file"

Variables = dict[str, "Array | Variables"]

_HEADER_BYTES = 128
_MATRIX, _COMPRESSED = 14, 15
_STRUCTURE = 2
_COMPLEX, _LOGICAL = 0x0800, 0x0200
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_PIECE_BYTES = 1 << 20
_NAME_BYTES = 1 << 12
_DEEPEST = 8
_MOST_FIELDS = 10_000


class _DamagedError(Exception):
    """What is wrong with a part of the file."""


def names_in(path: Path) -> list[str]:
    """Names of the variables of a file; no more is read of them.

    Raises
    ------
    InputError : it is damaged.
    """
    found = []
    for order, kind, _, content in _top(path, whole=False):
        if kind == _MATRIX:
            try:
                found.append(_described(content, order)[2])
            except _DamagedError as error:
                raise _refused(path, error) from None
    return found


def load(path: Path, wanted: Collection[str] | None = None) -> Variables:
    """Numbers in a file: matrices by their names, and structures as dictionaries of such.

    Parameters
    ----------
    wanted : names of variables; all by default.

    Raises
    ------
    InputError : it is damaged, unpacks to far more than a table does, or needs more memory than there is.
    """
    refuse_beyond_memory(_needed(path, wanted), path, "save x and y alone, or with '-v7.3', which is read in pieces")
    found: Variables = {}
    for order, kind, _, content in _top(path, whole=True):
        if kind != _MATRIX:
            continue
        try:
            name = _described(content, order)[2]
            if wanted is None or name in wanted:
                value = _matrix(content, order, 0)
                if value is not None:
                    found[name] = value
        except _DamagedError as error:
            raise _refused(path, error) from None
    return found


def _needed(path: Path, wanted: Collection[str] | None) -> int:
    """Bytes that variables take in memory, by their descriptions: those kept, and the longest while it is unpacked."""
    kept = longest = 0
    for order, kind, length, content in _top(path, whole=False):
        longest = max(longest, 2 * length)
        if kind != _MATRIX:
            continue
        try:
            bits, shape, name, _ = _described(content, order)
        except _DamagedError as error:
            raise _refused(path, error) from None
        if wanted is None or name in wanted:
            width = np.dtype(_CLASSES.get(bits & 0xFF, "u1")).itemsize
            kept += max(length, math.prod(shape) * width)
    return kept + longest


def _top(path: Path, whole: bool) -> Iterator[tuple[str, int, int, memoryview]]:
    """Byte order, type, length and content of each element of a file, unpacked; if not whole, their first bytes."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            order = "<" if file.read(_HEADER_BYTES).endswith(b"IM") else ">"
            unpacked = 0
            while len(tag := file.read(8)) == 8:
                kind, length = struct.unpack(f"{order}II", tag)
                if length > size - file.tell():
                    raise _DamagedError(f"a variable of {length:,} bytes goes on after the end of the file")
                content = _content(file, length, whole, kind == _COMPRESSED)
                if kind == _COMPRESSED:
                    inner, unpacked = _inflated(path, content, whole, unpacked, size)
                    kind, length = struct.unpack(f"{order}II", inner[:8]) if len(inner) >= 8 else (0, 0)
                    if whole and length > len(inner) - 8:
                        raise _DamagedError("a packed variable is cut short")
                    content = inner[8:]
                yield order, kind, length, memoryview(content)
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror or error}", path) from error
    except (_DamagedError, zlib.error) as error:
        raise _refused(path, error) from None


def _content(file: BinaryIO, length: int, whole: bool, packed: bool) -> bytes:
    """Content of an element, or its first bytes; the file is then at the next element."""
    content = file.read(length if whole else min(length, _NAME_BYTES))
    file.seek(length - len(content), 1)
    if not packed:
        file.seek(-length % 8, 1)
    return content


def _inflated(path: Path, packed: bytes, whole: bool, before: int, room: int) -> tuple[bytes, int]:
    """A packed element, and the bytes that have been unpacked of the file."""
    inflate = zlib.decompressobj()
    if not whole:
        return inflate.decompress(packed, _NAME_BYTES), before
    pieces = []
    while packed and not inflate.eof:
        pieces.append(inflate.decompress(packed, _PIECE_BYTES))
        packed = inflate.unconsumed_tail
        before += len(pieces[-1])
        refuse_bomb(before, room, path)
    if not inflate.eof:
        raise _DamagedError("a packed variable is cut short")
    return b"".join(pieces), before


def _refused(path: Path, error: Exception) -> InputError:
    return InputError(f"cannot be read as a MATLAB file: {error}", path)


def _element(content: memoryview, at: int, order: str) -> tuple[int, memoryview, int]:
    """Type and content of the element at `at`, and where the next begins."""
    if at + 8 > len(content):
        raise _DamagedError("a variable is cut short")
    kind, length = struct.unpack(f"{order}II", content[at : at + 8])
    if kind >> 16:  # up to four bytes lie in the tag itself
        small, kind = kind >> 16, kind & 0xFFFF
        if small > 4:
            raise _DamagedError("a variable has a length that is none")
        return kind, content[at + 4 : at + 4 + small], at + 8
    start = at + 8
    if length > len(content) - start:
        raise _DamagedError("a part of a variable goes on after its end")
    return kind, content[start : start + length], start + length + -length % 8


def _described(content: memoryview, order: str) -> tuple[int, tuple[int, ...], str, int]:
    """Flags, shape and name of a matrix, and where its values begin."""
    _, flags, at = _element(content, 0, order)
    _, shape, at = _element(content, at, order)
    _, name, at = _element(content, at, order)
    if len(flags) < 4 or len(shape) % 4 or not 2 <= len(shape) // 4 <= 8:
        raise _DamagedError("a variable has no type or shape")
    (bits,) = struct.unpack(f"{order}I", flags[:4])
    dimensions = struct.unpack(f"{order}{len(shape) // 4}i", shape)
    if min(dimensions) < 0:
        raise _DamagedError(f"a variable has the shape {dimensions}")
    return bits, dimensions, bytes(name).decode("latin-1"), at


def _matrix(content: memoryview, order: str, depth: int) -> Array | Variables | None:
    """Values of a matrix, or of a structure; None of what is left out."""
    if not len(content):
        return None
    bits, shape, _, at = _described(content, order)
    kind = bits & 0xFF
    if kind == _STRUCTURE and math.prod(shape) == 1 and depth < _DEEPEST:
        return _structure(content, at, order, depth)
    if kind not in _CLASSES or bits & _COMPLEX:
        return None
    stored, values, _ = _element(content, at, order)
    if stored not in _STORED:
        raise _DamagedError(f"a variable holds values of type {stored}")
    dtype = np.dtype(order + _STORED[stored])
    if len(values) != math.prod(shape) * dtype.itemsize:
        raise _DamagedError(f"a variable of shape {shape} holds {len(values):,} bytes")
    array = np.frombuffer(values, dtype).reshape(shape, order="F")
    return array.astype(np.bool_ if bits & _LOGICAL else _CLASSES[kind], copy=False)


def _structure(content: memoryview, at: int, order: str, depth: int) -> Variables:
    """Fields of a structure."""
    _, length, at = _element(content, at, order)
    _, text, at = _element(content, at, order)
    (width,) = struct.unpack(f"{order}I", length[:4]) if len(length) >= 4 else (0,)
    if not 0 < width <= 256 or len(text) % width or len(text) // width > _MOST_FIELDS:
        raise _DamagedError("a structure has no names of fields")
    names = [bytes(text[i : i + width]).split(b"\0")[0].decode("latin-1") for i in range(0, len(text), width)]
    found: Variables = {}
    for name in names:
        kind, inner, at = _element(content, at, order)
        value = _matrix(inner, order, depth + 1) if kind == _MATRIX else None
        if value is not None:
            found[name] = value
    return found
