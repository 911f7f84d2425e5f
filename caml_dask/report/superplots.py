"""Superplots: each image a dot in the color of its replicate, replicates as larger marks, and the test that they enter.

Lord et al., Journal of Cell Biology 219 (2020), e202001064.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from caml_dask.report.families import Family, Level
from caml_dask.report.measures import Measure
from caml_dask.report.numbers import number, probability, tick, ticks
from caml_dask.report.plots import PLOT_PX, Entry, Label, Tick, condition_labels, legend
from caml_dask.report.results import Measured, replicates_of

# The bright colors of Paul Tol, told apart with any kind of color vision, and other ones than conditions have.
COLORS = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377", "#777777")
SHAPES = (
    "M-1,0a1,1 0 1 0 2,0a1,1 0 1 0 -2,0z",
    "M-.9,-.9h1.8v1.8h-1.8z",
    "M0,-1.2L1.1,.8H-1.1z",
    "M0,-1.25L1.25,0L0,1.25L-1.25,0z",
)
"""A circle, a square, a triangle and a diamond of radius 1: replicates differ by shape as well as by color."""
_MOST_NAMED = 12  # replicates in a legend
_MOST_BRACKETS = 6
_HEAD_PX, _BRACKET_PX = 24.0, 20.0
_LANE_PX, _LARGE_PX = 9.0, 30.0


@dataclass(frozen=True)
class Mark:
    """One value: its place in pixels, color, shape, and what a reader who points at it sees."""

    x: float
    y: float
    color: str
    shape: str
    title: str


@dataclass(frozen=True)
class Bracket:
    """A pair of conditions in which a difference was found, in pixels."""

    left: float
    right: float
    y: float
    text: str


@dataclass(frozen=True)
class Column:
    """One condition, in pixels.

    dots : its images
    larger : its replicates, where they are the units
    box : heights of the first quartile, the median and the third quartile of the units; None where there are none
    """

    x: float
    half_width: float
    dots: tuple[Mark, ...]
    larger: tuple[Mark, ...]
    box: tuple[float, float, float] | None


@dataclass(frozen=True)
class Superplot:
    """Every image of every condition.

    name : of the files that it is saved to
    test : what was tested and found, in words
    """

    name: str
    title: str
    axis: str
    test: str
    width: float
    height: float
    top: float
    bottom: float
    columns: tuple[Column, ...]
    labels: tuple[Label, ...]
    heights: tuple[Tick, ...]
    brackets: tuple[Bracket, ...]
    legend: tuple[Entry, ...]


def superplot(family: Family, measure: Measure, name: str) -> Superplot:
    """Lay out the superplot of a measure.

    Parameters
    ----------
    family : what is compared.
    measure : one of those that its images have.
    name : of the files that it is saved to.
    """
    level = family.replicates or family.images
    found = sorted(level.pairs_found(measure.name), key=lambda pair: pair.p_holm)[:_MOST_BRACKETS]
    labels, width, below = condition_labels({n: _counted(images) for n, images in family.groups.items()})
    top = _HEAD_PX + _BRACKET_PX * len(found) + 8.0
    bottom = top + PLOT_PX
    marks = _marks(np.array([image.values[measure.name] for images in family.groups.values() for image in images]))

    def height(value: float) -> float:
        return round(bottom - PLOT_PX * (value - marks[0]) / (marks[-1] - marks[0]), 1)

    looks = _looks(family)
    half = 0.42 * (labels[-1].x - labels[0].x) / max(1, len(labels) - 1) if len(labels) > 1 else 60.0
    at = {label.name: label.x for label in labels}
    columns = tuple(_column(family, level, measure, label, min(half, 90.0), looks, height) for label in labels)
    brackets = tuple(
        Bracket(at[p.first], at[p.second], _HEAD_PX + _BRACKET_PX * (k + 0.8), f"p {_related(p.p_holm)}")
        for k, p in enumerate(found)
    )
    entries = [(replicate, *look) for replicate, look in looks.items() if replicate]
    if len(entries) > _MOST_NAMED:
        entries = [(f"{len(entries)} replicates, told apart by color and shape", *entries[0][1:])]
    shown, end = legend(entries, bottom + below + 8.0, width)
    return Superplot(
        name,
        measure.label,
        f"{measure.label} ({measure.unit})",
        _tested(level, measure.name),
        width,
        end + 12.0 if shown else bottom + below,
        top,
        bottom,
        columns,
        labels,
        tuple(Tick(height(m), tick(m)) for m in marks),
        brackets,
        shown,
    )


def _counted(images: Sequence[Measured]) -> list[str]:
    replicates = [name for name in replicates_of(images) if name]
    found = [f"{len(images)} image{'s'[: len(images) != 1]}"]
    return [*found, f"{len(replicates)} replicate{'s'[: len(replicates) != 1]}"] if replicates else found


def _marks(values: npt.NDArray[np.float64]) -> list[float]:
    """Labels of the axis, which begins at 0 unless all values lie in its upper half."""
    known = values[~np.isnan(values)]
    if len(known) == 0:
        return [0.0, 1.0]
    low, high = float(known.min()), float(known.max())
    return ticks(low if 2 * low > high > low else min(0.0, low), high)


def _looks(family: Family) -> dict[str, tuple[str, str]]:
    """Color and shape of each replicate; images without one look like the first."""
    names = dict.fromkeys(name for images in family.groups.values() for name in replicates_of(images))
    return {name: (COLORS[k % len(COLORS)], SHAPES[k % len(SHAPES)]) for k, name in enumerate(names)}


def _column(
    family: Family,
    level: Level,
    measure: Measure,
    label: Label,
    half_width: float,
    looks: Mapping[str, tuple[str, str]],
    height: Callable[[float], float],
) -> Column:
    images = [i for i in family.groups[label.name] if not math.isnan(i.values[measure.name])]
    heights = np.array([height(i.values[measure.name]) for i in images])
    dots = tuple(
        Mark(
            round(label.x + dx, 1),
            float(y),
            *looks[i.factors.get("replicate", "")],
            f"{i.image_id}: {number(i.values[measure.name])}",
        )
        for i, y, dx in zip(images, heights, _spread(heights, half_width))
    )
    larger = []
    medians = family.replicate_medians[measure.name][label.name] if family.replicates else {}
    step = min(_LARGE_PX, 2 * half_width / max(1, len(medians)))
    for k, (replicate, value) in enumerate(medians.items()):
        if not math.isnan(value):
            x = label.x + step * (k - (len(medians) - 1) / 2)
            larger.append(
                Mark(
                    round(x, 1), height(value), *looks[replicate], f"{replicate}: {number(value)}, median of its images"
                )
            )
    group = level.comparisons[measure.name].groups[label.name]
    box = (height(group.q25), height(group.median), height(group.q75)) if group.n else None
    return Column(label.x, half_width, dots, tuple(larger), box)


def _spread(heights: npt.NDArray[np.float64], half_width: float) -> list[float]:
    """Distance of each dot from its column's middle, in pixels: dots of near values lie beside each other."""
    count = max(1, int(half_width / _LANE_PX))
    lanes = [0.0, *(sign * _LANE_PX * k for k in range(1, count + 1) for sign in (-1, 1))]
    taken = [-math.inf] * len(lanes)
    offsets = [0.0] * len(heights)
    for k in np.argsort(heights, kind="stable"):
        y = float(heights[k])
        lane = next((i for i, last in enumerate(taken) if y - last >= _LANE_PX), int(np.argmin(taken)))
        taken[lane] = y
        offsets[int(k)] = lanes[lane]
    return offsets


def _tested(level: Level, measure: str) -> str:
    """The test of a measure in a line."""
    comparison = level.comparisons[measure]
    units = "medians of replicates" if level.units == "replicates" else "images"
    if comparison.test is None:
        return f"Not tested (units: {units})"
    return (
        f"{comparison.test} of {units}: p {_related(level.p_adjusted[measure])}, adjusted for "
        f"{len(level.comparisons)} measures"
    )


def _related(p: float) -> str:
    text = probability(p)
    return text if text.startswith("<") else f"= {text}"
