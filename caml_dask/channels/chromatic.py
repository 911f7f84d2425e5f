"""The shift between two channels, from their localizations or from beads that both of them show."""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from caml_dask.channels.cells import FloatArray, IntArray
from caml_dask.channels.channel import Channel
from caml_dask.channels.domain import Domain, Torus
from caml_dask.errors import UsageError

BIN_NM = 5.0
SMOOTH_NM = 20.0
_PARTS = 8  # of the localizations, for the error of the estimate
_SQUARE_NM = 2_000.0  # localizations of one part lie in squares of this side
_ROUNDS = 30
_WINDOWS = 5  # squares of ways along x and y that are compared with the one around 0
_BEADS = ("x_a", "y_a", "x_b", "y_b")


@dataclass(frozen=True)
class Shift:
    """Where channel B lies to channel A.

    Attributes
    ----------
    source : str
        "data", "fiducials", or "none" where nothing could be estimated.
    dx_nm, dy_nm : float or None
        B less A; taking it from B's coordinates brings both together.
    error_nm : float or None
        Standard error of each of them.
    p_value : float or None
        From the data: the chance of a peak as high without a shift that both share; from fiducials None.
    applied : bool
        Whether it was taken from B's coordinates.
    """

    source: str
    dx_nm: float | None = None
    dy_nm: float | None = None
    error_nm: float | None = None
    p_value: float | None = None
    applied: bool = False

    @property
    def certain(self) -> bool:
        """Whether it can be relied on: of beads, or of a peak that stands out."""
        return self.source == "fiducials" or (self.p_value is not None and self.p_value <= 0.05)

    @property
    def vector_nm(self) -> FloatArray:
        """(2,) float64: dx and dy; 0 where nothing could be estimated."""
        return np.array([self.dx_nm or 0.0, self.dy_nm or 0.0])

    def as_dict(self) -> dict[str, Any]:
        """The shift by the names of its parts."""
        return asdict(self)


def shift_of_data(a: Channel, b: Channel, domain: Domain, *, largest_nm: float, sample: int) -> Shift:
    """The way from A to B that most pairs of localizations share: the peak of the cross-correlation of the channels.

    Parameters
    ----------
    a, b : Channel
        The channels.
    domain : Domain
        Where they are compared.
    largest_nm : float
        Largest shift along x and y, in nm.
    sample : int
        Localizations of A that are looked at, at most.

    Returns
    -------
    Shift
        Its `p_value` compares the peak with those at ways so long that no shift explains them: squares as large as that
        of the shifts that are searched, around it. None where the field is too small for that.
    """
    rows = a.sample(sample)
    sides = np.array(domain.shape.bounds[2:]) - domain.shape.bounds[:2]
    windows = _WINDOWS if sides.min() > 2 * _WINDOWS * largest_nm else 1
    own = int(np.ceil(largest_nm / BIN_NM))
    half = own * windows
    cells = domain.cells(b.points_nm, half * BIN_NM)
    pairs = cells.displacements(a.points_nm[rows], _parts(a.points_nm[rows]), BIN_NM, half)
    counts = pairs / _shared(domain, half)
    total = counts.sum(axis=0)
    if not total.any():
        return Shift("none")
    smooth = gaussian_filter(total, SMOOTH_NM / BIN_NM, mode="reflect")
    squares = smooth.reshape(windows, 2 * own, windows, 2 * own).transpose(0, 2, 1, 3).reshape(windows**2, -1)
    middle = windows**2 // 2
    peaks = squares.max(axis=1)
    others = np.delete(peaks, middle)
    p_value = None if windows == 1 else (1 + int((others >= peaks[middle]).sum())) / (1 + len(others))
    at = np.array(np.unravel_index(int(squares[middle].argmax()), (2 * own, 2 * own)), dtype=np.float64)
    start = (at + 0.5 - own) * BIN_NM
    level = float(np.median(squares[middle]))
    reach = _reach(squares[middle].reshape(2 * own, 2 * own), level)
    whole = _center(total, start, level, reach)
    # each part left out in turn
    without = np.array([_center(total - part, whole, level * _share(total, part), reach) for part in counts])
    n = len(without)
    error = float(np.sqrt((n - 1) / n * ((without - without.mean(axis=0)) ** 2).sum(axis=0).mean())) if n > 1 else None
    return Shift("data", float(whole[0]), float(whole[1]), error, p_value)


