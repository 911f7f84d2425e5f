"""From labels to clusters: reach, links, components, all free of any order (DESIGN section 6).

For a clustered localization p, e(p) is the distance to the nearest localization of another class and w(p) the
distance to its N-th neighbor. Its reach is the closed ball that holds what is nearer than e(p) and within w(p); where
at least three of its class lie in it, p links to them all.
"""

from __future__ import annotations

import numpy as np

from caml_dask.compiled import njit

LEAST_NEIGHBORS = 3
CUT_FACTOR = 2.0 * np.sqrt(3.0)
OUTLINE_FACTOR = 1.2
UNLINKED = -1.0
"""Radius of a localization that links to none."""


def reach_nm(other_nm: np.ndarray, window_nm: np.ndarray) -> np.ndarray:
    """Radius of the closed ball that is a localization's reach: just below e(p), or w(p) where the window is saturated.

    Parameters
    ----------
    other_nm : (n,) float64
        e(p) in nm, inf where no localization of another class lies within w(p).
    window_nm : (n,) float64
        w(p) in nm.

    Returns
    -------
    (n,) float64
        Radii in nm.
    """
    return np.where(other_nm <= window_nm, np.nextafter(other_nm, -np.inf), window_nm)


def merge(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Connected components of an edge list between ids.

    Parameters
    ----------
    first, second : (m,) uint64
        Ids at the ends of each edge.

    Returns
    -------
    ids : (k,) uint64
        The distinct ids, ascending.
    smallest : (k,) uint64
        The smallest id of the component of each.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ids, ends = np.unique(np.concatenate([first, second]), return_inverse=True)
    a, b = ends[: len(first)], ends[len(first) :]
    graph = coo_array((np.ones(len(a), dtype=np.int8), (a, b)), shape=(len(ids), len(ids)))
    count, component = connected_components(graph, directed=False)
    smallest = np.full(count, len(ids), dtype=np.int64)
    np.minimum.at(smallest, component, np.arange(len(ids)))
    return ids, ids[smallest[component]]


def exact_sums(values: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums of groups without rounding, each as a few floats whose exact sum it is (Shewchuk 1997).

    ``math.fsum`` over the floats of several parts of one cluster gives the same bits however the cluster was divided.

    Parameters
    ----------
    values : (n,) float64
        Finite values.
    starts : (g + 1,) int64
        Group i is ``values[starts[i]:starts[i + 1]]``.

    Returns
    -------
    partials : (p,) float64
        The floats of all groups one after another.
    offsets : (g + 1,) int64
        Floats of group i are ``partials[offsets[i]:offsets[i + 1]]``.
    """
    partials = np.empty(len(values) + 1)
    offsets = np.zeros(len(starts), dtype=np.int64)
    used = _exact_sums(np.asarray(values, dtype=np.float64), starts, partials, offsets)
    return partials[:used].copy(), offsets


@njit()
def _exact_sums(values, starts, partials, offsets):  # type: ignore[no-untyped-def]
    used = 0
    for g in range(len(starts) - 1):
        first = used
        for i in range(starts[g], starts[g + 1]):
            x = values[i]
            kept = first
            for j in range(first, used):
                y = partials[j]
                if abs(x) < abs(y):
                    x, y = y, x
                high = x + y
                low = y - (high - x)
                if low != 0.0:
                    partials[kept] = low
                    kept += 1
                x = high
            partials[kept] = x
            used = kept + 1
        offsets[g + 1] = used
    return used
