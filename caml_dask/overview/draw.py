"""The overview picture of an image: all localizations, a magnified region with outlines, scale bars and counts."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import shapely
from PIL import Image, ImageDraw, ImageFont

from caml_dask.overview.lines import Outlines
from caml_dask.overview.png import Sheet, frame, paste
from caml_dask.overview.raster import (
    BACKGROUND,
    CLUSTERED_COLOR,
    FIBER_COLOR,
    NON_CLUSTERED_COLOR,
    Raster,
    zoom_bounds,
)

__all__ = ["Raster", "draw_overview", "field_box", "zoom_bounds"]

Outline: TypeAlias = shapely.Geometry | npt.NDArray[np.float64] | None
Color: TypeAlias = tuple[int, int, int]
Pixels: TypeAlias = npt.NDArray[np.uint8]

OUTLINE_COLOR: Color = (120, 235, 225)
TEXT_COLOR: Color = (226, 230, 238)
DIM_TEXT_COLOR: Color = (150, 158, 174)
REGION_COLOR: Color = (250, 215, 90)
RIM_COLOR: Color = (58, 64, 78)
MOST_OUTLINES = 50_000
NARROWEST_PX = 14.0

_PAPER: Color = tuple(int(v) for v in BACKGROUND)  # type: ignore[assignment]
_AT_A_TIME = 1024  # outlines held as arrays of coordinates
_GAP = 28
_SIDE_TEXT_PX = 420


class _Panel:
    """A raster with the outlines that fall on it."""

    def __init__(self, raster: Raster, crowded: bool = False):
        self.raster = raster
        self.height, self.width = raster.shape
        self._crowded = crowded
        self._widths_px = [np.zeros(0)]
        self._lines = Outlines(raster.shape)
        self._borders = Outlines(raster.shape)

    def add(self, outlines: npt.NDArray[np.object_]) -> None:
        """Draw those of the outlines, (c,) polygons, that fall on the panel."""
        x0, y0, x1, y1 = self.raster.bounds_nm
        low, high = np.split(shapely.bounds(outlines).reshape(-1, 4), 2, axis=1)
        seen = np.all((low <= (x1, y1)) & (high >= (x0, y0)), axis=1)
        self._widths_px.append((high - low)[seen].max(axis=1) / self.raster.pixel_nm)
        if not self._crowded:
            self._lines.add(outlines[seen], x0, y0, self.raster.pixel_nm)

    def add_regions(self, regions: Sequence[shapely.Geometry]) -> None:
        """Draw the borders of regions, three pixels wide: the report shows the picture smaller."""
        x0, y0, _, _ = self.raster.bounds_nm
        step, shapes = self.raster.pixel_nm, np.array(regions, dtype=object)
        for dx, dy in ((0, 0), (-step, 0), (step, 0), (0, -step), (0, step)):
            self._borders.add(shapes, x0 + dx, y0 + dy, step)

    def drawn(self) -> bool:
        """Whether there are outlines on the panel."""
        return any(len(widths) for widths in self._widths_px)

    def hidden(self) -> str | None:
        """Why no outlines are shown, if none are."""
        if self._crowded:
            return f"more than {MOST_OUTLINES:,}"
        if self.drawn() and np.median(np.concatenate(self._widths_px)) < NARROWEST_PX:
            return "too small"
        return None

    def paint(self, pixels: Pixels, text_px: int) -> None:
        """Fill a part of the sheet of the panel's size."""
        self.raster.paint(pixels)
        if self.hidden() is None:
            self._lines.paint(pixels, OUTLINE_COLOR)
        self._borders.paint(pixels, REGION_COLOR)
        _scale_bar(pixels, self.raster.pixel_nm, text_px)


