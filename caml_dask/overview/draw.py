"""The overview picture of an image: all localizations, magnified spots with outlines, scale bars and counts.

No text lies on a picture but the letters of the spots, which avoid clusters. Text is large enough to be read where the
whole picture is 512 pixels wide.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from PIL import Image, ImageDraw

from caml_dask.overview.marks import mark
from caml_dask.overview.panel import MOST_OUTLINES, OUTLINE_COLOR, REGION_COLOR, Outline, Panel, batches
from caml_dask.overview.png import Sheet, frame, paste
from caml_dask.overview.raster import CLUSTERED_COLOR, FIBER_COLOR, NON_CLUSTERED_COLOR, Raster
from caml_dask.overview.text import PAPER, TEXT_COLOR, Color, block, font_of, shortened, under_panel, under_px

RIM_COLOR: Color = (58, 64, 78)
METADATA = "caml_dask"
"""Keyword of the text in the PNG that says, as JSON, which part of which image each panel shows, and its pixel size."""

_GAP = 28
_TEXT_SHARE = 54  # of the picture's width: 9.5 pixels where it is 512 wide
_LEAST_TEXT_PX = 16
_WIDE = 1.7  # times as wide as high: spots are below the image


@dataclass(frozen=True, eq=False)
class Spot:
    """A square that is magnified.

    Parameters
    ----------
    name : str
        What it shows.
    raster : Raster
        Its localizations.
    """

    name: str
    raster: Raster


@dataclass(frozen=True, eq=False)
class _Placed:
    """A panel on the sheet, the place of its upper left corner, and what is written under it."""

    panel: Panel
    left: int
    top: int
    name: str


def draw_overview(
    raster: Raster,
    outlines: Iterable[Outline],
    title: str,
    caption: Sequence[str],
    path: Path | str,
    n_clusters: int,
    spots: Sequence[Spot] = (),
    classes: Sequence[str] = ("non-clustered", "clustered"),
    regions: Sequence[shapely.Geometry] = (),
) -> None:
    """Write the overview as PNG; the same localizations and outlines in any order give the same bytes.

    y points down, as programs for single-molecule localization show it. Beside the image, or below a wide one, are the
    spots, framed in the image under their letters. Outlines are left out of a panel, and the legend says so, where
    there are more than 50,000 or where the median cluster is narrower than 14 pixels. The PNG holds the pixel size and
    place of each panel as JSON, under the keyword "caml_dask".

    Parameters
    ----------
    raster : counts of the whole image.
    outlines : shapely polygons or (n, 2) closed rings in nm, None for a cluster without an outline; of all clusters, or
        where there are more than 50,000 of those near the spots.
    title : name of the image; shortened where it is too long.
    caption : what is said below the legend; wrapped where it is too long.
    path : file to write.
    n_clusters : clusters in the image.
    spots : what is magnified, at most 26, of one size in pixels.
    classes : names of the rasters' classes, for the legend.
    regions : regions of interest, whose borders are drawn, in nm.
    """
    whole = Panel(raster, crowded=n_clusters > MOST_OUTLINES)
    aside = [Panel(spot.raster) for spot in spots]
    for some in batches(outlines):
        for panel in (whole, *aside):
            panel.add(some)
    for panel in (whole, *aside) if len(regions) else ():
        panel.add_regions(regions)
    width, size, placed, bottom = _laid_out(whole, aside, [spot.name for spot in spots])
    lines = [*_counts(raster, n_clusters), ", ".join(caption)]
    text = block(_legend(whole, aside, classes, bool(regions)), lines, width - 2 * _GAP, size)
    sheet = Sheet(width, bottom + text.height + _GAP, PAPER)
    paste(sheet.pixels, _title(title, width, size), 0, 0)
    for one in placed:
        _put(sheet.pixels, one, [spot.raster.bounds_nm for spot in spots] if one.panel is whole else (), size)
    paste(sheet.pixels, text, _GAP, bottom)
    sheet.write(path, {METADATA: _metadata(title, placed)})


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


def _laid_out(whole: Panel, aside: Sequence[Panel], names: Sequence[str]) -> tuple[int, int, list[_Placed], int]:
    """Width of the sheet, size of its text, where each panel is, and where the text below them begins.

    Spots are in two columns beside the image, or in a row below a wide one.
    """
    side = max((panel.width for panel in aside), default=0)
    below = whole.width >= _WIDE * whole.height
    columns = len(aside) if below else min(2, len(aside))
    spots_px = columns * (side + _GAP)
    width = _GAP + (max(whole.width + _GAP, spots_px) if below else whole.width + _GAP + spots_px)
    size = max(_LEAST_TEXT_PX, width // _TEXT_SHARE)
    top = _GAP + size * 2
    under = top + whole.height + size // 3 + under_px(size, 1)
    left, upper = (_GAP, under + _GAP // 2) if below else (2 * _GAP + whole.width, top)
    step = side + size // 3 + under_px(size, 2) + _GAP // 2
    placed = [_Placed(whole, _GAP, top, "")]
    for k, (panel, name) in enumerate(zip(aside, names, strict=True)):
        column, row = k % columns, k // columns
        at = left + column * (side + _GAP), upper + row * step
        placed.append(_Placed(panel, *at, f"{chr(ord('A') + k)}  {name}"))
    rows = -(-len(aside) // max(1, columns))
    return width, size, placed, max(under, upper + rows * step if aside else 0)


def _put(pixels: npt.NDArray[np.uint8], one: _Placed, spots: Sequence[Any], size: int) -> None:
    """A panel with its rim, the frames of spots on it, and its name and scale bar under it."""
    panel, left, top = one.panel, one.left, one.top
    part = pixels[top : top + panel.height, left : left + panel.width]
    panel.paint(part)
    if spots:
        mark(part, panel.raster, spots, size * 4 // 5)  # they fit the margin of the image
    frame(pixels, (left - 1, top - 1, left + panel.width, top + panel.height), RIM_COLOR)
    paste(pixels, under_panel(one.name, panel.width, panel.raster.pixel_nm, size), left, top + panel.height + size // 3)


def _metadata(title: str, placed: Sequence[_Placed]) -> str:
    panels = [
        {
            "name": one.name or "whole image",
            "left_px": one.left,
            "top_px": one.top,
            "width_px": one.panel.width,
            "height_px": one.panel.height,
            "x0_nm": float(one.panel.raster.x0_nm),
            "y0_nm": float(one.panel.raster.y0_nm),
            "pixel_nm": float(one.panel.raster.pixel_nm),
        }
        for one in placed
    ]
    return json.dumps({"image_id": title, "panels": panels})


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


def _legend(whole: Panel, aside: Sequence[Panel], classes: Sequence[str], regions: bool) -> list[tuple[Color, str]]:
    non, *clustered = classes
    entries = [(_rgb(color), name) for name, color in zip(clustered, (CLUSTERED_COLOR, FIBER_COLOR), strict=False)]
    entries.append((_rgb(NON_CLUSTERED_COLOR), non))
    if regions:
        entries.append((REGION_COLOR, "border of what is counted"))
    if not whole.drawn():
        return entries
    text = "outlines of clusters"
    if (why := whole.hidden()) is not None:
        magnified = any(panel.drawn() and panel.hidden() is None for panel in aside)
        text += f", {'only magnified' if magnified else 'not drawn'} ({why} in the whole image)"
    return [*entries, (OUTLINE_COLOR, text)]


def _rgb(color: npt.NDArray[np.float64]) -> Color:
    r, g, b = (int(v) for v in color)
    return r, g, b


def _title(title: str, width: int, size: int) -> Image.Image:
    large = size * 4 // 3
    strip, font = Image.new("RGB", (width, _GAP + size * 2 - 1), PAPER), font_of(large)
    text = shortened(title, font, width - 2 * _GAP)
    ImageDraw.Draw(strip).text((_GAP, _GAP), text, fill=TEXT_COLOR, font=font)
    return strip
