"""Stage `link_cores`: cores within reach of each other belong to one cluster, also across tiles, and each other
localization to that of its nearest core (:class:`caml_dask.methods.DBSCAN`)."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pyarrow as pa

from caml_dask.methods import DBSCAN
from caml_dask.schema import CLUSTERED, NON_CLUSTERED
from caml_dask.spatial.blocks import BlockIndex
from caml_dask.spatial.density import cliques, linked, nearest_within
from caml_dask.stages.classify import Distances
from caml_dask.stages.methods.tables import CORES
from caml_dask.stages.shared.certified import certified
from caml_dask.stages.shared.links import put_sums
from caml_dask.stages.shared.surroundings import rows_around
from caml_dask.stages.shared.work import Work, coordinates
from caml_dask.stages.stage import OWNED_ROWS, Stage
from caml_dask.stages.tables import BOXES, CUTS, FACTS, LABELS, PIECE_LINKS, PIECES, ROOTS, TILE

_NONE = -1


def link_cores(work: Work, unit: int) -> dict[str, Any]:
    """Label a tile's localizations, find their components in the tile, and what these link to in other tiles."""
    eps_nm, tile, own = cast(DBSCAN, work.network).eps_nm, work.get(TILE, unit), work.get(CORES, unit)
    around = list(rows_around(work, CORES, unit, eps_nm))
    index = BlockIndex.build(np.vstack([coordinates(own), *(coordinates(rows) for _, rows in around)]))
    component = linked(index, eps_nm)
    joined = np.full(len(tile), _NONE)  # a component of cores for each row of the tile
    joined[own["row"].to_numpy()] = component[: len(own)]
    others = np.flatnonzero(joined == _NONE)
    core = nearest_within(index, coordinates(tile)[others], eps_nm)
    joined[others[core >= 0]] = component[core[core >= 0]]
    clustered = joined != _NONE

    ids = tile["loc_id"].to_numpy()
    smallest = np.full(index.n, np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(smallest, joined[clustered], ids[clustered])
    root = ids.copy()
    root[clustered] = smallest[joined[clustered]]
    nearest_nm = np.empty(len(tile))
    for part in certified(work, unit, Distances(work.network.n_neighbors)):
        nearest_nm[part.rows] = part.nearest_nm
    label = np.where(clustered, CLUSTERED, NON_CLUSTERED).astype(np.int8)
    columns = {"loc_id": tile["loc_id"], "label": label, "window_nm": nearest_nm, "nearest_nm": nearest_nm}
    work.put(LABELS, unit, pa.table(columns))
    columns = {"loc_id": tile["loc_id"], "root": root, "window_saturated": np.zeros(len(tile), np.bool_)}
    work.put(PIECES, unit, pa.table(columns))
    put_sums(work, unit, nearest_nm[clustered], root[clustered])
    _put_links(work, unit, around, smallest[component[len(own) :]], cliques_of_rows(index, eps_nm)[len(own) :])
    return {"rows": len(tile), "duplicates": int(np.count_nonzero(nearest_nm == 0))}


def cliques_of_rows(index: BlockIndex, radius_nm: float) -> np.ndarray:
    """By row, a number that rows share only if they all lie within the radius of each other: (n,) int64."""
    clique = np.empty(index.n, np.int64)
    clique[index.order] = cliques(index, radius_nm)
    return clique


def _put_links(work: Work, unit: int, around: list[tuple[int, pa.Table]], root: np.ndarray, clique: np.ndarray) -> None:
    """Keep the links of components to cores of other tiles: of a clique in one of them the first stands for all.

    root : (h,) uint64, of each core in `around` the root of the tile's component that holds it; the highest for none
    clique : (h,) int64
    """
    where = np.repeat([other for other, _ in around] or [0], [len(rows) for _, rows in around] or [0])
    foreign = np.concatenate([np.zeros(0, np.uint64), *(rows["loc_id"].to_numpy() for _, rows in around)])
    linking = np.flatnonzero(root != np.iinfo(np.uint64).max)
    _, first = np.unique(np.column_stack([where[linking], clique[linking]]), axis=0, return_index=True)
    kept = linking[first]
    ends = {"root": root[kept], "foreign_id": foreign[kept], "foreign_tile": where[kept].astype(np.uint64)}
    work.put(PIECE_LINKS, unit, pa.table(ends))


STAGE = Stage(
    name="link_cores",
    title="linking cores",
    per="tile",
    run=link_cores,
    effort=20,
    conserves=OWNED_ROWS,
    reads=(FACTS, BOXES, CUTS, TILE, CORES),
    writes=(LABELS, PIECE_LINKS, PIECES, ROOTS),
)
