"""Which of several laws of re-blinking explains the detections best: the likelihood of what merging by each makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from caml_dask.blinking.estimate import Law
from caml_dask.blinking.links import Detections, crowd, crowd_radius_nm, log_begin
from caml_dask.blinking.molecules import canonical, fixed_groups, refine
from caml_dask.spatial.partition import Partition, partition

WINDOW = 20_000
"""Most detections of a window in which laws are compared."""
WINDOWS = 4
"""Windows, spread over the image; an image of fewer detections than WINDOW is one."""


def windows(stream: Callable[[], Iterable[np.ndarray]], n: int, bounds_nm: Sequence[float]) -> Partition:
    """Boxes of at most WINDOW detections that partition the plane, whatever the tiles are.

    Parameters
    ----------
    stream : callable
        Starts a pass over the detections: (m, 2) float64 in nm at a time.
    n : int
        Number of detections.
    bounds_nm : sequence of 4 float
        Lowest x, lowest y, highest x and highest y.

    Returns
    -------
    Partition
        The boxes; :func:`compared` says which of them count.
    """
    return partition(stream, n, bounds_nm, WINDOW)


def compared(boxes: Partition) -> list[int]:
    """The boxes in which laws are compared.

    Parameters
    ----------
    boxes : Partition
        Of :func:`windows`.

    Returns
    -------
    list of int
        At most WINDOWS of them.
    """
    taken = min(WINDOWS, boxes.n_tiles)
    return [(2 * k + 1) * boxes.n_tiles // (2 * taken) for k in range(taken)]


def choose(
    laws: Sequence[Law],
    seen: Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]],
    median_nm: float | None,
) -> Law:
    """The likeliest law.

    Parameters
    ----------
    laws : sequence of Law
        At least one; of equal ones the first.
    seen : iterator of tuple
        For each window coordinates (m, 2) float64 in nm, frames (m,) int64, scales (m,) float64 and ids (m,) uint64.
    median_nm : float or None
        Median precision; None where scales are 1 nm.

    Returns
    -------
    Law
        One of them; one without re-blinks only where all are.
    """
    blinking = [law for law in laws if law.blinks]
    if len(blinking) < 2:
        return (*blinking, *laws)[0]
    total = np.zeros(len(blinking))
    for window in seen:
        total += [log_likelihood(*window, law=law, median_nm=median_nm) for law in blinking]
    return blinking[int(np.argmax(total))]


def log_likelihood(
    points_nm: np.ndarray,
    frame: np.ndarray,
    scale_nm: np.ndarray,
    loc_id: np.ndarray,
    *,
    law: Law,
    median_nm: float | None,
) -> float:
    """How likely detections are as the molecules that they are merged to by a law.

    Molecules begin anywhere at their density, return by the law, end with the chance of no return, and scatter around
    unknown centers.

    Parameters
    ----------
    points_nm : (n, 2) float64
        Detections in nm.
    frame : (n,) int64
        Their frames.
    scale_nm : (n,) float64
        See :func:`caml_dask.blinking.pairs.scales`.
    loc_id : (n,) uint64
        Their ids.
    law : Law
        The law.
    median_nm : float or None
        Median precision; None where scales are 1 nm.

    Returns
    -------
    float
        Logarithm of the likelihood, but for what is the same for all laws.
    """
    n = len(frame)
    if not n:
        return 0.0
    radius = crowd_radius_nm(law, median_nm)
    begin = log_begin(crowd(points_nm, np.arange(n), radius), law, radius)
    all_seen = Detections(points_nm, frame, scale_nm * law.spread, begin)
    group = fixed_groups(all_seen, law)
    order = canonical(group, all_seen, loc_id)
    all_seen = all_seen.take(order)
    number = np.unique(refine(all_seen, group[order], law)[0], return_inverse=True)[1]
    weight = all_seen.spread_nm**-2.0
    total = np.bincount(number, weights=weight)
    scatter = 0.0
    for values in all_seen.points_nm.T:
        values = values - values.min()
        center = np.bincount(number, weights=weight * values) / total
        scatter += float((weight * (values - center[number]) ** 2).sum())
    space = np.log(weight / (2 * np.pi)).sum() - np.log(total / (2 * np.pi)).sum() - 0.5 * scatter
    by_time = np.lexsort((all_seen.frame, number))
    gaps = np.diff(all_seen.frame[by_time])[number[by_time][1:] == number[by_time][:-1]]
    log_return = law.log_return()
    time = log_return[np.minimum(gaps, len(log_return) - 1)].sum()
    molecules = (np.bincount(number, weights=all_seen.log_begin) / np.bincount(number)).sum()
    return float(space + time + molecules - n * (1.0 - law.returns))
