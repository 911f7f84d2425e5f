"""Stage `link`: reach and links of a tile's clustered localizations (DESIGN section 6)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from caml_dask.spatial.labelled import LabelledIndex
from caml_dask.spatial.links import LEAST_NEIGHBORS, UNLINKED, reach_nm
from caml_dask.stages.shared.links import clustered_rows, join, put_sums, reached_tiles, spread
from caml_dask.stages.shared.work import Work, coordinates
from caml_dask.stages.stage import OWNED_ROWS, Stage
from caml_dask.stages.tables import BOXES, CUTS, LABELS, LINKS, REACH, ROOTS, TILE


def link(work: Work, unit: int) -> dict[str, Any]:
    """Reach of each clustered localization of a tile, and the components its links make inside the tile."""
    tiles, own = work.partition(), clustered_rows(work, unit)
    tile, labels = work.get(TILE, unit), work.get(LABELS, unit)
    everything = LabelledIndex.of_sorted(coordinates(tile), labels["label"].to_numpy())
    window_nm = labels["window_nm"].to_numpy()[own.rows]
    other_nm = everything.nearest_other_nm(own.points_nm, own.labels, window_nm)
    beyond = list(reached_tiles(work, tiles, unit, own, np.minimum(other_nm, window_nm)))
    for there in beyond:
        points, classes = own.points_nm[there.who], own.labels[there.who]
        bound = np.minimum(other_nm, window_nm)[there.who]
        found = there.index.nearest_other_nm(points, classes, bound)
        other_nm[there.who] = np.minimum(other_nm[there.who], found)
    radius = reach_nm(other_nm, window_nm)
    itself = (radius >= 0).astype(np.int64)
    count = everything.count_same(own.points_nm, own.labels, radius, LEAST_NEIGHBORS + 1) - itself
    for there in beyond:
        points, classes = own.points_nm[there.who], own.labels[there.who]
        count[there.who] += there.index.count_same(points, classes, radius[there.who], LEAST_NEIGHBORS)
    radius[count < LEAST_NEIGHBORS] = UNLINKED
    saturated = np.zeros(len(tile), dtype=bool)
    saturated[own.rows] = np.isinf(other_nm)
    roots = join(work, unit, LINKS, own, radius, everything, beyond)
    reach = np.full(len(tile), UNLINKED)
    reach[own.rows] = radius
    columns = {"loc_id": tile["loc_id"], "reach_nm": reach, "window_saturated": saturated}
    work.put(REACH, unit, pa.table({**columns, "root": spread(tile, own, roots)}))
    put_sums(work, unit, labels["nearest_nm"].to_numpy()[own.rows], roots)
    return {"rows": len(tile)}


STAGE = Stage(
    name="link",
    title="linking",
    per="tile",
    run=link,
    effort=11,
    conserves=OWNED_ROWS,
    reads=(BOXES, CUTS, TILE, LABELS),
    writes=(REACH, LINKS, ROOTS),
)
