"""Stage `link_cells`: dense cells that share a side belong to one cluster, also across tiles."""

from __future__ import annotations

from typing import Any

import numpy as np

from caml_dask.spatial.links import merge
from caml_dask.stages.methods.found import FOUND_READS, FOUND_WRITES, NO_PIECE, put_found
from caml_dask.stages.methods.sites import site_of_rows
from caml_dask.stages.methods.tables import DENSE_CELLS, SIDES, SITES
from caml_dask.stages.shared.work import Work
from caml_dask.stages.stage import OWNED_ROWS, Stage
from caml_dask.stages.tables import TILE


def link_cells(work: Work, unit: int) -> dict[str, Any]:
    """Label a tile's localizations, find the components of its dense cells, and what these link to in other tiles."""
    tile, sites, sides = work.get(TILE, unit), work.get(SITES, unit), work.get(SIDES, unit)
    dense = np.zeros(len(sites), np.bool_)
    dense[work.get(DENSE_CELLS, unit)["site"].to_numpy()] = True
    site, other, where = (sides[name].to_numpy() for name in ("site", "other_id", "other_tile"))
    site, other, where = (column[dense[site]] for column in (site, other, where))

    ids = sites["loc_id"].to_numpy()
    inside = where == unit
    linked = inside & np.isin(other, ids[dense])
    joined, smallest = merge(ids[site[linked]], other[linked])
    root = ids.copy()
    touched = np.isin(ids, joined)
    root[touched] = smallest[np.searchsorted(joined, ids[touched])]
    piece = np.where(dense, np.unique(root, return_inverse=True)[1], NO_PIECE)

    across = np.zeros(len(site), np.bool_)
    for one in np.unique(where[~inside]):
        mine = where == one
        across[mine] = np.isin(other[mine], work.get(DENSE_CELLS, int(one), ["loc_id"])["loc_id"].to_numpy())
    links = np.unique(np.column_stack([piece[site[across]], other[across], where[across]]).astype(np.int64), axis=0)
    columns = dict(zip(("piece", "foreign_id", "foreign_tile"), links.T, strict=True))
    return put_found(work, unit, tile, piece[site_of_rows(tile)[1]], len(sites), columns)


STAGE = Stage(
    name="link_cells",
    title="linking cells",
    per="tile",
    run=link_cells,
    effort=5,
    conserves=OWNED_ROWS,
    reads=(SITES, SIDES, DENSE_CELLS, *FOUND_READS),
    writes=FOUND_WRITES,
)
