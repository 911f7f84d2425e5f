"""What the field network says of localizations, from its last numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from caml_dask.compiled import njit


@dataclass(frozen=True, eq=False)
class Said:
    """What the network says.

    Attributes
    ----------
    clustered : (n,) float32
        Probability that the localization is in a cluster.
    offset_nm : (n, d) float64
        From the localization to the center of its cluster, in nm.
    radius_nm : (n,) float64
        Root mean square radius of its cluster in nm.
    error_nm : (n,) float64
        Scale of the offset's error in nm.
    same : (n, E) float32
        Probability that both ends of an edge are in one cluster.
    fiber : (n,) float32
        Probability that its cluster is a fiber, were it in one; 0 of a network that does not tell.
    """

    clustered: NDArray[np.float32]
    offset_nm: NDArray[np.float64]
    radius_nm: NDArray[np.float64]
    error_nm: NDArray[np.float64]
    same: NDArray[np.float32]
    fiber: NDArray[np.float32]

    @classmethod
    def empty(cls, n: int, axes: int, edges: int) -> Said:
        """Room for what is said of n localizations."""
        return cls(
            np.empty(n, np.float32),
            np.empty((n, axes)),
            np.empty(n),
            np.empty(n),
            np.empty((n, edges), np.float32),
            np.zeros(n, np.float32),
        )


@njit()
def sigmoid(logit):  # type: ignore[no-untyped-def]
    """The probability of a logit."""
    return 1 / (1 + math.exp(-np.float64(logit)))


@njit()
def probabilities(logit, p):  # type: ignore[no-untyped-def]
    """Fill (n,) probabilities of (n, 1) logits."""
    for i in range(len(p)):
        p[i] = sigmoid(logit[i, 0])


@njit()
def conclude(last, out, present, inputs, directions, unit, bend, clustered, offset, radius, error, same):  # type: ignore[no-untyped-def]
    """Fill arrays of a `Said` from the heads of localizations and edges."""
    edges, axes = present.shape[1], directions.shape[2]
    for i in range(len(clustered)):
        plain = sigmoid(last[i, 0])
        clustered[i] = sigmoid(np.float32(last[i, 0] + plain * (bend[0] + plain * bend[1])))
        radius[i] = math.exp(np.float64(last[i, 2])) * unit[i]
        error[i] = math.exp(min(max(np.float64(last[i, 3]), -6.0), 5.0)) * unit[i]
        top = np.float64(last[i, 1])
        for e in range(edges):
            same[i, e] = sigmoid(out[i, e, 1])
            if present[i, e] > 0:
                top = max(top, np.float64(out[i, e, 0]))
        total = math.exp(np.float64(last[i, 1]) - top)
        offset[i, :] = 0
        for e in range(edges):
            if present[i, e] > 0:
                weight = math.exp(np.float64(out[i, e, 0]) - top)
                total += weight
                length = math.exp(np.float64(inputs[i, e, 0])) * unit[i]
                for x in range(axes):
                    offset[i, x] += weight * length * directions[i, e, x]
        offset[i, :] /= total
