"""The film strip: windows side by side, clusters in the colors of their tracks."""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
import shapely
from PIL import Image, ImageDraw, ImageFont

from caml_dask.following.seen import FloatArray, Seen
from caml_dask.following.tables import MERGE, SPLIT
from caml_dask.following.tracks import Tracks
from caml_dask.overview.raster import BACKGROUND, Bounds, Raster, zoom_bounds
from caml_dask.overview.scale import draw_bar

Color: TypeAlias = tuple[int, int, int]
Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont

FRAMES = 12
"""Windows that a film strip shows at most."""
TEXT: Color = (226, 230, 238)
DIM: Color = (150, 158, 174)
BRIEF: Color = (120, 124, 134)
"""Of clusters that are seen in one window only."""
_PAPER: Color = tuple(int(v) for v in BACKGROUND)  # type: ignore[assignment]
_PANEL, _GAP, _SIZE, _COLUMNS = 380, 14, 18, 4
_GOLDEN = 0.618033988749895  # turns of the color wheel from a track to the next: neighbors in number differ most
_FILL = 0.35
_DOT = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))
_ASIDE = 22  # pixels from a cluster to the name of its event
_LARGEST = 0.4  # of the field, that a panel shows
_NAMED = (MERGE, SPLIT)  # events that are written beside the clusters; others are seen


