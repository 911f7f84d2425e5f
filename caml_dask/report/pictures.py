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


def turns(images: Sequence[Measured], by: str) -> list[int]:
    """Of each image, which one of its condition it is, from 1."""
    seen: Counter[str] = Counter()
    found = []
    for image in images:
        condition = image.factors.get(by, "")
        seen[condition] += 1
        found.append(seen[condition])
    return found


def pictured(images: Sequence[Measured], by: str, most: int = MOST_PICTURES) -> set[int]:
    """Which images, by their place, get a picture: all, or the first ones of each condition, as many of each."""
    if len(images) <= most:
        return set(range(len(images)))
    share = math.floor(most / len({image.factors.get(by, "") for image in images}))
    return {place for place, turn in enumerate(turns(images, by)) if turn <= share}


def width_px(pictures: int) -> int:
    """Width of each picture of a page that holds some number of them."""
    return WIDTH_PX if pictures <= _MANY else MANY_WIDTH_PX
