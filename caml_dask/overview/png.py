"""Pictures as PNG files, written for speed: zlib by itself, without the filters that encoders try on each row.

For an overview of 1720 x 2458 pixels this takes 100 to 150 ms. Pillow takes 400 ms; its file is 1 % larger at its usual
level, and a third larger at level 1.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_LEVEL = 1  # of pictures of dots higher ones take longer and make files little smaller


class Sheet:
    """A picture to be filled and written.

    Its rows are kept as a PNG file has them, so that none is copied once more: a byte that says which filter it went
    through, none here, then its pixels. Of pictures of dots that made smaller files than the filters that encoders try.

    Parameters
    ----------
    width, height : in pixels.
    color : (3,) uint8, of all pixels at first.
    """

    def __init__(self, width: int, height: int, color: tuple[int, int, int]):
        row = np.append(np.uint8(0), np.tile(np.array(color, np.uint8), width))
        self._rows = np.tile(row, (height, 1))
        self.pixels = self._rows[:, 1:].reshape(height, width, 3)

    def write(self, path: Path | str, about: Mapping[str, str] | None = None) -> None:
        """Write the picture, with texts about it by keywords of Latin letters."""
        height, width = self.pixels.shape[:2]
        header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits a channel, RGB, not interlaced
        with Path(path).open("wb") as file:
            file.write(b"\x89PNG\r\n\x1a\n")
            texts = [(b"iTXt", _text(*item)) for item in (about or {}).items()]
            pixels = (b"IDAT", zlib.compress(self._rows.data, _LEVEL))
            for kind, data in ((b"IHDR", header), *texts, pixels, (b"IEND", b"")):
                file.write(struct.pack(">I", len(data)) + kind + data)
                file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))


def _text(keyword: str, text: str) -> bytes:
    """A text that is not compressed, of no language and without a translated keyword."""
    return keyword.encode("latin-1") + bytes(5) + text.encode()


def paste(pixels: npt.NDArray[np.uint8], part: Any, left: int, top: int) -> None:
    """Put a part, (rows, columns, 3) as an array or image, into a picture."""
    part = np.asarray(part)
    pixels[top : top + part.shape[0], left : left + part.shape[1]] = part


def frame(
    pixels: npt.NDArray[np.uint8], corners: tuple[int, int, int, int], color: tuple[int, int, int], thick: int = 1
) -> None:
    """Draw the rim of a rectangle, `thick` pixels inwards.

    corners : left, top, right, bottom, all of them drawn; what is outside of the picture is left out
    """
    height, width = pixels.shape[:2]
    left, top, right, bottom = corners
    rows, columns = slice(max(0, top), min(height, bottom + 1)), slice(max(0, left), min(width, right + 1))
    for k in range(thick):
        for row in (top + k, bottom - k):
            if 0 <= row < height:
                pixels[row, columns] = color
        for column in (left + k, right - k):
            if 0 <= column < width:
                pixels[rows, column] = color
