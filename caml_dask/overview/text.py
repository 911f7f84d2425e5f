"""Text on the overview: one font, lines that fit a width, scale bars."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from caml_dask.overview.raster import BACKGROUND
from caml_dask.overview.scale import round_length

Color: TypeAlias = tuple[int, int, int]
Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont

TEXT_COLOR: Color = (226, 230, 238)
DIM_TEXT_COLOR: Color = (150, 158, 174)
PAPER: Color = tuple(int(v) for v in BACKGROUND)  # type: ignore[assignment]
_LONGEST_BAR = 0.3  # of the width


def font_of(size: int) -> Font:
    """The font at a size in pixels."""
    return ImageFont.load_default(size)


def shortened(text: str, font: Font, width: float) -> str:
    """The text on one line, its middle left out where it does not fit."""
    text = " ".join(text.split())[:1000]
    keep = len(text)
    short = text
    while font.getlength(short) > width and keep > 1:
        keep -= 1
        short = f"{text[: (keep + 1) // 2]}…{text[len(text) - keep // 2 :]}"
    return short


def wrapped(text: str, font: Font, width: float) -> list[str]:
    """Lines no wider than the width; a single word that is wider is shortened."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
        elif lines[-1]:
            lines.append(shortened(word, font, width))
        else:
            lines[-1] = shortened(word, font, width)
    return lines


def under_panel(name: str, width: int, pixel_nm: float, size: int) -> Image.Image:
    """What is under a panel: its name and a bar of a round length, below each other where the panel is narrow."""
    font = font_of(size)
    length, words = round_length(_LONGEST_BAR * width * pixel_nm)
    bar = round(length / pixel_nm)
    beside = font.getlength(f"{name} {words} ") + bar <= width
    strip = Image.new("RGB", (width, under_px(size, 1 if beside or not name else 2)), PAPER)
    draw = ImageDraw.Draw(strip)
    draw.text((0, 0), shortened(name, font, width), fill=TEXT_COLOR, font=font)
    top = 0 if beside or not name else _step(size)
    thick = max(3, size // 5)
    middle = top + size * 2 // 3
    draw.rectangle((width - bar, middle - thick // 2, width - 1, middle - thick // 2 + thick - 1), fill=TEXT_COLOR)
    draw.text((width - bar - size // 3 - font.getlength(words), top), words, fill=DIM_TEXT_COLOR, font=font)
    return strip


def under_px(size: int, lines: int) -> int:
    """Height of lines under a panel."""
    return _step(size) * lines


def _step(size: int) -> int:
    return size * 4 // 3


def block(legend: list[tuple[Color, str]], lines: list[str], width: int, size: int) -> Image.Image:
    """The legend, a dot before each entry, and lines below it; entries follow each other where they fit."""
    font, indent, gap = font_of(size), size * 5 // 4, size * 3 // 2
    rows: list[list[tuple[int, Color, str]]] = [[]]
    x = 0
    for color, text in legend:
        text = shortened(text, font, width - indent)
        wide = indent + int(np.ceil(font.getlength(text)))
        if x + wide > width and rows[-1]:
            rows.append([])
            x = 0
        rows[-1].append((x, color, text))
        x += wide + gap
    body = [row for line in lines for row in wrapped(line, font, width)]
    step = _step(size)
    picture = Image.new("RGB", (width, step * (len(rows) + len(body))), PAPER)
    draw = ImageDraw.Draw(picture)
    for k, row in enumerate(rows):
        for x, color, text in row:
            draw.ellipse((x + size // 8, k * step + size // 4, x + size * 7 // 8, k * step + size), fill=color)
            draw.text((x + indent, k * step), text, fill=TEXT_COLOR, font=font)
    for k, text in enumerate(body):
        draw.text((0, (len(rows) + k) * step), text, fill=DIM_TEXT_COLOR, font=font)
    return picture


def put_text(pixels: npt.NDArray[np.uint8], text: str, at: tuple[int, int], size: int) -> None:
    """Write over pixels, with (left, top) of the text's box; see :func:`box_of`."""
    picture = Image.fromarray(pixels)
    ImageDraw.Draw(picture).text(at, text, fill=TEXT_COLOR, font=font_of(size), anchor="lt")
    pixels[:] = np.asarray(picture)


def box_of(text: str, size: int) -> tuple[int, int]:
    """Height and width of a text that :func:`put_text` writes."""
    left, top, right, bottom = font_of(size).getbbox(text, anchor="lt")
    return int(np.ceil(bottom - top)), int(np.ceil(right - left))
