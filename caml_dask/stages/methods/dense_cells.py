"""Stage `dense_cells`: the cells of a tile that are denser than the field, by themselves or with their neighbors."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pyarrow as pa

from caml_dask.methods import Voronoi
from caml_dask.stages.methods.settle import settled
from caml_dask.stages.methods.tables import CELLS, DENSE_CELLS, SETTLED, SIDES, SITES
from caml_dask.stages.shared.work import Work, lookup
from caml_dask.stages.stage import UNCOMPARED, Stage


def dense_cells(work: Work, unit: int) -> dict[str, Any]:
    """Keep the cells of a tile that reach the density factor."""
    method, sites = cast(Voronoi, work.network), work.get(SITES, unit)
    n, area = sites["count"].to_numpy().astype(np.float64), work.get(CELLS, unit)["area_nm2"].to_numpy()
    if method.rank == 1:
        sides = work.get(SIDES, unit)
        site = sides["site"].to_numpy()
        # sides come in the order of a cell's corners, which no tiling changes: so do the sums
        around_n, around_area = neighbors(work, sides)
        n = n + np.bincount(site, around_n, len(n))
        area = area + np.bincount(site, around_area, len(area))
    least = method.density_factor * settled(work)["density_per_nm2"]
    rows = np.flatnonzero(n >= least * area)
    work.put(DENSE_CELLS, unit, pa.table({"loc_id": sites["loc_id"].to_numpy()[rows], "site": rows}))
    return {"dense": len(rows)}


def neighbors(work: Work, sides: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Localizations and area of the cell behind each side, read from the tiles that own them."""
    other, tile = sides["other_id"].to_numpy(), sides["other_tile"].to_numpy()
    n, area = np.empty(len(other)), np.empty(len(other))
    for one in np.unique(tile):
        mine, sites = tile == one, work.get(SITES, int(one))
        ids, areas = sites["loc_id"].to_numpy(), work.get(CELLS, int(one))["area_nm2"].to_numpy()
        order = np.argsort(ids)
        values = sites["count"].to_numpy()[order], areas[order]
        n[mine], area[mine] = lookup(ids[order], values, other[mine], f"sites {one}")
    return n, area


STAGE = Stage(
    name="dense_cells",
    title="comparing cells with the mean density",
    per="tile",
    run=dense_cells,
    effort=3,
    conserves=UNCOMPARED,
    reads=(SETTLED, SITES, CELLS, SIDES),
    writes=(DENSE_CELLS,),
)
