"""Which clusters of a window are those of the next (DESIGN section 6)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from caml_dask.following.seen import FloatArray, IntArray, Seen

LEAST_OVERLAP = 0.3
"""Share of the smaller outline that two clusters must have in common to be linked.

Two equal discs share as much when one has moved by 1.17 of their radii. Of shares of 0.1 to 0.6 it was the largest at
which hardly any cluster was lost in simulated films (``benchmarks/following.py``). It is the smaller outline's, so that
what merges or splits is linked to each of its parts.
"""


@dataclass(frozen=True, eq=False)
class Links:
    """Links between the clusters of two successive windows.

    Attributes
    ----------
    before, after : (m,) int64
        Places of the linked clusters in either window, ascending.
    same : (m,) bool
        Whether the two are one cluster, at most one link of each: neither has another link, or they share more than
        half of the larger outline, which no other can then have. So Matula et al. (PLoS ONE 10 (2015), e0144959) match
        cells to true ones.
    """

    before: IntArray
    after: IntArray
    same: npt.NDArray[np.bool_]


def link(before: Seen, after: Seen, least_overlap: float = LEAST_OVERLAP) -> Links:
    """Link the clusters of two windows whose outlines overlap.

    Parameters
    ----------
    before, after : Seen
        Two successive windows.
    least_overlap : float
        Share of the area of the smaller outline that lies in the other, above 0 to 1.

    Returns
    -------
    Links
        The pairs that share as much or more.
    """
    if not (len(before) and len(after)):
        none = np.zeros(0, dtype=np.int64)
        return Links(none, none, none.astype(bool))
    first, second = shapely.STRtree(after.outlines).query(before.outlines, predicate="intersects")
    order = np.lexsort([second, first])
    first, second = first[order].astype(np.int64), second[order].astype(np.int64)
    a, b = before.outlines[first], after.outlines[second]
    shared, areas = shapely.area(shapely.intersection(a, b)), np.sort([shapely.area(a), shapely.area(b)], axis=0)
    found = (shared > 0) & (shared >= least_overlap * areas[0])
    first, second, shared, larger = first[found], second[found], shared[found], areas[1][found]
    alone = (np.bincount(first)[first] == 1) & (np.bincount(second)[second] == 1)
    return Links(first, second, _one_to_one(first, second, shared, alone | (shared > 0.5 * larger)))


def _one_to_one(
    first: IntArray, second: IntArray, shared: FloatArray, wanted: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Those of the wanted pairs that remain where each cluster has one: of several the pair that shares most, then the
    one with the lower ids. Only outlines that overlap in one window have several."""
    kept = np.zeros(len(first), dtype=bool)
    taken: tuple[set[int], set[int]] = set(), set()
    for k in np.lexsort([second, first, -shared]):
        if wanted[k] and first[k] not in taken[0] and second[k] not in taken[1]:
            kept[k] = True
            taken[0].add(int(first[k]))
            taken[1].add(int(second[k]))
    return kept
