"""Drift of an image whose localizations come as a stream, in memory that does not grow with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from caml_dask.drift.aim import aim
from caml_dask.drift.curve import Curve
from caml_dask.drift.halves import Estimate, estimated
from caml_dask.drift.matches import STEPS_AN_NM
from caml_dask.drift.rcc import rcc
from caml_dask.drift.resolution import nena_nm, ring_correlation_nm
from caml_dask.errors import UsageError

METHODS = {"aim": aim, "rcc": rcc}
MOST = 1_000_000
"""Localizations that drift is estimated of; of more, whole squares of the field with about as many."""
_SQUARE = 2560 * STEPS_AN_NM
_ONE, _OTHER = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)

Stream = Callable[[], Iterator[tuple[np.ndarray, np.ndarray]]]
"""Gives (n, d) float64 coordinates in nm and (n,) int64 frames, piece by piece, each time it is called."""


@dataclass(frozen=True)
class Drift:
    """Drift of an image, and what it does to it.

    Attributes
    ----------
    estimate : Estimate
        The drift, with its standard error.
    frames : (f,) int64
        Frames that have localizations, ascending.
    drift_nm : (f, d) float64
        Drift in each of them, since the first.
    used : int
        Localizations it was estimated of.
    ring_correlation_nm, nena_nm : tuple of float or None
        Resolution by Fourier ring correlation, and precision by nearest neighbors in successive frames, before and
        after correction; None where it cannot be found.
    """

    estimate: Estimate
    frames: np.ndarray
    drift_nm: np.ndarray
    used: int
    ring_correlation_nm: tuple[float | None, float | None]
    nena_nm: tuple[float | None, float | None]


def drift_of(stream: Stream, method: str) -> Drift:
    """Estimate the drift of localizations that are streamed twice.

    Parameters
    ----------
    stream : callable
        See :data:`Stream`.
    method : str
        "aim" or "rcc".

    Returns
    -------
    Drift
        The same for any order of rows and any pieces.
    """
    frames = np.zeros(0, np.int64)
    squares: dict[int, int] = {}
    for points, frame in stream():
        frames = np.union1d(frames, frame)
        for square, count in zip(*np.unique(_square(_places(points)), return_counts=True)):
            squares[int(square)] = squares.get(int(square), 0) + int(count)
    last = _last_square(squares)
    held: list[tuple[np.ndarray, np.ndarray]] = []
    for points, frame in stream():
        places = _places(points)
        taken = _square(places) <= last
        held.append((places[taken], frame[taken]))
    places, frame = (np.concatenate(parts) for parts in zip(*held))
    del held
    order = np.argsort(frame, kind="stable")
    places, frame = places[order], frame[order]
    found = estimated(METHODS[method], places, frame)
    curve = replace(found.curve, first=int(frames[0]), last=int(frames[-1])).begun_at(int(frames[0]))
    moved = places - np.rint(curve.at(frame) * STEPS_AN_NM).astype(np.int64)
    sharp = [(ring_correlation_nm(where, frame), nena_nm(where, frame)) for where in (places, moved)]
    return Drift(
        replace(found, curve=curve),
        frames,
        curve.at(frames),
        len(places),
        (sharp[0][0], sharp[1][0]),
        (sharp[0][1], sharp[1][1]),
    )


def estimate_drift(points_nm: ArrayLike, frame: ArrayLike, *, method: str = "aim") -> Curve:
    """Estimate the drift of localizations in memory.

    Parameters
    ----------
    points_nm : (n, 2) or (n, 3) array_like of float
        Localizations in nm, finite.
    frame : (n,) array_like of int
        Their frames.
    method : str
        "aim", adaptive intersection maximization, or "rcc", redundant cross-correlation.

    Returns
    -------
    Curve
        ``points_nm - curve.at(frame)`` are corrected; drift is counted from the first frame.

    Raises
    ------
    UsageError
        Shapes that do not fit, coordinates that are not finite, frames that are no whole numbers, or an unknown method.
    """
    points, frames = np.asarray(points_nm, np.float64), np.asarray(frame)
    if points.ndim != 2 or points.shape[1] not in (2, 3) or frames.shape != (len(points),) or not len(points):
        raise UsageError(
            f"points of shape {points.shape} and frames of shape {frames.shape}: give (n, 2) or (n, 3) coordinates "
            "and (n,) frames"
        )
    if not np.isfinite(points).all() or not np.array_equal(frames, np.rint(frames)):
        raise UsageError("coordinates must be finite and frames whole numbers: leave out or mend the others")
    if method not in METHODS:
        raise UsageError(f"unknown method {method!r} of drift correction: use one of {', '.join(METHODS)}")
    whole = frames.astype(np.int64)
    return drift_of(lambda: iter([(points, whole)]), method).estimate.curve


def _places(points: np.ndarray) -> np.ndarray:
    return np.rint(points * STEPS_AN_NM).astype(np.int64)


def _square(places: np.ndarray) -> np.ndarray:
    """A number of the square of the plane that each place lies in, scattered over all of uint64."""
    x, y = (places[:, :2] // _SQUARE).astype(np.uint64).T
    mixed = (x * _ONE) ^ (y * _OTHER)
    mixed = (mixed ^ (mixed >> np.uint64(29))) * _OTHER
    return mixed ^ (mixed >> np.uint64(32))


def _last_square(squares: dict[int, int]) -> np.uint64:
    """The largest number up to which squares hold no more localizations than are looked at; at least one square."""
    numbers = sorted(squares)
    total = np.cumsum([squares[number] for number in numbers])
    return np.uint64(numbers[max(0, int(np.searchsorted(total, MOST, side="right")) - 1)])
