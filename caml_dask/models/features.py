"""The input of the networks, made from neighbor distances ("Norm-Self", Williamson et al. 2020), and their scores."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from caml_dask.errors import InputError


@numba.njit(cache=True, nogil=True)
def norm_self_row(distances, out):  # type: ignore[no-untyped-def]
    """Fill `out`, (N,) float32, from one row of distances, (N,) float32; False where it is not ascending and finite.

    Every operation is a float32 operation of fixed order, so that a row's features depend on nothing but the row.
    """
    n = distances.shape[0]
    last = np.float32(0)
    low = np.float32(np.inf)
    high = np.float32(0)
    for i in range(n):
        step = distances[i] - last
        if not (step >= 0 and distances[i] < np.inf):
            return False
        last = distances[i]
        low = min(low, step)
        high = max(high, step)
        out[i] = step
    span = high - low
    for i in range(n):
        out[i] = (out[i] - low) / span if span > 0 else np.float32(0)
    return True


@numba.njit(cache=True, nogil=True)
def shares(logits):  # type: ignore[no-untyped-def]
    """Turn one row of logits, (c,) float32, into scores in place: a sigmoid where c is 1, else a softmax."""
    c = logits.shape[0]
    if c == 1:
        logits[0] = 1 / (1 + math.exp(-np.float64(logits[0])))
        return
    highest = np.float64(logits.max())
    total = 0.0
    for j in range(c):
        total += math.exp(logits[j] - highest)
    for j in range(c):
        logits[j] = math.exp(logits[j] - highest) / total


@numba.njit(cache=True, nogil=True)
def _norm_self(distances, out):  # type: ignore[no-untyped-def]
    """Fill `out` row by row; the first row that is not ascending and finite, or -1."""
    for r in range(distances.shape[0]):
        if not norm_self_row(distances[r], out[r]):
            return r
    return -1


def norm_self(distances: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale the steps between consecutive neighbor distances to 0..1, each row on its own.

    The steps are d1, d2 - d1, ..., dN - d(N-1); a row whose steps are all equal (duplicates only) becomes zeros
    (Williamson et al. 2020). The result is scale-free, to the bit for scalings by powers of two.

    Parameters
    ----------
    distances : (n, N) float32
        Distances of n localizations to their N nearest neighbors, ascending, in any unit.

    Returns
    -------
    (n, N) float32

    Raises
    ------
    InputError : distances of another shape or type, or a row that is not finite, non-negative and ascending.
    """
    rows = as_distances(distances)
    out = np.empty_like(rows)
    refuse_row(rows, int(_norm_self(rows, out)))
    return out


def relative_positions(xy_nm: NDArray[np.float64], rows: NDArray[np.int64], n_neighbors: int) -> NDArray[np.float32]:
    """Positions of the nearest neighbors, nearest first, relative to their localization and scaled by the distance of
    the last: the alternative input that Williamson et al. 2020 tried.

    Parameters
    ----------
    xy_nm : (m, 2) float64, more than `n_neighbors`.
    rows : (n,) int64, whose neighbors to take; each leaves itself out by its row, so that duplicates count.

    Returns
    -------
    (n, n_neighbors, 2) float32, within -1 to 1; zeros where all neighbors are duplicates.
    """
    from scipy.spatial import cKDTree

    near = cKDTree(xy_nm).query(xy_nm[rows], k=n_neighbors + 1)[1]
    own = near == rows[:, None]
    # Among more than N duplicates a point may be missing from its own list: the farthest then takes its place.
    own[~own.any(axis=1), -1] = True
    gap = xy_nm[near[~own].reshape(len(rows), n_neighbors)] - xy_nm[rows][:, None]
    last = np.sqrt((gap[:, -1] ** 2).sum(axis=1))[:, None, None]
    return np.divide(gap, last, out=np.zeros_like(gap), where=last > 0).astype(np.float32)


def as_distances(distances: NDArray[np.float32], n_neighbors: int | None = None) -> NDArray[np.float32]:
    """`distances` as a C-ordered (n, N) array, refused where it is not float32 or not N wide.

    Raises
    ------
    InputError : another shape or type.
    """
    width = "N" if n_neighbors is None else str(n_neighbors)
    if distances.ndim != 2 or distances.dtype != np.float32 or n_neighbors not in (None, distances.shape[1]):
        raise InputError(
            f"neighbor distances come as {distances.dtype} of shape {distances.shape}:"
            f" give float32 of shape (n, {width})"
        )
    return np.ascontiguousarray(distances)


def refuse_row(distances: NDArray[np.float32], row: int) -> None:
    """Raise where a kernel found `row` >= 0 unusable.

    Raises
    ------
    InputError : names the row.
    """
    if row >= 0:
        raise InputError(
            f"neighbor distances {distances[row, :3].tolist()}... are not finite, non-negative and ascending:"
            " drop localizations with non-finite coordinates and give each row sorted",
            row=row,
        )
