"""What localization precision says of clusters: how wide their molecules lie, and how well their centroid is known."""

from __future__ import annotations

import numpy as np

from caml_dask.geometry.measure import Shapes
from caml_dask.stages.shared.work import Work

PRECISION = "uncertainty_nm"
OF_PRECISION = ("radius_of_gyration_corrected_nm", "area_corrected_nm2", "centroid_uncertainty_nm")
"""Columns of clusters that need it."""


def has_precision(work: Work) -> bool:
    """Whether the image is one in 2D whose table has precisions."""
    facts = work.facts()
    return len(facts["coordinates"]) == 2 and any(column["name"] == PRECISION for column in facts["carried"])


def of_precision(cluster: np.ndarray, uncertainty_nm: np.ndarray, shapes: Shapes) -> dict[str, np.ndarray]:
    """Corrected radius of gyration and area, and standard error of the centroid, of clusters in 2D.

    Errors of variance s^2 along each axis add the mean of s^2 to the variance along each axis of the members' ellipse,
    and give the centroid a variance of that mean over n. The area is that of the outline, shrunk as the ellipse is.
    Variances and their product are those of a sample: few members look narrower, and longer, than what they are drawn
    from (E det S = (n - 2) / (n - 1) det Sigma for the sample covariance S of n places in a plane).

    cluster : (n,) int64, of each member, ascending
    uncertainty_nm : (n,) float64, its precision; what is not positive is unknown
    shapes : of the c clusters

    Returns
    -------
    the three columns, (c,) float64; NaN for a cluster with a member of unknown precision
    """
    squared = np.where(uncertainty_nm > 0, uncertainty_nm, np.nan) ** 2
    order = np.lexsort((squared, cluster))  # sums do not depend on the order of members
    starts = np.flatnonzero(np.diff(cluster, prepend=-1))
    n = np.diff(np.append(starts, len(cluster)))
    mean = np.add.reduceat(squared[order], starts) / n if len(starts) else np.empty(0)
    sample = n / np.maximum(n - 1, 1)  # the variance of members about their own mean is this much too small
    total = sample * shapes.radius_of_gyration_nm**2
    major = total / (1 + (1 - shapes.elongation) ** 2)
    both = major * (total - major) * (n - 1) / np.maximum(n - 2, 1)
    left = np.where(total <= 2 * mean, 0.0, np.maximum(both - mean * total + mean**2, 0.0))
    return {
        "radius_of_gyration_corrected_nm": np.sqrt(np.maximum(total - 2 * mean, 0.0) / sample),
        "area_corrected_nm2": shapes.area_nm2 * np.sqrt(np.divide(left, both, out=0.0 * left, where=both > 0)),
        "centroid_uncertainty_nm": np.sqrt(mean / n),
    }
