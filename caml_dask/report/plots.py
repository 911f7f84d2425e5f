"""Plots as coordinates, which the page's templates draw as SVG: every text goes through their escaping."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from caml_dask.report.numbers import tick, ticks
from caml_dask.stats import median_iqr

# The colors of Okabe and Ito, told apart with any kind of color vision, without their yellow, faint on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("", "7 3", "2 3", "10 3 2 3")  # from the eighth condition on, lines differ by these
LABEL_PX, PLOT_PX, MARGIN_PX, ROW_PX, AXIS_PX = 165.0, 240.0, 24.0, 36.0, 44.0
ECDF_PX = 190.0
_LABEL_CHARACTERS = 26
_STEPS = 200  # of an ECDF


@dataclass(frozen=True)
class Tick:
    """A place on an axis, in pixels, and its label."""

    at: float
    label: str


@dataclass(frozen=True)
class Row:
    """One condition of a strip plot, all in pixels: its box of quartiles, its median, its points.

    label : its name, shortened; the whole of it is `name`
    n : values
    """

    name: str
    label: str
    n: int
    y: float
    color: str
    q25: float
    median: float
    q75: float
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class StripPlot:
    """Every value of every condition, with medians and quartiles."""

    title: str
    axis: str
    width: float
    height: float
    rows: tuple[Row, ...]
    ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class Curve:
    """One condition of an ECDF: the corners of its line, as SVG takes them."""

    name: str
    n: int
    color: str
    dash: str
    points: str


@dataclass(frozen=True)
class EcdfPlot:
    """Share of the clusters of each condition that are no larger than a value."""

    title: str
    axis: str
    width: float
    height: float
    curves: tuple[Curve, ...]
    ticks: tuple[Tick, ...]
    shares: tuple[Tick, ...]


def style(index: int) -> tuple[str, str]:
    """Color and dashes of the condition at `index`."""
    return COLORS[index % len(COLORS)], DASHES[index // len(COLORS) % len(DASHES)]


def strip_plot(title: str, unit: str, groups: Mapping[str, npt.NDArray[np.float64]]) -> StripPlot:
    """Lay out a strip plot.

    groups : condition to (n,) values; NaN is left out
    """
    known = {name: values[~np.isnan(values)] for name, values in groups.items()}
    everything = np.concatenate([*known.values(), np.zeros(0)])
    marks = ticks(0.0, float(everything.max()) if len(everything) else 1.0)
    scale = PLOT_PX / marks[-1] if marks[-1] > 0 else 0.0
    rows = []
    for index, (name, values) in enumerate(known.items()):
        y, found = 8.0 + ROW_PX * (index + 0.5), median_iqr(values)
        at = [round(LABEL_PX + scale * v, 1) if found.n else LABEL_PX for v in (found.q25, found.median, found.q75)]
        places = tuple(
            (round(LABEL_PX + scale * v, 1), round(y + dy, 1)) for v, dy in zip(values, _spread(values, scale))
        )
        rows.append(Row(name, shortened(name), found.n, y, style(index)[0], at[0], at[1], at[2], places))
    return StripPlot(
        title,
        unit,
        LABEL_PX + PLOT_PX + MARGIN_PX,
        8.0 + ROW_PX * len(rows) + AXIS_PX,
        tuple(rows),
        tuple(Tick(round(LABEL_PX + scale * m, 1), tick(m)) for m in marks),
    )


def shortened(name: str) -> str:
    """A label that fits beside a plot."""
    return name if len(name) <= _LABEL_CHARACTERS else name[: _LABEL_CHARACTERS - 1] + "…"


def _spread(values: npt.NDArray[np.float64], scale: float) -> list[float]:
    """Distance of each point from its row's middle, in pixels: points of near values lie beside each other."""
    lanes = (0.0, -5.0, 5.0, -10.0, 10.0, -2.5, 2.5, -7.5, 7.5)
    taken = [-math.inf] * len(lanes)
    offsets = [0.0] * len(values)
    for k in np.argsort(values, kind="stable"):
        x = scale * float(values[k])
        lane = next((i for i, last in enumerate(taken) if x - last >= 7.0), int(np.argmin(taken)))
        taken[lane] = x
        offsets[int(k)] = lanes[lane]
    return offsets


