"""What all plots share, and the curve of drift: coordinates, which the page's templates draw as SVG.

Every text goes through the templates' escaping.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from caml_dask.report.numbers import tick, ticks

# The colors of Okabe and Ito, told apart with any kind of color vision, without their yellow, faint on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("", "7 3", "2 3", "10 3 2 3")  # from the eighth condition on, lines differ by these
WIDTH_PX, LEFT_PX, RIGHT_PX, TOP_PX, PLOT_PX, AXIS_PX = 560.0, 94.0, 16.0, 10.0, 270.0, 46.0
LINE_PX = 17.0  # of text
DRIFT_LEFT_PX, DRIFT_PX, DRIFT_WIDTH_PX = 56.0, 120.0, 340.0  # small: it is beside the image
_NARROWEST_COLUMN_PX = 46.0
_CHARACTER_PX = 7.0
_LABEL_CHARACTERS = 26
_SLOPE = math.sin(math.radians(35))  # of labels that do not fit side by side
_STEPS = 200


@dataclass(frozen=True)
class Tick:
    """A place on an axis, in pixels, and its label."""

    at: float
    label: str


@dataclass(frozen=True)
class Label:
    """The name of a condition below its column.

    name : the whole of it
    lines : as they are shown: its name, then what it counts; one line where it slopes
    """

    name: str
    x: float
    lines: tuple[str, ...]
    slopes: bool


@dataclass(frozen=True)
class Entry:
    """An entry of a legend, in pixels."""

    name: str
    label: str
    x: float
    y: float
    color: str
    mark: str


@dataclass(frozen=True)
class Curve:
    """A line: its corners, as SVG takes them."""

    name: str
    color: str
    dash: str
    points: str


def style(index: int) -> tuple[str, str]:
    """Color and dashes of the condition at `index`."""
    return COLORS[index % len(COLORS)], DASHES[index // len(COLORS) % len(DASHES)]


def shortened(name: str, most: int = _LABEL_CHARACTERS) -> str:
    """A label that fits beside a plot."""
    return name if len(name) <= most else name[: most - 1] + "…"


def condition_labels(counts: Mapping[str, Sequence[str]]) -> tuple[tuple[Label, ...], float, float]:
    """Places of conditions side by side, with the width of their plot and the height of what stands below it.

    counts : condition to lines on what it holds
    """
    width = max(WIDTH_PX, LEFT_PX + RIGHT_PX + _NARROWEST_COLUMN_PX * len(counts))
    column = (width - LEFT_PX - RIGHT_PX) / max(1, len(counts))
    wrapped = {name: textwrap.wrap(shortened(name), max(1, int(column / _CHARACTER_PX)) or 1) for name in counts}
    fits = all(len(lines) <= 2 for lines in wrapped.values()) and all(
        len(line) * _CHARACTER_PX <= column for lines in counts.values() for line in lines
    )
    labels = []
    for index, (name, lines) in enumerate(counts.items()):
        shown = (*wrapped[name], *lines) if fits else (f"{shortened(name)} ({', '.join(lines)})",)
        labels.append(Label(name, round(LEFT_PX + column * (index + 0.5), 1), shown, not fits))
    if fits:
        below = LINE_PX * max((len(label.lines) for label in labels), default=0)
    else:
        below = _CHARACTER_PX * max(len(label.lines[0]) for label in labels) * _SLOPE
    return tuple(labels), width, below + 12.0


def legend(entries: Sequence[tuple[str, str, str]], y: float, width: float) -> tuple[tuple[Entry, ...], float]:
    """Entries of a legend (label, color and mark), row by row, and the height at which it ends."""
    found, x = [], 16.0
    for name, color, mark in entries:
        label = shortened(name, 48)
        needed = 34.0 + _CHARACTER_PX * len(label)
        if x > 16.0 and x + needed > width:
            x, y = 16.0, y + LINE_PX + 2.0
        found.append(Entry(name, label, x, y, color, mark))
        x += needed + 8.0
    return tuple(found), y


@dataclass(frozen=True)
class LogAxis:
    """A logarithmic axis over values: logarithms of its ends, and the values that it labels."""

    low: float
    high: float
    marks: tuple[float, ...]


def log_axis(low: float, high: float) -> LogAxis:
    """The axis from one positive value to another."""
    first, last = math.log10(low), math.log10(high)
    if last - first < 0.1:
        first, last = first - 0.05, last + 0.05
    decades = [(d, f) for d in range(math.floor(first), math.ceil(last) + 1) for f in (1, 2, 5)]
    marks = [(d, f) for d, f in decades if first <= d + math.log10(f) <= last]
    if len(marks) > 7:
        marks = [(d, f) for d, f in marks if f == 1]
    values = [f * 10.0**d for d, f in marks]
    if len(values) < 2:
        values = [m for m in ticks(10**first, 10**last) if m > 0 and first <= math.log10(m) <= last]
    return LogAxis(first, last, tuple(values))


@dataclass(frozen=True)
class DriftPlot:
    """Drift of an image on each axis, by frame; `summary` says the rest in words."""

    name: str
    summary: str
    width: float
    height: float
    curves: tuple[Curve, ...]
    ticks: tuple[Tick, ...]
    heights: tuple[Tick, ...]


def drift_plot(
    frame: npt.NDArray[np.int64], drift_nm: Mapping[str, npt.NDArray[np.float64]], summary: str, name: str
) -> DriftPlot:
    """Lay out the drift of an image.

    frame : (f,) frames, ascending
    drift_nm : axis to (f,) values
    name : of the files that it is saved to
    """
    left, width, height = DRIFT_LEFT_PX, DRIFT_WIDTH_PX - DRIFT_LEFT_PX - 2 * RIGHT_PX, DRIFT_PX
    shown = np.unique(np.linspace(0, len(frame) - 1, _STEPS + 1).astype(np.int64))
    everything = np.concatenate(list(drift_nm.values()))
    marks = ticks(float(everything.min()), float(everything.max()))
    low, high = min(marks[0], float(everything.min())), max(marks[-1], float(everything.max()))
    scale = height / (high - low) if high > low else 0.0
    across = width / max(1, int(frame[-1] - frame[0]))
    x = left + (frame[shown] - frame[0]) * across
    curves = tuple(
        Curve(axis, *style(index), corners(x, TOP_PX + height - (values[shown] - low) * scale))
        for index, (axis, values) in enumerate(drift_nm.items())
    )
    places = (Tick(left, f"{frame[0]:,}"), Tick(left + width, f"{frame[-1]:,}"))
    heights = tuple(Tick(round(TOP_PX + height - (m - low) * scale, 1), tick(m)) for m in marks)
    return DriftPlot(name, summary, DRIFT_WIDTH_PX, TOP_PX + height + AXIS_PX, curves, places, heights)


def corners(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> str:
    """Corners of a line, as SVG takes them."""
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y))
