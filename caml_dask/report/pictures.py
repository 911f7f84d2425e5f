"""Pictures of images, small enough that a page can hold them all."""

from __future__ import annotations

import base64
import io
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, UnidentifiedImageError

from caml_dask.overview.draw import field_box
from caml_dask.report.results import Measured

MOST_PICTURES = 240
"""Pictures that a page holds: some 10 MB."""
WIDTH_PX, MANY_WIDTH_PX = 440, 320
_MANY = 60  # pictures, from which on they are smaller
_TALLEST = 1.3  # times as high as wide
_COLORS = 64  # 8 to 60 kB a picture
_BRIGHTER = 1.6  # dots that are scaled down are dim


def pictured(images: Sequence[Measured], by: str, most: int = MOST_PICTURES) -> set[int]:
    """Which images, by their place, get a picture: all, or the first ones of each condition, as many of each."""
    if len(images) <= most:
        return set(range(len(images)))
    conditions = [image.factors.get(by, "") for image in images]
    share = math.floor(most / len(set(conditions)))
    seen: Counter[str] = Counter()
    chosen = set()
    for place, condition in enumerate(conditions):
        seen[condition] += 1
        if seen[condition] <= share:
            chosen.add(place)
    return chosen


def embedded(path: Path, pictures: int) -> str | None:
    """The image in an overview, scaled down, as a data URI; None where the file is no picture.

    pictures : how many the page holds
    """
    try:
        with Image.open(path, formats=("PNG",)) as opened:
            whole = opened.convert("RGB")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError):
        return None
    field = whole.crop(field_box(np.asarray(whole)))
    width = WIDTH_PX if pictures <= _MANY else MANY_WIDTH_PX
    scale = min(1.0, width / field.width, _TALLEST * width / field.height)
    size = (max(1, round(field.width * scale)), max(1, round(field.height * scale)))
    small = field.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    packed = io.BytesIO()
    small = ImageEnhance.Brightness(small).enhance(_BRIGHTER)
    # an octree keeps hues that few pixels have, as those of dots on a dark ground
    small.quantize(_COLORS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(packed, "PNG")
    return "data:image/png;base64," + base64.b64encode(packed.getvalue()).decode("ascii")
