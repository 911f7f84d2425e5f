"""Scale bars: their lengths, and bars drawn on pictures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import ImageDraw

_THICK_PX = 5


def round_length(longest_nm: float) -> tuple[float, str]:
    """The longest round length that is no longer than a length.

    Parameters
    ----------
    longest_nm : float
        The length, positive.

    Returns
    -------
    tuple of (float, str)
        1, 2 or 5 times a power of ten, in nm, and the same in words.
    """
    decade = 10.0 ** math.floor(math.log10(longest_nm))
    length = max(factor * decade for factor in (1, 2, 5) if factor * decade <= longest_nm)
    return length, f"{length / 1000:g} um" if length >= 1000 else f"{length:g} nm"


def draw_bar(
    draw: ImageDraw.ImageDraw, right: float, top: float, longest_px: float, pixel_nm: float, color: tuple[int, int, int]
) -> tuple[float, str]:
    """Draw a bar of a round length.

    Parameters
    ----------
    draw : ImageDraw
        Where to draw.
    right, top : float
        Its corner, in pixels.
    longest_px : float
        It is no longer than that.
    pixel_nm : float
        Side of a pixel.
    color : tuple of int
        Red, green and blue.

    Returns
    -------
    tuple of (float, str)
        Where it begins at the left, and its length in words.
    """
    length, words = round_length(longest_px * pixel_nm)
    left = right - length / pixel_nm
    draw.rectangle((left, top, right, top + _THICK_PX), fill=color)
    return left, words
