"""Stage `stitch`: components over all tiles, and the b of each (DESIGN section 6)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from caml_dask.stages.shared.links import b_of_components, component_of, components
from caml_dask.stages.shared.work import Work
from caml_dask.stages.stage import UNCOMPARED, Stage
from caml_dask.stages.tables import BOXES, COMPONENTS, CUTS, LINKS, REACH, ROOTS


def stitch(work: Work, unit: int) -> dict[str, Any]:
    """Components over all tiles, and b = 1.2 x the mean nearest-neighbor distance of each one's members."""
    n_tiles = work.partition().n_tiles
    joined = components(work, n_tiles, LINKS, REACH)
    tables = [work.get(ROOTS, tile) for tile in range(n_tiles)]
    whole = pa.concat_tables(tables).combine_chunks()
    ids, group = np.unique(component_of(*joined, whole["root"].to_numpy()), return_inverse=True)
    b_nm = b_of_components(whole, group, len(ids))
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
