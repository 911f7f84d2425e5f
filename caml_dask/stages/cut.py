"""Stage `cut`: drop the links too long for their component (DESIGN section 6)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from caml_dask.spatial.labelled import LabelledIndex
from caml_dask.spatial.links import CUT_FACTOR
from caml_dask.stages.shared.links import clustered_rows, join, reached_tiles, spread
from caml_dask.stages.shared.work import Work, coordinates, lookup
from caml_dask.stages.stage import OWNED_ROWS, Stage
from caml_dask.stages.tables import BOXES, COMPONENTS, CUTS, LABELS, PIECE_LINKS, PIECE_ROOTS, PIECES, REACH, TILE


def cut(work: Work, unit: int) -> dict[str, Any]:
    """Drop the links longer than 2 sqrt(3) b of their component and take the components of a tile once more."""
    tiles, own = work.partition(), clustered_rows(work, unit)
    tile, labels = work.get(TILE, unit), work.get(LABELS, unit)
    reach, bounds = work.get(REACH, unit), work.get(COMPONENTS, unit)
    before = reach["root"].to_numpy()[own.rows]
    (b_nm,) = lookup(bounds["root"].to_numpy(), [bounds["b_nm"].to_numpy()], before, "components")
    radius = np.minimum(reach["reach_nm"].to_numpy()[own.rows], CUT_FACTOR * b_nm)
    everything = LabelledIndex.of_sorted(coordinates(tile), labels["label"].to_numpy())
    beyond = list(reached_tiles(work, tiles, unit, own, radius))
    roots = join(work, unit, PIECE_LINKS, own, radius, everything, beyond)
    work.put(
        PIECES,
        unit,
        pa.table(
            {
                "loc_id": tile["loc_id"],
                "root": spread(tile, own, roots),
                "window_saturated": reach["window_saturated"],
            }
        ),
    )
    ids, first, count = np.unique(roots, return_index=True, return_counts=True)
    work.put(PIECE_ROOTS, unit, pa.table({"root": ids, "count": count, "b_nm": b_nm[first]}))
    return {"rows": len(tile)}


STAGE = Stage(
    name="cut",
    title="cutting long links",
    per="tile",
    run=cut,
    effort=7,
    conserves=OWNED_ROWS,
    reads=(BOXES, CUTS, TILE, LABELS, REACH, COMPONENTS),
    writes=(PIECE_LINKS, PIECES, PIECE_ROOTS),
)
