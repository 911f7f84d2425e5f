"""Which clusters of a window are those of the next (DESIGN section 6)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from caml_dask.following.seen import IntArray, Seen

LEAST_OVERLAP = 0.5
"""Share of the smaller outline that two clusters must have in common to be linked.

Of outlines that are apart in a window, at most one can hold more than half of another: the rule by which objects are
matched in the Cell Tracking Challenge (Matula et al., PLoS ONE 10 (2015), e0144959). They take the share of the true
object; here it is that of the smaller one, so that the parts of what merges or splits are linked to the whole.
"""


@dataclass(frozen=True, eq=False)
class Links:
    """Links between the clusters of two successive windows.

    Attributes
    ----------
    before, after : (m,) int64
        Places of the linked clusters in either window, ascending.
    """

    before: IntArray
    after: IntArray

    def alone(self) -> npt.NDArray[np.bool_]:
        """(m,) bool, of which neither cluster has another link: these persist."""
        return (np.bincount(self.before)[self.before] == 1) & (np.bincount(self.after)[self.after] == 1)


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
        return Links(*np.zeros((2, 0), dtype=np.int64))
    first, second = shapely.STRtree(after.outlines).query(before.outlines, predicate="intersects")
    shared = shapely.area(shapely.intersection(before.outlines[first], after.outlines[second]))
    smaller = np.minimum(shapely.area(before.outlines[first]), shapely.area(after.outlines[second]))
    found = (shared > 0) & (shared >= least_overlap * smaller)
    first, second = first[found], second[found]
    order = np.lexsort([second, first])
    return Links(first[order].astype(np.int64), second[order].astype(np.int64))
