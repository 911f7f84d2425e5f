"""Stage `number_votes`: clusters of votes over all tiles get their cluster_id, and the b of their outline."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from caml_dask.stages.shared.links import b_of_components, component_of, components, put_numbers
from caml_dask.stages.shared.work import Work
from caml_dask.stages.stage import UNCOMPARED, Stage
from caml_dask.stages.tables import BOXES, CUTS, NUMBERS, PIECE_LINKS, PIECES, ROOTS, VISITORS


def number_votes(work: Work, unit: int) -> dict[str, Any]:
    """Give every component of votes its cluster_id, or -1 where it has too few members."""
    n_tiles = work.partition().n_tiles
    joined = components(work, n_tiles, PIECE_LINKS, PIECES)
    tables = [work.get(ROOTS, tile) for tile in range(n_tiles)]
    whole = pa.concat_tables(tables).combine_chunks()
    ids, group = np.unique(component_of(*joined, whole["root"].to_numpy()), return_inverse=True)
    b_nm = b_of_components(whole, group, len(ids))
    return {"clusters": put_numbers(work, tables, ids, group, b_nm[group])}


STAGE = Stage(
    name="number_votes",
    title="numbering clusters",
    per="image",
    run=number_votes,
    effort=1,
    conserves=UNCOMPARED,
    reads=(BOXES, CUTS, PIECE_LINKS, PIECES, ROOTS),
    writes=(NUMBERS, VISITORS),
)