def ecdf_plot(title: str, unit: str, groups: Mapping[str, npt.NDArray[np.float64]]) -> EcdfPlot | None:
    """Lay out the cumulative distributions of positive values, on a logarithmic axis; None if there are none."""
    known = {name: np.sort(values[values > 0]) for name, values in groups.items()}
    everything = np.concatenate([*known.values(), np.zeros(0)])
    if len(everything) == 0:
        return None
    left, top = 44.0, 10.0
    low, high = (math.log10(float(v)) for v in np.quantile(everything, (0.001, 0.999)))
    low, high = (low - 0.05, high + 0.05) if high - low < 0.1 else (low, high)
    width = LABEL_PX + PLOT_PX - left
    curves = []
    for index, (name, values) in enumerate(known.items()):
        color, dash = style(index)
        curves.append(Curve(name, len(values), color, dash, _line(values, left, top, low, width / (high - low))))
    decades = [(d, f) for d in range(math.floor(low), math.ceil(high) + 1) for f in (1, 2, 5)]
    marks = [f * 10.0**d for d, f in decades if low <= d + math.log10(f) <= high]
    marks = [m for m in marks if round(m / 10 ** math.floor(math.log10(m) + 1e-9)) == 1] if len(marks) > 6 else marks
    places = (Tick(round(left + (math.log10(m) - low) * width / (high - low), 1), tick(m)) for m in marks)
    shares = (Tick(round(top + ECDF_PX * (1 - s / 100), 1), f"{s} %") for s in (0, 25, 50, 75, 100))
    total = left + width + MARGIN_PX
    return EcdfPlot(title, unit, total, top + ECDF_PX + AXIS_PX, tuple(curves), tuple(places), tuple(shares))


@dataclass(frozen=True)
class DriftPlot:
    """Drift of an image on each axis, by frame; `summary` says the rest in words."""

    summary: str
    width: float
    height: float
    curves: tuple[Curve, ...]
    ticks: tuple[Tick, ...]
    heights: tuple[Tick, ...]


def drift_plot(
    frame: npt.NDArray[np.int64], drift_nm: Mapping[str, npt.NDArray[np.float64]], summary: str
) -> DriftPlot:
    """Lay out the drift of an image.

    frame : (f,) frames, ascending
    drift_nm : axis to (f,) values
    """
    left, top, width, height = 52.0, 10.0, LABEL_PX + PLOT_PX - 52.0, 130.0
    shown = np.unique(np.linspace(0, len(frame) - 1, _STEPS + 1).astype(np.int64))
    everything = np.concatenate(list(drift_nm.values()))
    marks = ticks(float(everything.min()), float(everything.max()))
    low, high = min(marks[0], float(everything.min())), max(marks[-1], float(everything.max()))
    scale = height / (high - low) if high > low else 0.0
    across = width / max(1, int(frame[-1] - frame[0]))
    x = left + (frame[shown] - frame[0]) * across
    curves = []
    for index, (name, values) in enumerate(drift_nm.items()):
        corners = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, top + height - (values[shown] - low) * scale))
        curves.append(Curve(name, len(frame), *style(index), corners))
    places = (Tick(left, f"{frame[0]:,}"), Tick(left + width, f"{frame[-1]:,}"))
    heights = tuple(Tick(round(top + height - (m - low) * scale, 1), tick(m)) for m in marks)
    return DriftPlot(summary, left + width + MARGIN_PX, top + height + AXIS_PX, tuple(curves), places, heights)


def _line(values: npt.NDArray[np.float64], left: float, top: float, low: float, scale: float) -> str:
    """Corners of an ECDF's line, at even shares."""
    if len(values) == 0:
        return ""
    shares = np.linspace(0, 1, _STEPS + 1)
    x = left + (np.log10(np.quantile(values, shares, method="inverted_cdf")) - low) * scale
    y = top + ECDF_PX * (1 - shares)
    within = np.clip(x, left, left + (LABEL_PX + PLOT_PX - 44.0))
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(within, y))


def legend(names: Sequence[str]) -> list[tuple[str, str, str]]:
    """Name, color and dashes of each condition."""
    return [(name, *style(index)) for index, name in enumerate(names)]
