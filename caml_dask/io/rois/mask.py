"""Regions of interest as an image: pixels of 0 are outside, pixels of one other value are a region."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import shapely
from PIL import Image

from caml_dask.errors import InputError
from caml_dask.io.rois.roi import Roi

_MOST_PIXELS, _MOST_REGIONS = 1 << 28, 10_000
_KINDS = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L", "F")


def read_mask(path: Path, content: bytes, pixel_nm: float) -> list[Roi]:
    """The regions of a mask image, PNG or TIFF.

    Parameters
    ----------
    path : Path
        The file, for the errors.
    content : bytes
        What it holds.
    pixel_nm : float
        Size of a pixel.

    Returns
    -------
    list of Roi
        A region for each value but 0, in their order, named by the value; unions of whole pixels, in nm. The corner of
        the image is 0, 0, x goes along its rows.

    Raises
    ------
    InputError
        It is no image of one value a pixel, is too large, or has no pixel but 0.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged tags, and of sizes, which are looked at below
            with Image.open(io.BytesIO(content), formats=("PNG", "TIFF")) as image:
                if image.width * image.height > _MOST_PIXELS:
                    raise InputError(f"has {image.width:,} x {image.height:,} pixels: make the mask coarser", path)
                if image.mode not in _KINDS:
                    raise InputError(
                        f"is an image of {image.mode}; a mask has one value a pixel: save it as gray", path
                    )
                values = np.asarray(image)
    except InputError:
        raise
    except (OSError, ValueError, SyntaxError, TypeError, KeyError, Image.DecompressionBombError, EOFError) as error:
        raise InputError(f"is a damaged image, or none of PNG or TIFF ({error}): save it again", path) from None
    found = np.unique(values[values != 0])
    if not 0 < len(found) <= _MOST_REGIONS:
        raise InputError(f"has {len(found):,} values but 0, each a region; wanted are 1 to {_MOST_REGIONS:,}", path)
    rows, columns = (pixel_nm * np.arange(n + 1.0) for n in values.shape)
    return [Roi(f"{value:g}", union_of(values == value, columns, rows)) for value in found.tolist()]


def union_of(inside: np.ndarray, x_nm: np.ndarray, y_nm: np.ndarray) -> shapely.Geometry:
    """The union of some boxes of a grid, from the runs of its rows.

    Parameters
    ----------
    inside : (rows, columns) bool
        Which boxes; at least one.
    x_nm, y_nm : (columns + 1,), (rows + 1,) float64
        Sides of the boxes, in nm.

    Returns
    -------
    shapely.Geometry
        A polygon or several, in nm.
    """
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    x0, y0 = columns[0], rows[0]
    cut = inside[y0 : rows[-1] + 1, x0 : columns[-1] + 1].astype(np.int8)
    edges = np.diff(np.pad(cut, ((0, 0), (1, 1))), axis=1)
    (row, start), (_, stop) = np.nonzero(edges == 1), np.nonzero(edges == -1)
    left, right, top = start + x0, stop + x0, row + y0
    boxes = shapely.box(x_nm[left], y_nm[top], x_nm[right], y_nm[top + 1])
    return shapely.union_all(boxes)
