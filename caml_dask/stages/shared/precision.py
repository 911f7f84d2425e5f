"""What localization precision says of clusters: how wide their molecules lie, and how well their centroid is known."""

from __future__ import annotations

import numpy as np

from caml_dask.stages.shared.work import Work

PRECISION = "uncertainty_nm"


def has_precision(work: Work) -> bool:
    """Whether the image is one in 2D whose table has precisions."""
    facts = work.facts()
    return len(facts["coordinates"]) == 2 and any(column["name"] == PRECISION for column in facts["carried"])


def of_precision(
    cluster: np.ndarray, uncertainty_nm: np.ndarray, radius_of_gyration_nm: np.ndarray
) -> dict[str, np.ndarray]:
    """Corrected radius of gyration, and standard error of the centroid, of clusters in 2D.

    Of molecules at r, each detected with an error of variance s^2 along each axis, the mean of squared distances from
    the centroid grows by the mean of 2 s^2, and the centroid's variance along an axis is the mean of s^2 over n.

    cluster : (n,) int64, of each member, ascending
    uncertainty_nm : (n,) float64, its precision; what is not positive is unknown
    radius_of_gyration_nm : (c,) float64

    Returns
    -------
    the two columns, (c,) float64; NaN for a cluster with a member of unknown precision
    """
    squared = np.where(uncertainty_nm > 0, uncertainty_nm, np.nan) ** 2
    order = np.lexsort((squared, cluster))  # sums do not depend on the order of members
    starts = np.flatnonzero(np.diff(cluster, prepend=-1))
    n = np.diff(np.append(starts, len(cluster)))
    mean = np.add.reduceat(squared[order], starts) / n if len(starts) else np.empty(0)
    corrected = np.sqrt(np.maximum(radius_of_gyration_nm**2 - 2 * mean, 0.0))
    return {"radius_of_gyration_corrected_nm": corrected, "centroid_uncertainty_nm": np.sqrt(mean / n)}
