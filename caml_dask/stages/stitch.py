"""Stage `stitch`: components over all tiles, and the b of each (DESIGN section 6)."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pyarrow as pa

from caml_dask.spatial.links import OUTLINE_FACTOR
from caml_dask.stages.shared.links import component_of, components
from caml_dask.stages.shared.work import Work
from caml_dask.stages.stage import UNCOMPARED, Stage
from caml_dask.stages.tables import BOXES, COMPONENTS, CUTS, LINKS, REACH, ROOTS


def stitch(work: Work, unit: int) -> dict[str, Any]:
    """Components over all tiles, and b = 1.2 x the mean nearest-neighbor distance of each one's members."""
    n_tiles = work.partition().n_tiles
    joined = components(work, n_tiles, LINKS, REACH)
    tables = [work.get(ROOTS, tile) for tile in range(n_tiles)]
    whole = pa.concat_tables(tables).combine_chunks()
    component = component_of(*joined, whole["root"].to_numpy())
    ids, group = np.unique(component, return_inverse=True)
    count = np.bincount(group, weights=whole["count"].to_numpy(), minlength=len(ids))
    sums = whole["sum_nearest_nm"].combine_chunks()
    values, owner = sums.flatten().to_numpy(), group[sums.value_parent_indices().to_numpy()]
    order = np.argsort(owner, kind="stable")
    starts = np.searchsorted(owner[order], np.arange(len(ids) + 1))
    ordered = values[order].tolist()
    total = np.array([math.fsum(ordered[a:b]) for a, b in itertools.pairwise(starts)])
    b_nm = OUTLINE_FACTOR * (total / np.maximum(count, 1))
    stop = 0
    for tile, table in enumerate(tables):
        start, stop = stop, stop + len(table)
        work.put(COMPONENTS, tile, pa.table({"root": table["root"], "b_nm": b_nm[group[start:stop]]}))
    return {"components": len(ids)}


STAGE = Stage(
    name="stitch",
    title="stitching across tiles",
    per="image",
    run=stitch,
    effort=1,
    conserves=UNCOMPARED,
    reads=(BOXES, CUTS, LINKS, REACH, ROOTS),
    writes=(COMPONENTS,),
)
