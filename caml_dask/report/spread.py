"""A function of distance beside those of random fields: coordinates, which the page's templates draw as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from caml_dask.report.numbers import tick, ticks
from caml_dask.report.plots import AXIS_PX, DRIFT_LEFT_PX, DRIFT_PX, DRIFT_WIDTH_PX, RIGHT_PX, TOP_PX, Tick, corners

FloatArray = npt.NDArray[np.float64]

_HIGHEST = 0.02  # share of the distances at which the function may leave the plot: g rises without end near 0
_POINTS = 125


@dataclass(frozen=True)
class SpreadPlot:
    """A function of distance.

    name : of the files that it is saved to
    axis : what it is, with its unit
    across, tall : of what is between its axes, in pixels; corners are relative to the upper left of that
    line : its corners, as SVG takes them
    bands : of the envelopes, the widest first
    random : height of what randomness gives
    ticks, heights : marks on the two axes, in pixels of the whole
    """

    name: str
    axis: str
    width: float
    height: float
    across: float
    tall: float
    line: str
    bands: tuple[str, ...]
    random: float
    ticks: tuple[Tick, ...]
    heights: tuple[Tick, ...]


def spread_plot(
    r_nm: FloatArray,
    values: FloatArray,
    envelopes: Sequence[tuple[FloatArray, FloatArray]],
    random: float,
    axis: str,
    name: str,
) -> SpreadPlot:
    """Lay out a function of distance.

    r_nm, values : (r,) distances, ascending, and the function at them
    envelopes : (r,) lower and upper ends, the widest first; NaN where there were no random fields
    random : what randomness gives
    axis, name : as of :class:`SpreadPlot`
    """
    bands = [band for band in envelopes if np.isfinite(band).all()]
    ends = np.quantile(values, [0.0, 1.0 - _HIGHEST])
    seen = np.concatenate([ends, [random], *(end for band in bands for end in band)])
    marks = ticks(float(seen.min()), float(seen.max()))
    low, high = min(marks[0], float(seen.min())), max(marks[-1], float(seen.max()))
    across, tall = DRIFT_WIDTH_PX - DRIFT_LEFT_PX - 2 * RIGHT_PX, DRIFT_PX
    shown = np.unique(np.linspace(0, len(r_nm) - 1, _POINTS).astype(np.int64))
    x = r_nm[shown] / r_nm[-1] * across

    def y(heights: npt.ArrayLike) -> FloatArray:
        return np.asarray((high - np.asarray(heights)) / (high - low) * tall, np.float64)

    outlines = [(np.concatenate([x, x[::-1]]), np.concatenate([b[shown], t[shown][::-1]])) for b, t in bands]
    places = [mark for mark in ticks(0.0, float(r_nm[-1])) if mark <= r_nm[-1]]
    return SpreadPlot(
        name,
        axis,
        DRIFT_WIDTH_PX,
        TOP_PX + tall + AXIS_PX,
        across,
        tall,
        corners(x, y(values[shown])),
        tuple(corners(along, y(heights)) for along, heights in outlines),
        round(float(y(random)), 1),
        tuple(Tick(round(DRIFT_LEFT_PX + mark / r_nm[-1] * across, 1), tick(mark)) for mark in places),
        tuple(Tick(round(TOP_PX + float(y(mark)), 1), tick(mark)) for mark in marks),
    )
