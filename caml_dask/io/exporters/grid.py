"""The pixels of a picture, on which regions for ImageJ lie too."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from caml_dask.errors import UsageError
from caml_dask.io.exporters.exporter import Exportable, Options

FINEST_NM = 10.0
COMMON_PX = 8_192
LARGEST_PX = 32_767
"""Regions of ImageJ hold their corners in 16 bits."""


@dataclass(frozen=True)
class Grid:
    """Square pixels; the corner of the first one is at x0_nm, y0_nm, and y points down.

    Parameters
    ----------
    pixel_nm : float
        Side of a pixel.
    x0_nm, y0_nm : float
        A whole number of pixels each, so that pictures of one sample fit on each other.
    rows, columns : int
        Pixels along y and x.
    """

    pixel_nm: float
    x0_nm: float
    y0_nm: float
    rows: int
    columns: int

    @classmethod
    def of(cls, image: Exportable, options: Options) -> Grid:
        """The grid of an image: pixels of the size in the options, or of 10 nm times the power of two at which neither
        side has more than 8,192.

        Raises
        ------
        UsageError : the picture would have more than 32,767 pixels along a side.
        """
        x0, y0, x1, y1 = image.bounds_nm
        longest = max(x1 - x0, y1 - y0)
        coarser = max(0, math.ceil(math.log2(max(longest, 1.0) / FINEST_NM / COMMON_PX)))
        pixel = options.pixel_nm or FINEST_NM * 2.0**coarser
        if longest / pixel >= LARGEST_PX - 1:
            raise UsageError(
                f"{image.image_id} is {longest / 1000:,.0f} um wide, more than {LARGEST_PX:,} pixels of {pixel:g} nm: "
                f"choose larger ones, such as --pixel-nm {math.ceil(longest / COMMON_PX)}"
            )
        low = [math.floor(side / pixel) for side in (x0, y0)]
        columns, rows = (math.floor(high / pixel) - first + 1 for high, first in zip((x1, y1), low, strict=True))
        return cls(pixel, low[0] * pixel, low[1] * pixel, rows, columns)

    def in_pixels(self, xy_nm: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(n, 2) coordinates in pixels from the corner of the first one."""
        placed: npt.NDArray[np.float64] = (xy_nm - (self.x0_nm, self.y0_nm)) / self.pixel_nm
        return placed
