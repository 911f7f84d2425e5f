"""Stage `number`: clusters get their cluster_id, pieces with too few members none (DESIGN law 4)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from caml_dask.stages.shared.links import component_of, components, put_numbers
from caml_dask.stages.shared.work import Work
from caml_dask.stages.stage import UNCOMPARED, Stage
from caml_dask.stages.tables import BOXES, CUTS, NUMBERS, PIECE_LINKS, PIECE_ROOTS, PIECES, VISITORS


def number(work: Work, unit: int) -> dict[str, Any]:
    """Give every piece its cluster_id, the smallest loc_id of its members, or -1 where it has too few."""
    n_tiles = work.partition().n_tiles
    joined = components(work, n_tiles, PIECE_LINKS, PIECES)
    tables = [work.get(PIECE_ROOTS, tile) for tile in range(n_tiles)]
    whole = pa.concat_tables(tables)
    ids, group = np.unique(component_of(*joined, whole["root"].to_numpy()), return_inverse=True)
    return {"clusters": put_numbers(work, tables, ids, group, whole["b_nm"].to_numpy())}


STAGE = Stage(
    name="number",
    title="numbering clusters",
    per="image",
    run=number,
    effort=1,
    conserves=UNCOMPARED,
    reads=(BOXES, CUTS, PIECE_LINKS, PIECES, PIECE_ROOTS),
    writes=(NUMBERS, VISITORS),
)
