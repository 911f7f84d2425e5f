"""Scoring of the dense network without TensorFlow: one compiled loop over localizations."""

from __future__ import annotations

from collections.abc import Mapping

import numba
import numpy as np
from numpy.typing import NDArray

from caml_dask.models.features import as_distances, norm_self_row, refuse_row, shares
from caml_dask.models.shapes import HIDDEN_UNITS


@numba.njit(cache=True, nogil=True)
def _dense_scores(distances, hidden_kernel, hidden_bias, output_kernel, output_bias, scores):  # type: ignore[no-untyped-def]
    """Fill `scores`, (n, c) float32; the first row that is not ascending and finite, or -1.

    The sum over steps runs in order, apart for each hidden unit, so that the units fill the lanes of a vector and the
    order of additions, hence every bit, is the same whatever the batch. `output_kernel` is (c, N, 32).
    """
    n_neighbors, outputs = distances.shape[1], output_kernel.shape[0]
    steps = np.empty(n_neighbors, np.float32)
    units = np.empty(HIDDEN_UNITS, np.float32)
    for r in range(distances.shape[0]):
        if not norm_self_row(distances[r], steps):
            return r
        for c in range(outputs):
            kernel = output_kernel[c]
            units[:] = 0
            for i in range(n_neighbors):
                for j in range(HIDDEN_UNITS):
                    hidden = steps[i] * hidden_kernel[j] + hidden_bias[j]
                    units[j] += max(hidden, np.float32(0)) * kernel[i, j]
            logit = output_bias[c]
            for j in range(HIDDEN_UNITS):
                logit += units[j]
            scores[r, c] = logit
        shares(scores[r])
    return -1


def dense_scores(
    weights: Mapping[str, NDArray[np.float32]], distances: NDArray[np.float32], n_neighbors: int
) -> NDArray[np.float32]:
    """Scores from neighbor distances by the dense network of Williamson et al. 2020.

    Parameters
    ----------
    weights : the arrays of `shapes.dense_shapes`, for N neighbors.
    distances : (n, N) float32
        Ascending distances of n localizations to their N nearest neighbors.
    n_neighbors : N.

    Returns
    -------
    (n, c) float32
        c is 1 for two classes, p_clustered, and the number of classes otherwise. Each row's scores depend on that row
        alone, to the bit.

    Raises
    ------
    InputError : distances of another shape or type, or a row that is not finite, non-negative and ascending.
    """
    rows = as_distances(distances, n_neighbors)
    outputs = len(weights["output_bias"])
    scores = np.empty((len(rows), outputs), np.float32)
    bad = _dense_scores(
        rows,
        np.ascontiguousarray(weights["hidden_kernel"].reshape(HIDDEN_UNITS)),
        np.ascontiguousarray(weights["hidden_bias"]),
        np.ascontiguousarray(weights["output_kernel"].T.reshape(outputs, n_neighbors, HIDDEN_UNITS)),
        np.ascontiguousarray(weights["output_bias"]),
        scores,
    )
    refuse_row(rows, int(bad))
    return scores
