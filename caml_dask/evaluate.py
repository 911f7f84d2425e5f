"""How well labels and clusters agree with a truth: accuracy, F1, adjusted Rand index, overlap of outlines.

Clustered is the positive class. Cluster ids are -1 for localizations of no cluster, and any number >= 0 otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from caml_dask.schema import NO_CLUSTER, NON_CLUSTERED

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ClassScores:
    """Agreement of clustered / non-clustered over n localizations; NaN where a class it needs is missing.

    Parameters
    ----------
    accuracy : share of localizations with the true class.
    balanced_accuracy : mean of the two classes' recall, over the classes present in the truth.
    precision : of the localizations called clustered, the share that is.
    recall : of the clustered localizations, the share called so.
    f1 : harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN).
    """

    accuracy: float
    balanced_accuracy: float
    precision: float
    recall: float
    f1: float
    n: int


@dataclass(frozen=True)
class ClusterScores:
    """Agreement of cluster ids over n localizations; see `cluster_scores` for the definitions."""

    ari: float
    ari_clustered: float
    n_true: int
    n_found: int
    n_matched: int


def class_scores(true: npt.ArrayLike, found: npt.ArrayLike) -> ClassScores:
    """Compare classes; every label but NON_CLUSTERED counts as clustered, so fibers are clustered too.

    Parameters
    ----------
    true, found : (n,) labels as in schema.POINTS, or booleans.

    Raises
    ------
    ValueError : labels of different lengths.
    """
    from sklearn.metrics import confusion_matrix

    t, f = _pair(true, found)
    t, f = t != NON_CLUSTERED, f != NON_CLUSTERED
    if len(t) == 0:
        return ClassScores(np.nan, np.nan, np.nan, np.nan, np.nan, 0)
    (tn, fp), (fn, tp) = confusion_matrix(t, f, labels=[False, True])
    recalls = [_share(tp, tp + fn), _share(tn, tn + fp)]
    return ClassScores(
        accuracy=_share(tp + tn, len(t)),
        balanced_accuracy=float(np.nanmean(recalls)),
        precision=_share(tp, tp + fp),
        recall=recalls[0],
        f1=_share(2 * tp, 2 * tp + fp + fn),
        n=len(t),
    )


def cluster_scores(true: npt.ArrayLike, found: npt.ArrayLike) -> ClusterScores:
    """Compare cluster ids.

    Parameters
    ----------
    true, found : (n,) cluster ids, -1 for localizations of no cluster.

    Returns
    -------
    ari : adjusted Rand index over all localizations, those of no cluster forming one class of their own.
    ari_clustered : the same over the localizations that both put in a cluster; NaN where there are none. It asks only
        whether clusters are merged or split, not whether they were found.
    n_true, n_found : numbers of clusters.
    n_matched : clusters that pair up one to one, each holding more than half of their union's localizations
        (intersection over union > 0.5, which no cluster can do with two others).

    Raises
    ------
    ValueError : ids of different lengths.
    """
    from sklearn.metrics import adjusted_rand_score

    t, f = _pair(true, found)
    both = (t != NO_CLUSTER) & (f != NO_CLUSTER)
    return ClusterScores(
        ari=float(adjusted_rand_score(t, f)) if len(t) else np.nan,
        ari_clustered=float(adjusted_rand_score(t[both], f[both])) if both.any() else np.nan,
        n_true=len(np.unique(t[t != NO_CLUSTER])),
        n_found=len(np.unique(f[f != NO_CLUSTER])),
        n_matched=_matches(t, f, both),
    )


def hull_iou(xy_nm: npt.NDArray[np.float64], true: npt.ArrayLike, found: npt.ArrayLike) -> float:
    """Intersection over union of the areas inside the convex hulls of the true and of the found clusters.

    Parameters
    ----------
    xy_nm : (n, 2) float64.
    true, found : (n,) cluster ids, -1 for localizations of no cluster.

    Returns
    -------
    0 to 1; NaN where neither has any area.
    """
    t, f = _pair(true, found)
    hulls_true, hulls_found = _hulls(xy_nm, t), _hulls(xy_nm, f)
    union = shapely.union(hulls_true, hulls_found).area
    return float(shapely.intersection(hulls_true, hulls_found).area / union) if union > 0 else np.nan


def _pair(true: npt.ArrayLike, found: npt.ArrayLike) -> tuple[IntArray, IntArray]:
    t, f = np.asarray(true).astype(np.int64), np.asarray(found).astype(np.int64)
    if t.ndim != 1 or t.shape != f.shape:
        raise ValueError(f"true labels {t.shape} and found labels {f.shape} differ: pass one of each a localization")
    return t, f


def _share(part: int, whole: int) -> float:
    return float(part / whole) if whole else np.nan


def _matches(t: IntArray, f: IntArray, both: npt.NDArray[np.bool_]) -> int:
    pairs, shared = np.unique(np.column_stack([t[both], f[both]]), axis=0, return_counts=True)
    ids_t, sizes_t = np.unique(t, return_counts=True)
    ids_f, sizes_f = np.unique(f, return_counts=True)
    size_t = sizes_t[np.searchsorted(ids_t, pairs[:, 0])]
    size_f = sizes_f[np.searchsorted(ids_f, pairs[:, 1])]
    return int((2 * shared > size_t + size_f - shared).sum())


def _hulls(xy_nm: npt.NDArray[np.float64], ids: IntArray) -> shapely.Geometry:
    members = np.flatnonzero(ids != NO_CLUSTER)
    members = members[np.argsort(ids[members], kind="stable")]
    _, index = np.unique(ids[members], return_inverse=True)
    clusters = shapely.multipoints(shapely.points(np.asarray(xy_nm, np.float64)[members]), indices=index)
    return shapely.union_all(shapely.convex_hull(clusters))
