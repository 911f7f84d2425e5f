"""Stage `number`: clusters get their cluster_id, pieces with too few members none (DESIGN law 4)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from caml_dask.schema import NO_CLUSTER
from caml_dask.stages.shared.links import component_of, components
from caml_dask.stages.shared.work import Work
from caml_dask.stages.stage import UNCOMPARED, Stage
from caml_dask.stages.tables import BOXES, CUTS, NUMBERS, PIECE_LINKS, PIECE_ROOTS, PIECES, VISITORS


def number(work: Work, unit: int) -> dict[str, Any]:
    """Give every piece its cluster_id, the smallest loc_id of its members, or -1 where it has too few."""
    n_tiles = work.partition().n_tiles
    joined = components(work, n_tiles, PIECE_LINKS, PIECES)
    tables = [work.get(PIECE_ROOTS, tile) for tile in range(n_tiles)]
    tile_of_row = np.repeat(np.arange(n_tiles), [len(t) for t in tables])
    whole = pa.concat_tables(tables)
    roots = whole["root"].to_numpy()
    component = component_of(*joined, roots)
    ids, group = np.unique(component, return_inverse=True)
    count = np.bincount(group, weights=whole["count"].to_numpy(), minlength=len(ids))
    kept = count >= work.settings.min_points
    cluster = np.where(kept[group], component.astype(np.int64), NO_CLUSTER)
    home = np.zeros(len(ids), dtype=np.int64)
    at_home = roots == component
    home[group[at_home]] = tile_of_row[at_home]
    away = kept[group] & (home[group] != tile_of_row)
    visits = np.unique(np.column_stack([home[group[away]], tile_of_row[away]]), axis=0)
    columns = {"root": roots, "cluster_id": cluster, "b_nm": whole["b_nm"].to_numpy()}
    starts = np.searchsorted(tile_of_row, np.arange(n_tiles + 1))
    for tile in range(n_tiles):
        here = slice(starts[tile], starts[tile + 1])
        work.put(NUMBERS, tile, pa.table({name: column[here] for name, column in columns.items()}))
        work.put(VISITORS, tile, pa.table({"tile": visits[visits[:, 0] == tile, 1]}))
    return {"clusters": int(kept.sum())}


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
