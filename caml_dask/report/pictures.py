"""Which images of a page get a picture, and how wide: so that it can hold them all."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from caml_dask.report.results import Measured

MOST_PICTURES = 240
"""Pictures that a page holds: some 10 MB."""
WIDTH_PX, MANY_WIDTH_PX = 440, 320
_MANY = 60  # pictures, from which on they are smaller


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


def width_px(pictures: int) -> int:
    """Width of each picture of a page that holds some number of them."""
    return WIDTH_PX if pictures <= _MANY else MANY_WIDTH_PX
