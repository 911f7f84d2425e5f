"""Stage `sites`: the places of a tile at which localizations lie (:class:`caml_dask.methods.Voronoi`)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from caml_dask.stages.methods.tables import SITES
from caml_dask.stages.shared.work import Work, xy
from caml_dask.stages.stage import OWNED_ROWS, Stage
from caml_dask.stages.tables import TILE


def sites(work: Work, unit: int) -> dict[str, Any]:
    """Keep each place of a tile once; localizations at one place are of one tile."""
    tile = work.get(TILE, unit)
    places, site, count = site_of_rows(tile)
    ids = np.full(len(places), np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(ids, site, tile["loc_id"].to_numpy())
    columns = {"loc_id": ids, "x_nm": places[:, 0], "y_nm": places[:, 1], "count": count}
    work.put(SITES, unit, pa.table(columns))
    return {"rows": len(tile)}


def site_of_rows(tile: pa.Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places of a tile by their coordinates, (s, 2); the site of each row, (n,); and rows at each site, (s,)."""
    places, site, count = np.unique(xy(tile), axis=0, return_inverse=True, return_counts=True)
    return places, site.reshape(-1), count


STAGE = Stage(
    name="sites",
    title="finding sites",
    per="tile",
    run=sites,
    effort=3,
    conserves=OWNED_ROWS,
    reads=(TILE,),
    writes=(SITES,),
)
