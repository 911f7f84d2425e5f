"""Frames of magnified spots in the picture of the whole image, with letters that lie on no cluster."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import scipy

from caml_dask.overview.lines import Outlines
from caml_dask.overview.png import frame
from caml_dask.overview.raster import Bounds, Raster
from caml_dask.overview.text import TEXT_COLOR, box_of, put_text

Box: TypeAlias = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels, right and bottom excluded."""

_THICK = 2
_LETTERS = string.ascii_uppercase
_LEAST_PX = 12  # side of a frame
_DOT_PX = 5  # how far what is drawn of a localization may reach


def mark(pixels: npt.NDArray[np.uint8], whole: Raster, spots: Sequence[Bounds], size: int) -> None:
    """Frame spots and write A, B, C ... beside their frames.

    Parameters
    ----------
    pixels : (rows, columns, 3) uint8
        The picture of the whole image, drawn over.
    whole : Raster
        What it shows.
    spots : sequence of tuple of float
        x0, y0, x1, y1 of each in nm.
    size : int
        Of the letters, in pixels.
    """
    frames = [frame_of(whole, bounds) for bounds in spots]
    lines = Outlines(whole.shape)
    for letter, box, at in zip(_LETTERS, frames, places_of(whole, frames, size)):
        frame(pixels, (box[0], box[1], box[2] - 1, box[3] - 1), TEXT_COLOR, _THICK)
        if at is None:
            continue
        if _gap(at, box) > size // 2:
            for k in range(_THICK):
                lines.add_line(*((x + k, y + k) for x, y in (_nearest(box, at), _nearest(at, box))))
        height, width = box_of(letter, size)
        part = pixels[at[1] : at[3], at[0] : at[2]]
        put_text(part, letter, ((part.shape[1] - width) // 2, (part.shape[0] - height) // 2), size)
    lines.paint(pixels, TEXT_COLOR)


def places_of(whole: Raster, frames: Sequence[Box], size: int) -> list[Box | None]:
    """Where the letters of frames lie: as near to them as can be, and on no cluster, no letter and no other frame.

    Parameters
    ----------
    whole : Raster
        What the picture shows.
    frames : sequence of tuple of int
        Their boxes.
    size : int
        Of the letters, in pixels.

    Returns
    -------
    list of (tuple of int or None)
        A box for each, with a margin around the letter; None where clusters leave no room.
    """
    drawn: npt.NDArray[np.bool_] = scipy.ndimage.maximum_filter(whole.counts[1:].any(axis=0), 2 * _DOT_PX + 1)
    places: list[Box | None] = []
    for letter, box in zip(_LETTERS, frames):
        at = _free(_with_frames(drawn, frames, box), box_of(letter, size), box, size // 8)
        if at is not None:
            drawn[at[1] : at[3], at[0] : at[2]] = True
        places.append(at)
    return places


def frame_of(whole: Raster, bounds: Bounds) -> Box:
    """Around a spot, two pixels wide, and large enough to be seen."""
    corners = (np.array(bounds).reshape(2, 2) - (whole.x0_nm, whole.y0_nm)) / whole.pixel_nm
    (left, top), (right, bottom) = np.rint(corners).astype(int).tolist()
    wider, higher = (max(0, _LEAST_PX - side) // 2 for side in (right - left, bottom - top))
    return left - wider - 1, top - higher - 1, right + wider + 1, bottom + higher + 1


def _with_frames(drawn: npt.NDArray[np.bool_], frames: Sequence[Box], mine: Box) -> npt.NDArray[np.bool_]:
    """Where the letter of a frame may not lie: on what is drawn, nor in a frame, but for those around its own one."""
    taken = drawn.copy()
    for left, top, right, bottom in frames:
        inner = taken[max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
        around = left < mine[0] and top < mine[1] and right > mine[2] and bottom > mine[3]
        for rim in (inner[:_THICK], inner[-_THICK:], inner[:, :_THICK], inner[:, -_THICK:]) if around else (inner,):
            rim[:] = True
    return taken


def _free(taken: npt.NDArray[np.bool_], box: tuple[int, int], near: Box, pad: int) -> Box | None:
    """The place for a box of some height and width, padded, that is nearest to a frame; of equals the uppermost."""
    height, width = box[0] + 2 * pad, box[1] + 2 * pad
    rows, columns = taken.shape[0] - height + 1, taken.shape[1] - width + 1
    if rows < 1 or columns < 1:
        return None
    sums = np.zeros((taken.shape[0] + 1, taken.shape[1] + 1), np.int32)
    np.cumsum(np.cumsum(taken, axis=0, dtype=np.int32), axis=1, out=sums[1:, 1:])
    inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    down, right = np.arange(rows), np.arange(columns)
    dy = np.maximum(np.maximum(near[1] - (down + height), down - near[3]), 0)
    dx = np.maximum(np.maximum(near[0] - (right + width), right - near[2]), 0)
    distance = np.where(inside == 0, dy[:, None] ** 2 + dx[None, :] ** 2, np.iinfo(np.int64).max)
    top, left = np.unravel_index(distance.argmin(), distance.shape)
    if inside[top, left]:
        return None
    return int(left), int(top), int(left) + width, int(top) + height


def _gap(a: Box, b: Box) -> float:
    (x0, y0), (x1, y1) = _nearest(a, b), _nearest(b, a)
    return float(np.hypot(x1 - x0, y1 - y0))


def _nearest(a: Box, b: Box) -> tuple[float, float]:
    """The point of a box that is nearest to the middle of another one."""
    x, y = (b[0] + b[2]) / 2, (b[1] + b[3]) / 2
    return min(max(x, a[0]), a[2]), min(max(y, a[1]), a[3])
