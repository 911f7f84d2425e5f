"""The picture of a pair: both channels over each other, and curves beside what randomness gives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import shapely
from PIL import Image, ImageDraw, ImageFont

from caml_dask.channels.figures import CROSS, A, B
from caml_dask.channels.randomized import PLACEMENT, SHIFT
from caml_dask.overview.lines import Outlines
from caml_dask.overview.raster import BACKGROUND, Raster, zoom_bounds

if TYPE_CHECKING:
    from caml_dask.channels.colocalization import Colocalization

Color: TypeAlias = tuple[int, int, int]
FloatArray: TypeAlias = npt.NDArray[np.float64]
Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont

COLOR_A: Color = (255, 70, 220)
COLOR_B: Color = (70, 235, 90)
BAND: Color = (92, 98, 112)
TEXT: Color = (226, 230, 238)
DIM: Color = (150, 158, 174)
_PAPER: Color = tuple(int(v) for v in BACKGROUND)  # type: ignore[assignment]
_PANEL, _GAP, _SIZE = 760, 36, 18
_PLOT = 240  # height of a plot
_CLIP = 0.995
_FAINTEST = 0.5
_BANDS = {SHIFT: "shifted B", PLACEMENT: "B with its clusters elsewhere"}


def draw_pair(pair: Colocalization, path: Path) -> None:
    """Write the picture of a pair as PNG.

    Parameters
    ----------
    pair : Colocalization
        The pair.
    path : Path
        File to write; it may have any name.
    """
    font = ImageFont.load_default(_SIZE)
    width, height = 3 * _GAP + 2 * _PANEL, 5 * _GAP + _PANEL + _PLOT + 2 * _SIZE
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    title = f"A {pair.a.name}    B {pair.b.name}"
    draw.text((_GAP, _GAP // 2), title[:140], fill=TEXT, font=ImageFont.load_default(_SIZE * 4 // 3))
    top = 2 * _GAP
    x0, y0, x1, y1 = pair.domain.shape.bounds
    zoom = _zoom(pair)
    for left, bounds, outlined in ((_GAP, (x0, y0, x1, y1), False), (2 * _GAP + _PANEL, zoom, True)):
        panel, scale = _overlay(pair, bounds, outlined)
        sheet.paste(Image.fromarray(panel), (left, top))
        _scale_bar(draw, left + panel.shape[1], top + panel.shape[0], panel.shape[1], scale, font)
    legend = top + _PANEL + _SIZE // 2
    place = float(_GAP)
    entries = [(COLOR_A, "A"), (COLOR_B, "B"), ((255, 255, 255), "both")]
    if pair.randomized:
        entries.append((BAND, f"95 % of {_BANDS[next(iter(pair.randomized))]}"))
    for color, words in entries:
        draw.ellipse((place, legend + 4, place + _SIZE - 4, legend + _SIZE), fill=color)
        draw.text((place + _SIZE + 4, legend), words, fill=TEXT, font=font)
        place += 2 * _SIZE + draw.textlength(words, font) + 8
    draw.text((place + _SIZE, legend), _shift_words(pair), fill=DIM, font=font)
    rows = legend + 2 * _SIZE + _GAP // 2
    third = (width - 5 * _GAP) // 3
    _plots(draw, pair, rows, third, font)
    sheet.save(path, format="PNG")


def _zoom(pair: Colocalization) -> tuple[float, float, float, float]:
    """Where clusters of B are close to those of A, or else where there are most clusters."""
    near = pair.found.overlapped[B].nearest_nm
    chosen = pair.b.centroids_nm[near <= np.median(near)] if len(near) else pair.a.centroids_nm
    widths = np.sqrt(shapely.area(np.concatenate([pair.a.outlines, pair.b.outlines])))
    typical = float(np.median(widths)) if len(widths) else 0.0
    return zoom_bounds(chosen[:, :2], pair.domain.shape.bounds, typical)


def _overlay(
    pair: Colocalization, bounds: tuple[float, float, float, float], outlined: bool
) -> tuple[npt.NDArray[np.uint8], float]:
    """Both channels added in their colors, y down, and nm a pixel."""
    raster = Raster(bounds, _PANEL)
    picture = np.zeros((*raster.shape, 3))
    for number, (channel, color) in enumerate(((pair.a, COLOR_A), (pair.b, COLOR_B))):
        labels = np.full(len(channel.points_nm), number, dtype=np.int8)
        raster.add(channel.points_nm[:, 0], channel.points_nm[:, 1], labels)
        picture += _bright(raster.counts[number].astype(np.float64))[:, :, None] * np.array(color)
    pixels = np.minimum(picture + BACKGROUND, 255).astype(np.uint8)
    if outlined:
        for channel, color in ((pair.a, COLOR_A), (pair.b, COLOR_B)):
            lines = Outlines(raster.shape)
            lines.add(channel.outlines, raster.x0_nm, raster.y0_nm, raster.pixel_nm)
            lines.paint(pixels, color)
    return pixels, raster.pixel_nm


def _bright(counts: FloatArray) -> FloatArray:
    """0 to 1: a single localization shows, and the fullest pixels are as bright as can be."""
    if not counts.any():
        return counts
    most = max(1.0, float(np.quantile(counts[counts > 0], _CLIP)))
    spread = np.zeros_like(counts)
    # a dot of three pixels, so that single localizations are seen
    for di in (-1, 0, 1):
        for dj in (-1, 0, 1):
            spread = np.maximum(spread, np.roll(counts, (di, dj), axis=(0, 1)) * (1.0 if di == dj == 0 else 0.6))
    share = np.log1p(np.minimum(spread, most)) / np.log1p(most)
    return np.asarray(np.where(spread > 0, _FAINTEST + (1 - _FAINTEST) * share, 0.0))


def _shift_words(pair: Colocalization) -> str:
    shift = pair.shift
    if shift.dx_nm is None or shift.dy_nm is None:
        return "shift of B: unknown"
    error = "" if shift.error_nm is None else f" (error {shift.error_nm:.1f})"
    state = "taken from B" if shift.applied else "left as it is" if shift.certain else "not certain"
    return f"shift of B by {shift.source}: {shift.dx_nm:.1f}, {shift.dy_nm:.1f} nm{error}, {state}"


def _plots(draw: ImageDraw.ImageDraw, pair: Colocalization, top: int, width: int, font: Font) -> None:
    """Cross pair correlation, distances of localizations and clusters, degrees of colocalization."""
    curves, radii = pair.curves, pair.measures.radii_nm
    lefts = [_GAP + k * (3 * _GAP // 2 + width) for k in range(3)]
    boxes = [(left, top + 20, left + width, top + 20 + _PLOT) for left in lefts]
    way = next(iter(pair.randomized), None)

    def of(name: str) -> dict[str, FloatArray]:
        part = curves[curves["curve"] == name]
        found = {"value": part["value"].to_numpy()}
        if way is not None:
            found |= {end: part[f"{way}_{end}"].to_numpy() for end in ("observed", "low", "high")}
        return found

    g = of(CROSS)
    _plot(
        draw, boxes[0], radii, [(g.get("observed", g["value"]), TEXT)], _band(g), "cross pair correlation, by nm", font
    )
    lines, bands = [], []
    for side, color in ((A, COLOR_A), (B, COLOR_B)):
        found = of(f"distances_{side}")
        lines.append((found.get("observed", found["value"]), color))
        bands += _band(found)
    words = "share with the other channel within, by nm"
    _plot(draw, boxes[1], radii, lines, bands, words, font, highest=1.0)
    edges = np.linspace(-1, 1, 41)
    lines = []
    for side, color in ((A, COLOR_A), (B, COLOR_B)):
        doc = pair.found.localized[side].doc
        counts = np.histogram(doc[~np.isnan(doc)], edges)[0]
        lines.append((counts / max(1, counts.sum()), color))
    _plot(draw, boxes[2], (edges[1:] + edges[:-1]) / 2, lines, [], "degree of colocalization, share of each 0.05", font)


def _band(found: dict[str, FloatArray]) -> list[tuple[FloatArray, FloatArray]]:
    return [(found["low"], found["high"])] if "low" in found else []


def _plot(
    draw: ImageDraw.ImageDraw,
    box: tuple[int, int, int, int],
    x: FloatArray,
    lines: list[tuple[FloatArray, Color]],
    bands: list[tuple[FloatArray, FloatArray]],
    words: str,
    font: Font,
    highest: float | None = None,
) -> None:
    """Lines over gray bands, from 0 up, in a box."""
    left, top, right, bottom = box
    values = np.concatenate([*(line for line, _ in lines), *(high for _, high in bands)])
    values = values[np.isfinite(values)]
    most = highest or (float(values.max()) * 1.05 if len(values) and values.max() > 0 else 1.0)

    def at(xs: FloatArray, ys: FloatArray) -> list[tuple[float, float]]:
        px = left + (xs - x[0]) / (x[-1] - x[0]) * (right - left)
        py = bottom - np.clip(ys / most, 0, 1) * (bottom - top)
        return list(zip(px.tolist(), py.tolist(), strict=True))

    for low, high in bands:
        fine = np.isfinite(low) & np.isfinite(high)
        if fine.sum() > 1:
            draw.polygon(at(x[fine], low[fine]) + at(x[fine], high[fine])[::-1], fill=BAND)
    draw.line([(left, top), (left, bottom), (right, bottom)], fill=DIM)
    for line, color in lines:
        fine = np.isfinite(line)
        if fine.sum() > 1:
            draw.line(at(x[fine], line[fine]), fill=color, width=2)
    draw.text((left, top - 24), f"{words} (up to {most:.3g})", fill=TEXT, font=font)
    for value in np.linspace(*_round(x), 5):
        px = left + (value - x[0]) / (x[-1] - x[0]) * (right - left)
        draw.line([(px, bottom), (px, bottom + 5)], fill=DIM)
        draw.text((px, bottom + 8), f"{value:.3g}", fill=DIM, font=font, anchor="ma")


def _round(x: FloatArray) -> tuple[float, float]:
    """Ends of the ticks: whole numbers of the steps, with 0 where x has both signs."""
    if x[0] < 0 < x[-1]:
        return -0.8, 0.8
    return float(x[-1]) / 5, float(x[-1])


def _scale_bar(draw: ImageDraw.ImageDraw, right: int, bottom: int, width: int, pixel_nm: float, font: Font) -> None:
    """A bar of a round length at the lower right of a panel."""
    longest = 0.25 * width * pixel_nm
    decade = 10.0 ** np.floor(np.log10(longest))
    length = max(f * decade for f in (1, 2, 5) if f * decade <= longest)
    words = f"{length / 1000:g} um" if length >= 1000 else f"{length:g} nm"
    pixels = length / pixel_nm
    draw.rectangle((right - 16 - pixels, bottom - 20, right - 16, bottom - 15), fill=TEXT)
    place = (right - 16 - pixels / 2, bottom - 26)
    draw.text(place, words, fill=TEXT, font=font, anchor="ms", stroke_width=2, stroke_fill=_PAPER)
