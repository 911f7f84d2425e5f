"""The input of the networks, made from neighbor distances ("Norm-Self", Williamson et al. 2020), and their scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from caml_dask.compiled import njit
from caml_dask.errors import InputError


@intrinsic
def _float_of(typing_context: Any, bits: Any) -> Any:
    """The float32 of the bits of an int32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(types.float32))

    return types.float32(types.int32), generate


@njit()
def first_unusable(distances):  # type: ignore[no-untyped-def]
    """The first row of distances, (n, N) float32, that is not finite, non-negative and ascending; or -1."""
    n = distances.shape[1]
    for r in range(distances.shape[0]):
        row = distances[r]
        usable = row[0] >= 0 and row[n - 1] < np.inf
        for i in range(1, n):
            usable &= row[i] >= row[i - 1]
        if not usable:
            return r
    return -1


@njit(error_model="numpy")
def norm_self_row(distances, out):  # type: ignore[no-untyped-def]
    """Fill `out`, (N,) float32, from one usable row of distances, (N,) float32.

    Every operation is a float32 operation of fixed order, so that a row's features depend on nothing but the row.
    """
    n = distances.shape[0]
    out[0] = distances[0]
    for i in range(1, n):
        out[i] = distances[i] - distances[i - 1]
    # Floats that are not negative stand in the order of their bits; of integers, several at a time find the extremes.
    bits = out.view(np.int32)
    lowest = highest = bits[0]
    for i in range(n):
        lowest = min(lowest, bits[i])
        highest = max(highest, bits[i])
    low = _float_of(lowest)
    span = _float_of(highest) - low
    for i in range(n):
        out[i] = (out[i] - low) / span if span > 0 else np.float32(0)


@njit()
def _norm_self(distances, out):  # type: ignore[no-untyped-def]
    """Fill `out`, (n, N) float32, row by row."""
    for r in range(distances.shape[0]):
        norm_self_row(distances[r], out[r])


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
    InputError
        Distances of another shape or type, or a row that is not finite, non-negative and ascending.
    """
    rows = as_distances(distances)
    out = np.empty_like(rows)
    refuse_unusable(rows, slice(0, len(rows)))
    _norm_self(rows, out)
    return out


def relative_positions(xy_nm: NDArray[np.float64], rows: NDArray[np.int64], n_neighbors: int) -> NDArray[np.float32]:
    """Positions of the nearest neighbors, nearest first, relative to their localization and scaled by the distance of
    the last: the alternative input that Williamson et al. 2020 tried.

    Parameters
    ----------
    xy_nm : (m, 2) float64
        More than `n_neighbors`.
    rows : (n,) int64
        Whose neighbors to take; each leaves itself out by its row, so that duplicates count.

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

    Parameters
    ----------
    distances : (n, N) float32
        Ascending distances to the neighbors, in any unit.
    n_neighbors : int
        Neighbors in the input window, N.

    Returns
    -------
    (n, N) float32
        The distances, C-ordered; not copied where they are so already.

    Raises
    ------
    InputError
        Another shape or type.
    """
    width = "N" if n_neighbors is None else str(n_neighbors)
    if distances.ndim != 2 or distances.dtype != np.float32 or n_neighbors not in (None, distances.shape[1]):
        raise InputError(
            f"neighbor distances come as {distances.dtype} of shape {distances.shape}:"
            f" give float32 of shape (n, {width})"
        )
    return np.ascontiguousarray(distances)


def refuse_unusable(distances: NDArray[np.float32], part: slice) -> None:
    """Raise where a row of a part of `distances`, (n, N) float32, is not finite, non-negative and ascending.

    Parameters
    ----------
    distances : (n, N) float32
        Ascending distances to the neighbors, in any unit.
    part : slice
        The rows that are looked at.

    Raises
    ------
    InputError
        Names the first such row.
    """
    found = int(first_unusable(distances[part]))
    if found >= 0:
        row = part.start + found
        raise InputError(
            f"neighbor distances {distances[row, :3].tolist()}... are not finite, non-negative and ascending:"
            " drop localizations with non-finite coordinates and give each row sorted",
            row=row,
        )
