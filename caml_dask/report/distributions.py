"""Distributions of a measure over clusters: cumulative (ECDF) and as violins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import gaussian_kde

from caml_dask.report.families import Family
from caml_dask.report.measures import Measure
from caml_dask.report.numbers import tick
from caml_dask.report.plots import (
    AXIS_PX,
    LEFT_PX,
    LINE_PX,
    PLOT_PX,
    RIGHT_PX,
    TOP_PX,
    WIDTH_PX,
    Curve,
    Entry,
    Label,
    LogAxis,
    Tick,
    condition_labels,
    corners,
    legend,
    log_axis,
    style,
)
from caml_dask.report.results import replicates_of
from caml_dask.stats import median_iqr

_STEPS, _REPLICATE_STEPS, _VIOLIN_STEPS = 200, 60, 80  # a plot's size does not grow with the clusters
_LEAST_VALUES = 20  # for the outline of a violin
_MOST_VALUES = 2_000  # that a violin is drawn from: clusters at even ranks


@dataclass(frozen=True)
class EcdfPlot:
    """Share of the clusters of each condition that are no larger than a value.

    curves : conditions
    replicates : of those the replicates, as thin lines
    """

    name: str
    title: str
    axis: str
    width: float
    height: float
    curves: tuple[Curve, ...]
    replicates: tuple[Curve, ...]
    ticks: tuple[Tick, ...]
    shares: tuple[Tick, ...]
    legend: tuple[Entry, ...]


@dataclass(frozen=True)
class Violin:
    """The distribution of one condition, in pixels: its outline; heights of its quartiles and median.

    few : heights of its clusters where there are too few of them for an outline
    """

    x: float
    color: str
    outline: str
    q25: float
    median: float
    q75: float
    few: tuple[float, ...]


@dataclass(frozen=True)
class ViolinPlot:
    """The distribution of every condition."""

    name: str
    title: str
    axis: str
    width: float
    height: float
    top: float
    bottom: float
    violins: tuple[Violin, ...]
    labels: tuple[Label, ...]
    heights: tuple[Tick, ...]


Values = npt.NDArray[np.float64]


def distributions(family: Family, measure: Measure, prefix: str) -> tuple[EcdfPlot, ViolinPlot] | None:
    """Lay out both plots of a measure of clusters, on a logarithmic axis; None where no cluster has a value.

    prefix : of the names of their files
    """
    by_replicate = {
        condition: {
            replicate: _positive(np.concatenate([image.clusters[measure.name] for image in some]))
            for replicate, some in replicates_of(images).items()
        }
        for condition, images in family.groups.items()
    }
    groups = {condition: np.sort(np.concatenate(list(parts.values()))) for condition, parts in by_replicate.items()}
    everything = np.concatenate([*groups.values(), np.zeros(0)])
    if len(everything) == 0:
        return None
    axis = log_axis(*(float(v) for v in np.quantile(everything, (0.001, 0.999))))
    label = f"{measure.label} ({measure.unit})"
    parts = {name: found if len(found) > 1 else {} for name, found in by_replicate.items()}
    return (
        _ecdf(groups, parts, axis, f"{prefix}ecdf_{measure.name}", measure.label, label),
        _violins(groups, axis, f"{prefix}violin_{measure.name}", measure.label, label),
    )


def _positive(values: Values) -> Values:
    return np.sort(values[values > 0])


def _ecdf(
    groups: Mapping[str, Values],
    replicates: Mapping[str, Mapping[str, Values]],
    axis: LogAxis,
    name: str,
    title: str,
    label: str,
) -> EcdfPlot:
    right, bottom = WIDTH_PX - RIGHT_PX, TOP_PX + PLOT_PX
    scale = (right - LEFT_PX) / (axis.high - axis.low)

    def line(values: Values, steps: int) -> str:
        """Corners of a line, at even shares."""
        if len(values) == 0:
            return ""
        shares = np.linspace(0, 1, steps + 1)
        x = LEFT_PX + (np.log10(np.quantile(values, shares, method="inverted_cdf")) - axis.low) * scale
        return corners(np.clip(x, LEFT_PX, right), bottom - PLOT_PX * shares)

    styles = {condition: style(index) for index, condition in enumerate(groups)}
    curves = (Curve(n, *styles[n], line(values, _STEPS)) for n, values in groups.items())
    thin = (
        Curve(f"{condition}, {replicate or 'no replicate'}", *styles[condition], line(values, _REPLICATE_STEPS))
        for condition, parts in replicates.items()
        for replicate, values in parts.items()
    )
    entries = [(f"{n} ({len(values):,} clusters)", *styles[n]) for n, values in groups.items()]
    shown, end = legend(entries, bottom + AXIS_PX + LINE_PX, WIDTH_PX)
    return EcdfPlot(
        name,
        title,
        label,
        WIDTH_PX,
        end + 12.0,
        tuple(curves),
        tuple(thin),
        tuple(Tick(round(LEFT_PX + (np.log10(m) - axis.low) * scale, 1), tick(m)) for m in axis.marks),
        tuple(Tick(round(bottom - PLOT_PX * s / 100, 1), f"{s} %") for s in (0, 25, 50, 75, 100)),
        shown,
    )


def _violins(groups: Mapping[str, Values], axis: LogAxis, name: str, title: str, label: str) -> ViolinPlot:
    labels, width, below = condition_labels({n: [f"{len(v):,} clusters"] for n, v in groups.items()})
    bottom = TOP_PX + PLOT_PX
    half = 0.44 * (width - LEFT_PX - RIGHT_PX) / len(groups)

    def height(value: float | Values) -> float | Values:
        return bottom - PLOT_PX * np.clip((np.log10(value) - axis.low) / (axis.high - axis.low), 0, 1)

    violins = tuple(
        _violin(values, place.x, min(half, 90.0), style(index)[0], axis, height)
        for index, (place, values) in enumerate(zip(labels, groups.values()))
        if len(values)
    )
    heights = tuple(Tick(round(float(height(m)), 1), tick(m)) for m in axis.marks)
    return ViolinPlot(name, title, label, width, bottom + below, TOP_PX, bottom, violins, labels, heights)


def _violin(
    values: Values,
    x: float,
    half: float,
    color: str,
    axis: LogAxis,
    height: Callable[[float | Values], float | Values],
) -> Violin:
    found = median_iqr(values)
    at = np.linspace(max(axis.low, np.log10(values[0])), min(axis.high, np.log10(values[-1])), _VIOLIN_STEPS)
    widths = half * _density(np.log10(values), at)
    y = np.asarray(height(10.0**at))
    outline = corners(np.concatenate([x - widths, (x + widths)[::-1]]), np.concatenate([y, y[::-1]]))
    q25, median, q75 = (round(float(height(v)), 1) for v in (found.q25, found.median, found.q75))
    few = tuple(round(float(v), 1) for v in np.asarray(height(values))) if len(values) < _LEAST_VALUES else ()
    return Violin(x, color, outline, q25, median, q75, few)


def _density(values: Values, at: Values) -> Values:
    """The density of values at places, by Gaussian kernels of Scott's width, as a share of the largest."""
    if len(values) > _MOST_VALUES:
        values = values[np.linspace(0, len(values) - 1, _MOST_VALUES).astype(np.int64)]
    if len(values) < 2 or np.ptp(values) == 0:
        return np.ones(len(at))
    density = gaussian_kde(values)(at)
    return np.asarray(density / density.max())
