"""Arrays as one message: the length of a header, the header as JSON, then the arrays, each from a multiple of 8 bytes.

`page/packed.js` reads them.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

_EIGHT = 8


def packed(about: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """A message.

    Parameters
    ----------
    about : mapping
        What the header says besides its arrays.
    arrays : mapping of str to array
        Numbers of any type and shape.

    Returns
    -------
    bytes
        uint32 length of the header, the header, the arrays; little-endian.
    """
    parts, columns, offset = [], {}, 0
    for name, array in arrays.items():
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        columns[name] = {"type": little.dtype.str[1:], "shape": little.shape, "offset": offset}
        parts.append(_padded(little.tobytes(), 0))
        offset += len(parts[-1])
    header = _padded(json.dumps({**about, "arrays": columns}).encode(), 4, b" ")
    return b"".join([struct.pack("<I", len(header)), header, *parts])


def _padded(content: bytes, before: int, filler: bytes = b"\0") -> bytes:
    return content + filler * (-(before + len(content)) % _EIGHT)
