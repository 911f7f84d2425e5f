"""Stage `plan`: cut the plane into tiles (DESIGN section 5)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from caml_dask.spatial.partition import partition
from caml_dask.stages.shared.work import Work, coordinates, finite, tile_size
from caml_dask.stages.stage import UNCOMPARED, Stage
from caml_dask.stages.tables import BOXES, CUTS, FACTS, INPUT


def plan(work: Work, unit: int) -> dict[str, Any]:
    """Cut the plane into tiles from the coordinates of all chunks, read as a stream."""
    facts = work.facts()

    def stream() -> Iterator[np.ndarray]:
        for chunk in range(facts["chunks"]):
            points = coordinates(work.get(INPUT, chunk, facts["coordinates"]))
            yield points[:, :2] if facts["finite"] == facts["rows"] else points[finite(points)][:, :2]

    tiles = partition(stream, facts["finite"], facts["bounds_nm"], tile_size(work.settings, facts["finite"]))
    corners = np.hstack([tiles.lower_nm, tiles.upper_nm])
    names = ("x0_nm", "y0_nm", "x1_nm", "y1_nm")
    work.put(BOXES, 0, pa.table({name: corners[:, i] for i, name in enumerate(names)}))
    cuts = {"axis": tiles.axis, "at_nm": tiles.at_nm, "below": tiles.below, "above": tiles.above}
    work.put(CUTS, 0, pa.table(cuts))
    return {"rows": facts["finite"], "tiles": tiles.n_tiles}


STAGE = Stage(
    name="plan",
    title="planning tiles",
    per="image",
    run=plan,
    effort=1,
    conserves=UNCOMPARED,
    reads=(FACTS, INPUT),
    writes=(BOXES, CUTS),
)