def draw_overview(
    raster: Raster,
    outlines: Iterable[Outline],
    title: str,
    caption: Sequence[str],
    path: Path | str,
    n_clusters: int,
    zoom: Raster | None = None,
    classes: Sequence[str] = ("non-clustered", "clustered"),
    regions: Sequence[shapely.Geometry] = (),
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
    regions : regions of interest, whose borders are drawn, in nm.
    """
    panels = [_Panel(raster, crowded=n_clusters > MOST_OUTLINES), *([] if zoom is None else [_Panel(zoom)])]
    for some in _batches(outlines):
        for panel in panels:
            panel.add(some)
    for panel in panels if len(regions) else ():
        panel.add_regions(regions)
    text_px = max(16, max(raster.shape) // 50)
    lines = [*_counts(raster, n_clusters), *caption]
    _compose(panels, title, _legend(panels, classes, bool(regions)), lines, text_px).write(path)


def field_box(picture: npt.NDArray[np.uint8]) -> tuple[int, int, int, int] | None:
    """Where the whole image is in its overview, without title, magnified region and legend.

    Parameters
    ----------
    picture : (h, w, 3) pixels of an overview.

    Returns
    -------
    Left, top, right and bottom in pixels; None where its frame is not found.
    """
    left = _GAP - 1
    if picture.shape[1] <= left:
        return None
    down = np.flatnonzero((picture[:, left] == RIM_COLOR).all(axis=1))
    if len(down) == 0:
        return None
    top, right = int(down[0]), left + _run((picture[down[0], left:] == RIM_COLOR).all(axis=1))
    bottom = top + _run((picture[top:, left] == RIM_COLOR).all(axis=1))
    box = (left + 1, top + 1, right - 1, bottom - 1)
    return box if box[0] < box[2] and box[1] < box[3] else None


def _run(same: npt.NDArray[np.bool_]) -> int:
    """Length of the run that an array begins with."""
    return int(np.argmin(same)) if not same.all() else len(same)


def _batches(outlines: Iterable[Outline]) -> Iterator[npt.NDArray[np.object_]]:
    """Outlines that there are, as arrays of polygons."""
    there = (o for o in outlines if o is not None)
    while some := list(itertools.islice(there, _AT_A_TIME)):
        yield np.array([shapely.polygons(o) if isinstance(o, np.ndarray) else o for o in some], dtype=object)


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


def _legend(panels: list[_Panel], classes: Sequence[str], regions: bool) -> list[tuple[Color, str]]:
    non, *clustered = classes
    entries = [(_rgb(color), name) for name, color in zip(clustered, (CLUSTERED_COLOR, FIBER_COLOR), strict=False)]
    entries.append((_rgb(NON_CLUSTERED_COLOR), non))
    if regions:
        entries.append((REGION_COLOR, "border of what is counted"))
    if not panels[0].drawn():
        return entries
    whole = panels[0].hidden()
    text = "outlines of clusters"
    if whole is not None:
        magnified = len(panels) > 1 and panels[1].drawn() and panels[1].hidden() is None
        text += f", {'only magnified' if magnified else 'not drawn'} ({whole} in the whole image)"
    return [*entries, (OUTLINE_COLOR, text)]


def _rgb(color: npt.NDArray[np.float64]) -> Color:
    r, g, b = (int(v) for v in color)
    return r, g, b


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _scale_bar(pixels: Pixels, pixel_nm: float, size: int) -> None:
    """A bar of a round length, about a fifth of the picture's width, at the lower right."""
    height, width = pixels.shape[:2]
    longest = 0.22 * width * pixel_nm
    decade = 10.0 ** np.floor(np.log10(longest))
    length = max(f * decade for f in (1, 2, 5) if f * decade <= longest)
    label = f"{length / 1000:g} um" if length >= 1000 else f"{length:g} nm"
    thick, pad = max(3, size // 5), max(8, size * 2 // 3)
    # only the lowest rows are drawn on
    first = max(0, height - 2 * pad - thick - 3 * size)
    picture = Image.fromarray(pixels[first:])
    right, bottom = width - 2 * pad, height - 2 * pad - first
    left = right - round(length / pixel_nm)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((left - 2, bottom - thick - 1, right + 2, bottom + 2), fill=_PAPER)
    draw.rectangle((left, bottom - thick + 1, right, bottom), fill=TEXT_COLOR)
    middle = min((left + right) / 2, width - pad - draw.textlength(label, _font(size)) / 2)
    at = (middle, bottom - thick - size // 3)
    draw.text(at, label, fill=TEXT_COLOR, font=_font(size), anchor="ms", stroke_width=3, stroke_fill=_PAPER)
    pixels[first:] = np.asarray(picture)


def _frame_part(pixels: Pixels, whole: Raster, part: Raster) -> None:
    """Frame in the picture of the whole image what is magnified beside it."""
    x0, y0, x1, y1 = part.bounds_nm
    corners = np.array([[x0, y0], [x1, y1]]) - (whole.x0_nm, whole.y0_nm)
    (left, top), (right, bottom) = np.rint(corners / whole.pixel_nm).astype(int).tolist()
    frame(pixels, (left - 1, top - 1, right, bottom), TEXT_COLOR, thick=2)


def _compose(
    panels: list[_Panel], title: str, legend: list[tuple[Color, str]], lines: Sequence[str], size: int
) -> Sheet:
    """Panels side by side, or stacked where the image is wide; the title above, legend and caption below the zoom."""
    main, aside = panels[0], panels[1:]
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
    sheet = Sheet(width, max(ends) + _GAP, _PAPER)
    paste(sheet.pixels, _title(title, width, top - 1, size * 4 // 3), 0, 0)
    for panel, (x, y) in zip(panels, [(_GAP, top), *places], strict=True):
        part = sheet.pixels[y : y + panel.height, x : x + panel.width]
        panel.paint(part, size)
        if panel is main and aside:
            _frame_part(part, main.raster, aside[0].raster)
        frame(sheet.pixels, (x - 1, y - 1, x + panel.width, y + panel.height), RIM_COLOR)
    paste(sheet.pixels, text, *text_at)
    return sheet


def _title(title: str, width: int, height: int, size: int) -> Image.Image:
    strip, font = Image.new("RGB", (width, height), _PAPER), _font(size)
    text = _shortened(title, font, width - 2 * _GAP)
    ImageDraw.Draw(strip).text((_GAP, _GAP), text, fill=TEXT_COLOR, font=font)
    return strip


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
