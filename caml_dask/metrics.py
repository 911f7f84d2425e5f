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

    Attributes
    ----------
    accuracy : float
        Share of localizations with the true class, 0 to 1.
    balanced_accuracy : float
        Mean recall of the two classes, over the classes present in the truth, 0 to 1.
    precision : float
        Share of the localizations called clustered that are clustered, 0 to 1.
    recall : float
        Share of the clustered localizations that are called clustered, 0 to 1.
    f1 : float
        Harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN), 0 to 1.
    n : int
        Number of localizations.
    """

    accuracy: float
    balanced_accuracy: float
    precision: float
    recall: float
    f1: float
    n: int


@dataclass(frozen=True)
class ClusterScores:
    """Agreement of cluster ids over n localizations.

    Attributes
    ----------
    ari : float
        Adjusted Rand index over all localizations, at most 1. Those of no cluster form one class of their own.
    ari_truly_clustered : float
        The same over the localizations that the truth puts in a cluster; NaN where there are none. Clusters found in
        the background cost nothing; clustered localizations that were missed form one class of their own. That class
        weighs more where there are more clusters, so compare fields of one size.
    ari_clustered : float
        The same over the localizations that both put in a cluster; NaN where there are none. It measures only whether
        clusters are merged or split, not whether they were found.
    n_true, n_found : int
        Numbers of clusters.
    n_matched : int
        Clusters that pair up one to one, each pair sharing more than half of its union's localizations. No cluster can
        do so with two others (intersection over union > 0.5).
    """

    ari: float
    ari_truly_clustered: float
    ari_clustered: float
    n_true: int
    n_found: int
    n_matched: int


@dataclass(frozen=True)
class ClusterErrors:
    """Relative errors of what an analysis reports of clusters, each (found - true) / true.

    Attributes
    ----------
    clusters_per_um2 : float
        Error of the number of clusters, both on the same area; NaN where the truth has none.
    points_per_cluster : float
        Error of the mean number of members; NaN where either has no clusters.
    area : float
        Error of the mean area inside the convex hull of the members; NaN where either has no clusters, or the truth no
        area. The hull is measured alike for all methods and for the truth.
    """

    clusters_per_um2: float
    points_per_cluster: float
    area: float


@dataclass(frozen=True)
class Rates:
    """Rates of a confusion matrix of c classes, 0 to 1; NaN for a class that has nothing to count.

    Attributes
    ----------
    accuracy : float
        Share of localizations with the true class.
    precision : (c,) float64
        Share of the localizations called by a class that belong to it.
    recall : (c,) float64
        Share of the localizations of a class that are called by it.
    f1 : (c,) float64
        Harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN).
    """

    accuracy: float
    precision: npt.NDArray[np.float64]
    recall: npt.NDArray[np.float64]
    f1: npt.NDArray[np.float64]

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that occur in the truth."""
        return float(np.nanmean(self.recall))


def confusion(true: npt.ArrayLike, found: npt.ArrayLike, n_classes: int) -> IntArray:
    """Count localizations by their true and their found class.

    Parameters
    ----------
    true, found : (n,) array_like of int
        Classes from 0 to n_classes - 1.
    n_classes : int
        Number of classes.

    Returns
    -------
    (n_classes, n_classes) int64
        Counts of localizations: rows are the true class, columns the found class.
    """
    pairs = np.asarray(true).astype(np.int64) * n_classes + np.asarray(found).astype(np.int64)
    return np.bincount(pairs, minlength=n_classes * n_classes).reshape(n_classes, n_classes)


def rates(counts: IntArray) -> Rates:
    """Accuracy, precision, recall and F1 of a confusion matrix.

    Parameters
    ----------
    counts : (c, c) int64
        Counts of localizations, the truth in rows, at least one in all.

    Returns
    -------
    Rates
        Rates of each class, and the accuracy over all.
    """
    hits, true, called = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
    with np.errstate(invalid="ignore"):
        return Rates(float(hits.sum() / counts.sum()), hits / called, hits / true, 2 * hits / (true + called))


def class_scores(true: npt.ArrayLike, found: npt.ArrayLike) -> ClassScores:
    """Compare classes; every label but NON_CLUSTERED counts as clustered, so fibers are clustered too.

    Parameters
    ----------
    true, found : (n,) array_like of int or bool
        Labels as in schema.POINTS, or whether a localization is clustered.

    Returns
    -------
    ClassScores
        The agreement; NaN throughout where there are no localizations.

    Raises
    ------
    ValueError
        The labels differ in length.
    """
    t, f = _pair(true, found)
    t, f = t != NON_CLUSTERED, f != NON_CLUSTERED
    if len(t) == 0:
        return ClassScores(np.nan, np.nan, np.nan, np.nan, np.nan, 0)
    found_rates = rates(confusion(t, f, 2))
    precision, recall, f1 = (float(r[1]) for r in (found_rates.precision, found_rates.recall, found_rates.f1))
    return ClassScores(found_rates.accuracy, found_rates.balanced_accuracy, precision, recall, f1, len(t))