def shift_of_fiducials(path: Path) -> Shift:
    """The mean way from A to B of beads.

    Parameters
    ----------
    path : Path
        CSV table with the columns x_a, y_a, x_b and y_b, in nm: a row for each bead, where it is in either channel.

    Returns
    -------
    Shift
        With the standard error of the mean.

    Raises
    ------
    UsageError
        The file cannot be read, lacks a column, or holds no beads.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read ({error}): give a CSV table of beads") from None
    names = {name.strip().removesuffix("_nm").lower(): name for name in (rows[0] if rows else {}) if name}
    if missing := [name for name in _BEADS if name not in names]:
        raise UsageError(
            f"{path} has no column {missing[0]}: a table of beads has a row for each, and x_a, y_a, x_b, y_b in nm"
        )
    try:
        beads = np.array([[float(row[names[name]]) for name in _BEADS] for row in rows])
    except (TypeError, ValueError) as error:
        raise UsageError(f"{path} holds a place that is no number ({error}): give all four in nm") from None
    if not np.isfinite(beads).all():
        raise UsageError(f"{path} holds a place that is not finite: leave such beads out")
    ways = beads[:, 2:] - beads[:, :2]
    mean = ways.mean(axis=0)
    error_nm = float(np.sqrt(ways.var(axis=0, ddof=1).mean() / len(ways))) if len(ways) > 1 else None
    return Shift("fiducials", float(mean[0]), float(mean[1]), error_nm)


def _parts(points_nm: FloatArray) -> IntArray:
    """The part of each localization: whole squares of the field, mixed."""
    square = np.floor(points_nm[:, :2] / _SQUARE_NM).astype(np.int64)
    return np.asarray((square[:, 0] * 3 + square[:, 1] * 5) % _PARTS)


def _shared(domain: Domain, half: int) -> FloatArray:
    """(2 * half, 2 * half) share of the field that is left to pairs by their way: long ways often lead out of it."""
    ways = np.abs((np.arange(2 * half) + 0.5 - half) * BIN_NM)
    if isinstance(domain, Torus):
        return np.ones((2 * half, 2 * half))
    x0, y0, x1, y1 = domain.shape.bounds
    return np.outer(*(np.maximum(1 - ways / side, 0.1) for side in (x1 - x0, y1 - y0)))


def _share(total: FloatArray, part: FloatArray) -> float:
    return 1.0 - float(part.sum()) / float(total.sum())


def _reach(smooth: FloatArray, level: float) -> float:
    """Radius around the peak within which its center is taken: twice that of the area above half of its height."""
    above = smooth > (smooth.max() + level) / 2
    return float(max(2 * SMOOTH_NM, 2 * BIN_NM * np.sqrt(above.sum() / np.pi)))


def _center(counts: FloatArray, start: FloatArray, level: float, reach_nm: float) -> FloatArray:
    """Mean way of the pairs above a level, within a reach of that mean."""
    half = len(counts) // 2
    at = (np.arange(2 * half) + 0.5 - half) * BIN_NM
    center = start
    for _ in range(_ROUNDS):
        i, j = (np.flatnonzero(np.abs(at - c) <= reach_nm) for c in center)
        near = (at[i, None] - center[0]) ** 2 + (at[None, j] - center[1]) ** 2 <= reach_nm**2
        weights = np.where(near, counts[np.ix_(i, j)] - level, 0.0)
        total = weights.sum()
        if total <= 0:
            return center
        moved = np.array([(weights.sum(axis=1) * at[i]).sum(), (weights.sum(axis=0) * at[j]).sum()]) / total
        moved = np.clip(moved, start - reach_nm, start + reach_nm)
        if np.abs(moved - center).max() < 0.01:
            return moved
        center = moved
    return center