def draw_film(
    path: Path, title: str, windows: Sequence[Seen], points_of: Callable[[int], FloatArray], found: Tracks
) -> None:
    """Write the film strip of an image as PNG.

    Parameters
    ----------
    path : Path
        File to write; it may have any name.
    title : str
        What the image is called.
    windows : sequence of Seen
        The windows that were analyzed; of more than `FRAMES`, as many are shown, spread evenly.
    points_of : callable
        (n, 2) coordinates in nm of the localizations of a window, by its number.
    found : Tracks
        The tracks of their clusters.
    """
    shown = [windows[k] for k in np.unique(np.linspace(0, len(windows) - 1, FRAMES).round().astype(int))]
    bounds, whole = _busiest(windows, found)
    columns = min(_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    step_x, step_y = _PANEL + _GAP, _PANEL + _GAP + 3 * _SIZE // 2
    top = 4 * _SIZE + _GAP
    sheet = Image.new("RGB", (max(_GAP + columns * step_x, 3 * step_x), top + rows * step_y + 2 * _SIZE), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_SIZE)
    draw.text((_GAP, _GAP // 2), title[:90], fill=TEXT, font=ImageFont.load_default(_SIZE * 4 // 3))
    draw.text((_GAP, _GAP // 2 + 2 * _SIZE), _where(bounds, whole), fill=DIM, font=font)
    colors = _colors(found.points)
    for place, seen in enumerate(shown):
        left, upper = _GAP + place % columns * step_x, top + place // columns * step_y
        panel, scale = _panel(seen, points_of(seen.window.number), bounds, found.points, colors)
        _name_events(panel, found.events[found.events["window"] == seen.window.number], bounds, scale)
        sheet.paste(panel, (left, upper + 3 * _SIZE // 2))
        words = f"frames {seen.window.start:,} to {seen.window.stop - 1:,}"
        draw.text((left, upper), words, fill=TEXT, font=font)
    legend = "a color is a track; gray: seen in one window only; dots: localizations"
    under = top + rows * step_y
    draw.text((_GAP, under), legend, fill=DIM, font=font)
    start, words = draw_bar(draw, sheet.width - _GAP, under + _SIZE // 2, 0.4 * _PANEL, scale, TEXT)
    draw.text((start - 8, under), words, fill=TEXT, font=font, anchor="ra")
    sheet.save(path, format="PNG")


def _busiest(windows: Sequence[Seen], found: Tracks) -> tuple[Bounds, Bounds]:
    """The square with most clusters of tracks that last, and the bounds of all clusters."""
    boxes = np.concatenate([shapely.bounds(seen.outlines).reshape(-1, 4) for seen in windows] + [np.zeros((0, 4))])
    boxes = boxes[~np.isnan(boxes).any(axis=1)]
    if not len(boxes):
        return (0.0, 0.0, 1000.0, 1000.0), (0.0, 0.0, 1000.0, 1000.0)
    whole = (*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist())
    points = found.points
    lasting = points[points.groupby("track_id")["window"].transform("size") > 1]
    some = lasting if len(lasting) else points
    width = float(np.sqrt(some["area_nm2"].median()))
    return zoom_bounds(some[["centroid_x_nm", "centroid_y_nm"]].to_numpy(), whole, width, _LARGEST), whole


def _where(bounds: Bounds, whole: Bounds) -> str:
    x0, y0, x1, y1 = (value / 1000 for value in bounds)
    return (
        f"{x1 - x0:.2g} x {y1 - y0:.2g} um with the most clusters, x {x0:.2f} to {x1:.2f}, y {y0:.2f} to {y1:.2f} um; "
        f"y points down; of {(whole[2] - whole[0]) / 1000:.3g} x {(whole[3] - whole[1]) / 1000:.3g} um"
    )


def _colors(points: pd.DataFrame) -> dict[int, Color]:
    """A color for each track; gray for those of one window."""
    windows = points.groupby("track_id")["window"].size()
    colors = {}
    for track, number in windows.items():
        r, g, b = colorsys.hsv_to_rgb((int(track) * _GOLDEN) % 1.0, 0.75, 1.0)
        colors[int(track)] = BRIEF if number == 1 else (round(255 * r), round(255 * g), round(255 * b))
    return colors


def _panel(
    seen: Seen, xy_nm: FloatArray, bounds: Bounds, points: pd.DataFrame, colors: dict[int, Color]
) -> tuple[Image.Image, float]:
    """One window: clusters filled and outlined, localizations as dots over them; and nm a pixel."""
    raster = Raster(bounds, _PANEL, margin=0.0)
    panel = Image.new("RGB", (_PANEL, _PANEL), tuple(v + 12 for v in _PAPER))
    draw = ImageDraw.Draw(panel)
    here = points[points["window"] == seen.window.number].set_index("cluster_id")["track_id"]
    inside = shapely.intersects(seen.outlines, shapely.box(*bounds))
    corner = (raster.x0_nm, raster.y0_nm)
    for cluster, outline in zip(seen.cluster_id[inside], seen.outlines[inside], strict=True):
        color = colors[int(here[cluster])]
        dark = tuple(round(_FILL * c + (1 - _FILL) * p) for c, p in zip(color, _PAPER, strict=True))
        for part in shapely.get_parts(outline):
            ring = (shapely.get_coordinates(part.exterior) - corner) / raster.pixel_nm
            draw.polygon([tuple(p) for p in ring], fill=dark)
            draw.line([tuple(p) for p in ring], fill=color, width=2)
    pixels = np.array(panel)
    column, row = np.floor((xy_nm - corner) / raster.pixel_nm).astype(np.int64).T
    for right, down in _DOT:
        x, y = column + right, row + down
        there = (x >= 0) & (x < _PANEL) & (y >= 0) & (y < _PANEL)
        pixels[y[there], x[there]] = TEXT
    return Image.fromarray(pixels), raster.pixel_nm


def _name_events(panel: Image.Image, events: pd.DataFrame, bounds: Bounds, pixel_nm: float) -> None:
    """What merged or split since the window before."""
    draw, font = ImageDraw.Draw(panel), ImageFont.load_default(_SIZE * 3 // 4)
    for event in events[events["kind"].isin(_NAMED)].itertuples():
        place = ((event.x_nm - bounds[0]) / pixel_nm, (event.y_nm - bounds[1]) / pixel_nm)
        beside = (place[0], place[1] + (_ASIDE if event.kind == SPLIT else -_ASIDE))
        draw.text(beside, event.kind, fill=TEXT, font=font, anchor="mm", stroke_width=2, stroke_fill=_PAPER)
