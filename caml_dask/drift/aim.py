"""Drift by adaptive intersection maximization, written from the publication (Ma et al. 2024, Science Advances)."""

from __future__ import annotations

import numpy as np

from caml_dask.drift.curve import Curve, interval_starts, middles
from caml_dask.drift.matches import STEPS_AN_NM, matches, track

LEAST, ENOUGH = 250, 1000
"""Localizations of an interval at least, on average: of the first passes, and of the last ones."""
FEW, MANY = 25, 200
"""Intervals at most: of the first passes, and of the last ones."""
_CELL_NM, _FINE_NM = 20, 10
_TRACKED_CELLS, _COARSE_CELLS, _FINE_CELLS = 5, 3, 6
_CERTAIN = 5.0  # standard errors above the matches by chance that a peak has at least
_FARTHEST = 2.0  # cells: how far an interval moves in a step where its matches say little
_COARSE_STEPS, _FINE_STEPS = 3, 2


def aim(places: np.ndarray, frame: np.ndarray) -> Curve:
    """Estimate drift by the shifts under which localizations of an interval of frames share most cells with others.

    Intervals are followed one after another in cells of 40 nm, then each is compared with all others, by the template
    that all of them make together; more and shorter intervals begin from the curve through these.

    Parameters
    ----------
    places : (n, d) int64
        Localizations in steps (:data:`caml_dask.drift.matches.STEPS_AN_NM`).
    frame : (n,) int64
        Their frames, ascending.

    Returns
    -------
    Curve
        The drift, with a knot for each interval; none where localizations are too few.
    """
    axes = places.shape[1]
    few = interval_starts(frame, min(FEW, len(frame) // LEAST))
    first, last = (int(frame[0]), int(frame[-1])) if len(frame) else (0, 0)
    if len(few) < 3:
        return Curve(np.zeros(0), np.zeros((0, axes)), first, last)
    many = interval_starts(frame, max(len(few) - 1, min(MANY, len(frame) // ENOUGH)))
    columns = []
    done = np.zeros_like(places[:, :0])
    for of in ((0, 1), (2,))[: axes - 1]:
        drift = _axes(places, frame, few, many, of, done)
        columns.append(drift)
        moved = np.rint(drift * STEPS_AN_NM).astype(np.int64)[interval_of(many)]
        done = places[:, list(of)] - moved
    return Curve(middles(frame, many), np.hstack(columns), first, last).begun_at(first)


def _axes(
    places: np.ndarray,
    frame: np.ndarray,
    few: np.ndarray,
    many: np.ndarray,
    of: tuple[int, ...],
    done: np.ndarray,
) -> np.ndarray:
    """Drift of the intervals in nm on some axes; others that are `done` decide on cells."""
    moving = np.hstack([places[:, list(of)], done])
    settled = done.shape[1]
    n = len(of)

    def grid(cell_nm: int, reach: int) -> tuple[list[int], list[int]]:
        return [cell_nm * STEPS_AN_NM] * n + [2 * _CELL_NM * STEPS_AN_NM] * settled, [reach] * n + [0] * settled

    cell, reach = grid(2 * _CELL_NM, _TRACKED_CELLS)

    def choose(seen: np.ndarray) -> np.ndarray:
        peak = _peak(seen.reshape(seen.shape[:n])) * cell[:n]
        return np.concatenate([np.rint(peak), np.zeros(settled)]).astype(np.int64)

    shift = track(moving, few, cell, reach, choose)[:, :n] / STEPS_AN_NM
    at = middles(frame, few)
    for starts, cell_nm, wide, steps in (
        (few, _CELL_NM, _COARSE_CELLS, _COARSE_STEPS),
        (many, _FINE_NM, _FINE_CELLS, _FINE_STEPS),
    ):
        now = middles(frame, starts)
        if starts is not few:
            shift = Curve(at, shift, int(frame[0]), int(frame[-1])).at(now)
        interval = interval_of(starts)
        for _ in range(steps):
            whole = np.rint(shift * STEPS_AN_NM).astype(np.int64)
            padded = np.hstack([whole, np.zeros((len(whole), settled), np.int64)])
            seen = matches(moving, interval, padded, *grid(cell_nm, wide))
            shift = whole / STEPS_AN_NM + cell_nm * _step(seen.reshape(seen.shape[: 1 + n]).astype(np.float64))
    return shift


def interval_of(starts: np.ndarray) -> np.ndarray:
    """The interval of each localization, (n,) int64, by where intervals begin."""
    return np.repeat(np.arange(len(starts) - 1), np.diff(starts))


def _peak(seen: np.ndarray) -> np.ndarray:
    """Where matches by shift have their peak, in cells from the middle; the middle where none is certain."""
    smooth = seen.astype(np.float64)
    for axis in range(seen.ndim):
        smooth = smooth + np.roll(smooth, -1, axis) + np.roll(smooth, 1, axis)
    inner = smooth[(slice(1, -1),) * seen.ndim]
    middle = np.array(inner.shape) // 2
    chance = float(np.median(inner))
    if inner.max() - chance < _CERTAIN * np.sqrt(chance + 1.0):
        return np.zeros(seen.ndim)
    tops = np.argwhere(inner == inner.max())
    top = tops[np.argmin(((tops - middle) ** 2).sum(axis=1))]
    around = seen[tuple(slice(t, t + 3) for t in top)] - chance / 3**seen.ndim
    around = np.maximum(around, 0.0)
    ways = np.indices(around.shape).reshape(seen.ndim, -1) - 1
    return top - middle + (ways * around.ravel()).sum(axis=1) / max(around.sum(), 1.0)


def _step(seen: np.ndarray) -> np.ndarray:
    """How far each interval lies from the others, in cells: a Fisher step of the likelihood of its matches.

    All intervals share a template, which is symmetric.

    seen : (intervals, sides...) float64, matches by shift
    """
    axes = seen.ndim - 1
    template = seen.sum(axis=0)
    template = (template + np.flip(template)) / 2 + 0.5
    slopes = np.gradient(np.log(template), axis=tuple(range(axes))) if axes > 1 else [np.gradient(np.log(template))]
    slope = np.stack([-s.ravel() for s in slopes])
    share = (template / template.sum()).ravel()
    known = (slope[:, None] * slope * share).sum(axis=-1)
    seen = seen.reshape(len(seen), -1)
    score = (seen[:, None] * slope).sum(axis=-1)
    information = seen.sum(axis=1)[:, None, None] * known + np.eye(axes) / _FARTHEST**2
    steps = np.linalg.solve(information, score[:, :, None])[:, :, 0]
    return np.clip(steps, -_FARTHEST, _FARTHEST)
