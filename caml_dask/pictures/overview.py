"""The overview picture of an image: all localizations, a magnified region with outlines, scale bars and counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import shapely
from PIL import Image, ImageDraw, ImageFont

from caml_dask.pictures.raster import (
    BACKGROUND,
    CLUSTERED_COLOR,
    FIBER_COLOR,
    NON_CLUSTERED_COLOR,
    Raster,
    zoom_bounds,
)

__all__ = ["Raster", "draw_overview", "zoom_bounds"]

Outline: TypeAlias = shapely.Geometry | npt.NDArray[np.float64] | None
Color: TypeAlias = tuple[int, int, int]

OUTLINE_COLOR: Color = (120, 235, 225)
TEXT_COLOR: Color = (226, 230, 238)
DIM_TEXT_COLOR: Color = (150, 158, 174)
MOST_OUTLINES = 50_000
NARROWEST_PX = 14.0

_PAPER: Color = tuple(int(v) for v in BACKGROUND)  # type: ignore[assignment]
_FINE = 3
_GAP = 28
_SIDE_TEXT_PX = 420


@dataclass
class _Panel:
    """A raster with the outlines that fall on it, drawn on a grid three times as fine to smooth their edges."""

    raster: Raster
    crowded: bool = False
    drawn: int = 0
    widths_px: list[float] = field(default_factory=list)
    mask: Image.Image | None = None

    def add(self, rings: list[npt.NDArray[np.float64]], bounds: npt.NDArray[np.float64]) -> None:
        x0, y0, x1, y1 = self.raster.bounds_nm
        if bounds[0] > x1 or bounds[1] > y1 or bounds[2] < x0 or bounds[3] < y0:
            return
        self.drawn += 1
        self.widths_px.append(float(max(bounds[2] - bounds[0], bounds[3] - bounds[1])) / self.raster.pixel_nm)
        if self.crowded:
            return
        if self.mask is None:
            height, width = self.raster.shape
            self.mask = Image.new("L", (_FINE * width, _FINE * height))
        draw = ImageDraw.Draw(self.mask)
        for ring in rings:
            at = np.rint((ring - (x0, y0)) * (_FINE / self.raster.pixel_nm)).astype(np.int64)
            at = at[np.append(True, (at[1:] != at[:-1]).any(axis=1))]
            draw.line(at.ravel().tolist(), fill=255, width=_FINE, joint=None)

    def hidden(self) -> str | None:
        """Why no outlines are shown, if none are."""
        if self.crowded:
            return f"more than {MOST_OUTLINES:,}"
        if self.drawn and np.median(self.widths_px) < NARROWEST_PX:
            return "too small"
        return None

    def picture(self, text_px: int) -> Image.Image:
        picture = Image.fromarray(self.raster.colors(), "RGB")
        if self.mask is not None and self.hidden() is None:
            picture.paste(OUTLINE_COLOR, mask=self.mask.reduce(_FINE))
        _scale_bar(picture, self.raster.pixel_nm, text_px)
        return picture


def draw_overview(
    raster: Raster,
    outlines: Iterable[Outline],
    title: str,
    caption: Sequence[str],
    path: Path | str,
    n_clusters: int,
    zoom: Raster | None = None,
    classes: Sequence[str] = ("non-clustered", "clustered"),
) -> None:
    """Write the overview as PNG; the same localizations and outlines in any order give the same bytes.

    y points down, as programs for single-molecule localization show it. Beside the image stands the region of `zoom`,
    framed in the image. Outlines are left out of a panel, and the legend says so, where there are more than 50,000 or
    where the median cluster is narrower than 14 pixels.

    Parameters
    ----------
    raster : counts of the whole image.
    outlines : shapely polygons or (n, 2) closed rings in nm, None for a cluster without an outline; of all clusters, or
        where there are more than 50,000 of those near `zoom`.
    title : name of the image; shortened where it is too long.
    caption : lines below the legend; too long ones are wrapped.
    path : file to write.
    n_clusters : clusters in the image.
    zoom : counts of the region to magnify; see `zoom_bounds`.
    classes : names of the rasters' classes, for the legend.
    """
    panels = [_Panel(raster, crowded=n_clusters > MOST_OUTLINES), *([] if zoom is None else [_Panel(zoom)])]
    for outline in outlines:
        rings, bounds = _rings(outline)
        for panel in panels if rings else ():
            panel.add(rings, bounds)
    text_px = max(16, max(raster.shape) // 50)
    pictures = [panel.picture(text_px) for panel in panels]
    if zoom is not None:
        _frame(pictures[0], raster, zoom)
    lines = [*_counts(raster, n_clusters), *caption]
    _compose(pictures, title, _legend(panels, classes), lines, text_px).save(path, format="PNG")


def _rings(outline: Outline) -> tuple[list[npt.NDArray[np.float64]], npt.NDArray[np.float64]]:
    if outline is None:
        return [], np.empty(0)
    if isinstance(outline, np.ndarray):
        return [outline], np.concatenate([outline.min(axis=0), outline.max(axis=0)])
    rings = shapely.get_rings(shapely.get_parts(outline))
    return [shapely.get_coordinates(ring) for ring in rings], shapely.bounds(outline)


def _counts(raster: Raster, n_clusters: int) -> list[str]:
    non, *others = (int(c.sum()) for c in raster.counts)
    clustered = sum(others)
    n = non + clustered
    height, width = (side * raster.pixel_nm / 1000.0 for side in raster.shape)
    percent = f", {100.0 * clustered / n:.1f} % clustered" if n else ""
    return [
        f"{n:,} localizations, {n_clusters:,} clusters{percent}",
        f"{width:.3g} x {height:.3g} um shown, {raster.pixel_nm:.3g} nm a pixel, y points down",
    ]


def _legend(panels: list[_Panel], classes: Sequence[str]) -> list[tuple[Color, str]]:
    non, *clustered = classes
    entries = [(_rgb(color), name) for name, color in zip(clustered, (CLUSTERED_COLOR, FIBER_COLOR), strict=False)]
    entries.append((_rgb(NON_CLUSTERED_COLOR), non))
    if not panels[0].drawn:
        return entries
    whole = panels[0].hidden()
    text = "outlines of clusters"
    if whole is not None:
        magnified = len(panels) > 1 and panels[1].drawn and panels[1].hidden() is None
        text += f", {'only magnified' if magnified else 'not drawn'} ({whole} in the whole image)"
    return [*entries, (OUTLINE_COLOR, text)]


def _rgb(color: npt.NDArray[np.float64]) -> Color:
    r, g, b = (int(v) for v in color)
    return r, g, b


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _frame(picture: Image.Image, whole: Raster, part: Raster) -> None:
    x0, y0, x1, y1 = part.bounds_nm
    corners = np.array([[x0, y0], [x1, y1]]) - (whole.x0_nm, whole.y0_nm)
    (left, top), (right, bottom) = np.rint(corners / whole.pixel_nm).astype(int).tolist()
    ImageDraw.Draw(picture).rectangle((left - 1, top - 1, right, bottom), outline=TEXT_COLOR, width=2)


def _scale_bar(picture: Image.Image, pixel_nm: float, size: int) -> None:
    """A bar of a round length, about a fifth of the picture's width, at the lower right."""
    longest = 0.22 * picture.width * pixel_nm
    decade = 10.0 ** np.floor(np.log10(longest))
    length = max(f * decade for f in (1, 2, 5) if f * decade <= longest)
    label = f"{length / 1000:g} um" if length >= 1000 else f"{length:g} nm"
    thick, pad = max(3, size // 5), max(8, size * 2 // 3)
    right, bottom = picture.width - 2 * pad, picture.height - 2 * pad
    left = right - round(length / pixel_nm)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((left - 2, bottom - thick - 1, right + 2, bottom + 2), fill=_PAPER)
    draw.rectangle((left, bottom - thick + 1, right, bottom), fill=TEXT_COLOR)
    middle = min((left + right) / 2, picture.width - pad - draw.textlength(label, _font(size)) / 2)
    at = (middle, bottom - thick - size // 3)
    draw.text(at, label, fill=TEXT_COLOR, font=_font(size), anchor="ms", stroke_width=3, stroke_fill=_PAPER)


def _compose(
    pictures: list[Image.Image], title: str, legend: list[tuple[Color, str]], lines: Sequence[str], size: int
) -> Image.Image:
    """Panels side by side, or stacked where the image is wide; the title above, legend and caption below the zoom."""
    main, aside = pictures[0], pictures[1:]
    beside = main.width < 1.7 * main.height
    side = max([_SIDE_TEXT_PX, *(p.width for p in aside)])
    wide = side if beside else max(_SIDE_TEXT_PX, main.width - sum(p.width + _GAP for p in aside))
    text = _text_block(legend, lines, wide, size)
    top = _GAP + size * 2
    under = top + main.height + _GAP
    if beside:
        x = 2 * _GAP + main.width
        places = [(x, top)] * len(aside)
        text_at = (x, top + sum(p.height + _GAP for p in aside))
        width = x + side + _GAP
    else:
        places = [(_GAP, under)] * len(aside)
        text_at = (_GAP + sum(p.width + _GAP for p in aside), under)
        width = max(_GAP + main.width, text_at[0] + wide) + _GAP
    ends = [top + main.height, text_at[1] + text.height]
    ends += [y + p.height for p, (_, y) in zip(aside, places, strict=True)]
    sheet = Image.new("RGB", (width, max(ends) + _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    font = _font(size * 4 // 3)
    draw.text((_GAP, _GAP), _shortened(title, font, width - 2 * _GAP), fill=TEXT_COLOR, font=font)
    for picture, at in zip([main, *aside], [(_GAP, top), *places], strict=True):
        sheet.paste(picture, at)
        draw.rectangle((at[0] - 1, at[1] - 1, at[0] + picture.width, at[1] + picture.height), outline=(58, 64, 78))
    sheet.paste(text, text_at)
    return sheet


def _text_block(legend: list[tuple[Color, str]], lines: Sequence[str], width: int, size: int) -> Image.Image:
    font, indent = _font(size), 2 * size
    rows: list[tuple[Color | None, str]] = []
    for color, text in legend:
        first, *rest = _wrapped(text, font, width - indent)
        rows += [(color, first), *((None, r) for r in rest)]
    body = [row for line in lines for row in _wrapped(line, font, width)]
    step = size * 3 // 2
    block = Image.new("RGB", (width, step * (len(rows) + len(body)) + size), _PAPER)
    draw = ImageDraw.Draw(block)
    for k, (dot, text) in enumerate(rows):
        y = k * step
        if dot is not None:
            draw.ellipse((size // 4, y + size // 4, size, y + size), fill=dot)
        draw.text((indent, y), text, fill=TEXT_COLOR, font=font)
    for k, text in enumerate(body):
        draw.text((0, (len(rows) + k) * step + size // 2), text, fill=DIM_TEXT_COLOR, font=font)
    return block


def _shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    """The text on one line, its middle left out where it does not fit."""
    text = " ".join(text.split())[:1000]
    keep = len(text)
    short = text
    while font.getlength(short) > width and keep > 1:
        keep -= 1
        short = f"{text[: (keep + 1) // 2]}…{text[len(text) - keep // 2 :]}"
    return short


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> list[str]:
    """Lines no wider than the width; a single word that is wider is shortened."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
        elif lines[-1]:
            lines.append(_shortened(word, font, width))
        else:
            lines[-1] = _shortened(word, font, width)
    return lines
