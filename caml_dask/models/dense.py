"""Scoring of the dense network without TensorFlow: one compiled loop over localizations."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numba
import numpy as np
from numpy.typing import NDArray

from caml_dask.models.features import as_distances, norm_self_row, refuse_row
from caml_dask.models.shapes import HIDDEN_UNITS


@numba.njit(cache=True, nogil=True)
def _dense_scores(distances, hidden_kernel, hidden_bias, output_kernel, output_bias, scores):  # type: ignore[no-untyped-def]
    """Fill `scores`, (n,) float32; the first row that is not ascending and finite, or -1.

    The sum over steps runs in order, apart for each hidden unit, so that the units fill the lanes of a vector and the
    order of additions, hence every bit, is the same whatever the batch. `output_kernel` is (N, 32).
    """
    n_neighbors = distances.shape[1]
    steps = np.empty(n_neighbors, np.float32)
    units = np.empty(HIDDEN_UNITS, np.float32)
    for r in range(distances.shape[0]):
        if not norm_self_row(distances[r], steps):
            return r
        units[:] = 0
        for i in range(n_neighbors):
            for j in range(HIDDEN_UNITS):
                hidden = steps[i] * hidden_kernel[j] + hidden_bias[j]
                units[j] += max(hidden, np.float32(0)) * output_kernel[i, j]
        logit = output_bias
        for j in range(HIDDEN_UNITS):
            logit += units[j]
        scores[r] = 1 / (1 + math.exp(-np.float64(logit)))
    return -1


def dense_scores(weights: Mapping[str, NDArray[np.float32]], distances: NDArray[np.float32]) -> NDArray[np.float32]:
    """p_clustered from neighbor distances by the dense network of Williamson et al. 2020.

    Parameters
    ----------
    weights : the arrays of `shapes.dense_shapes`, for N neighbors.
    distances : (n, N) float32
        Ascending distances of n localizations to their N nearest neighbors.

    Returns
    -------
    (n,) float32
        Each row's score depends on that row alone, to the bit.

    Raises
    ------
    InputError : distances of another shape or type, or a row that is not finite, non-negative and ascending.
    """
    n_neighbors = weights["output_kernel"].shape[0] // HIDDEN_UNITS
    rows = as_distances(distances, n_neighbors)
    scores = np.empty(len(rows), np.float32)
    bad = _dense_scores(
        rows,
        np.ascontiguousarray(weights["hidden_kernel"].reshape(HIDDEN_UNITS)),
        np.ascontiguousarray(weights["hidden_bias"]),
        np.ascontiguousarray(weights["output_kernel"].reshape(n_neighbors, HIDDEN_UNITS)),
        weights["output_bias"][0],
        scores,
    )
    refuse_row(rows, int(bad))
    return scores