def cluster_scores(true: npt.ArrayLike, found: npt.ArrayLike) -> ClusterScores:
    """Compare cluster ids.

    Parameters
    ----------
    true, found : (n,) array_like of int
        Cluster ids, -1 for localizations of no cluster.

    Returns
    -------
    ClusterScores
        Adjusted Rand indices, and numbers of clusters.

    Raises
    ------
    ValueError
        The ids differ in length.
    """
    from sklearn.metrics import adjusted_rand_score

    t, f = _pair(true, found)
    truly, both = t != NO_CLUSTER, (t != NO_CLUSTER) & (f != NO_CLUSTER)
    over = {"ari": np.ones(len(t), bool), "ari_truly_clustered": truly, "ari_clustered": both}
    return ClusterScores(
        **{name: float(adjusted_rand_score(t[rows], f[rows])) if rows.any() else np.nan for name, rows in over.items()},
        n_true=len(np.unique(t[t != NO_CLUSTER])),
        n_found=len(np.unique(f[f != NO_CLUSTER])),
        n_matched=_matches(t, f, both),
    )


def hull_iou(xy_nm: npt.NDArray[np.float64], true: npt.ArrayLike, found: npt.ArrayLike) -> float:
    """Intersection over union of the areas inside the convex hulls of the true and of the found clusters.

    Parameters
    ----------
    xy_nm : (n, 2) float64
        Coordinates in nm.
    true, found : (n,) array_like of int
        Cluster ids, -1 for localizations of no cluster.

    Returns
    -------
    float
        0 to 1; NaN where neither has any area.

    Raises
    ------
    ValueError
        The ids differ in length.
    """
    t, f = _pair(true, found)
    hulls_true, hulls_found = _hulls(xy_nm, t), _hulls(xy_nm, f)
    union = shapely.union(hulls_true, hulls_found).area
    return float(shapely.intersection(hulls_true, hulls_found).area / union) if union > 0 else np.nan


def cluster_errors(xy_nm: npt.NDArray[np.float64], true: npt.ArrayLike, found: npt.ArrayLike) -> ClusterErrors:
    """Relative errors of the density, size and area of clusters.

    Parameters
    ----------
    xy_nm : (n, 2) float64
        Coordinates in nm.
    true, found : (n,) array_like of int
        Cluster ids, -1 for localizations of no cluster.

    Returns
    -------
    ClusterErrors
        The errors, each (found - true) / true.

    Raises
    ------
    ValueError
        The ids differ in length.
    """
    t, f = _pair(true, found)
    (n_true, points_true, area_true), (n_found, points_found, area_found) = (_means(xy_nm, ids) for ids in (t, f))
    return ClusterErrors(
        _relative(n_found, n_true), _relative(points_found, points_true), _relative(area_found, area_true)
    )


def _means(xy_nm: npt.NDArray[np.float64], ids: IntArray) -> tuple[float, float, float]:
    """Number of clusters, and the means of their members and of their hulls' areas in nm2."""
    n = len(np.unique(ids[ids != NO_CLUSTER]))
    if n == 0:
        return 0.0, np.nan, np.nan
    return float(n), float((ids != NO_CLUSTER).sum() / n), float(shapely.area(_each_hull(xy_nm, ids)).mean())


def _relative(found: float, true: float) -> float:
    return (found - true) / true if true else np.nan


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
    hulls = _each_hull(xy_nm, ids)
    # Pairs and members on a line have hulls without area, with which GEOS cannot always intersect.
    return shapely.union_all(hulls[shapely.get_dimensions(hulls) == 2])


def _each_hull(xy_nm: npt.NDArray[np.float64], ids: IntArray) -> npt.NDArray[np.object_]:
    members = np.flatnonzero(ids != NO_CLUSTER)
    members = members[np.argsort(ids[members], kind="stable")]
    _, index = np.unique(ids[members], return_inverse=True)
    clusters = shapely.multipoints(shapely.points(np.asarray(xy_nm, np.float64)[members]), indices=index)
    return np.asarray(shapely.convex_hull(clusters))
