"""Pictures of images, small enough that a page can hold them all."""

from __future__ import annotations

import base64
import io
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from caml_dask.report.cohort import Measured

MOST_PICTURES = 240
"""Pictures that a page holds: some 10 MB."""
WIDTH_PX = 440
_COLORS = 24  # 20 to 40 kB a picture; pictures of dots hold few colors


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


def embedded(path: Path) -> str | None:
    """A picture scaled down, as a data URI; None where the file is no picture."""
    try:
        with Image.open(path, formats=("PNG",)) as opened:
            width = min(WIDTH_PX, opened.width)
            size = (width, max(1, round(opened.height * width / opened.width)))
            small = opened.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError):
        return None
    packed = io.BytesIO()
    small.quantize(_COLORS, dither=Image.Dither.NONE).save(packed, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(packed.getvalue()).decode("ascii")
