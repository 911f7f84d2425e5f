"""Small pictures of images, for pages: the field of an overview, or a raster of localizations, as a data URI."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, UnidentifiedImageError

from caml_dask.overview.draw import field_box
from caml_dask.overview.raster import BACKGROUND, Raster

_TALLEST = 1.3  # times as high as wide
_COLORS = 64  # 8 to 60 kB a picture
_BRIGHTER = 1.6  # dots that are scaled down are dim


def embedded(path: Path, width_px: int) -> str | None:
    """The image in an overview, scaled down, as a data URI; None where the file is no picture.

    width_px : width of the small picture at most
    """
    try:
        with Image.open(path, formats=("PNG",)) as opened:
            whole = opened.convert("RGB")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError):
        return None
    return _packed(whole.crop(field_box(np.asarray(whole))), width_px)


def embedded_raster(raster: Raster, width_px: int) -> str:
    """Counted localizations as an overview shows them, scaled down, as a data URI."""
    pixels = np.full((*raster.shape, 3), BACKGROUND, np.uint8)
    raster.paint(pixels)
    return _packed(Image.fromarray(pixels), width_px)


def _packed(field: Image.Image, width_px: int) -> str:
    scale = min(1.0, width_px / field.width, _TALLEST * width_px / field.height)
    size = (max(1, round(field.width * scale)), max(1, round(field.height * scale)))
    small = field.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    packed = io.BytesIO()
    small = ImageEnhance.Brightness(small).enhance(_BRIGHTER)
    # an octree keeps hues that few pixels have, as those of dots on a dark ground
    small.quantize(_COLORS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(packed, "PNG")
    return "data:image/png;base64," + base64.b64encode(packed.getvalue()).decode("ascii")
