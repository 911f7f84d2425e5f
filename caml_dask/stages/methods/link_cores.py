"""Stage `link_cores`: cores within reach of each other belong to one cluster, also across tiles; with DBSCAN each other
localization to that of its nearest core."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from caml_dask.methods import DBSCAN
from caml_dask.spatial.blocks import BlockIndex
from caml_dask.spatial.density import cliques, linked, nearest_within
from caml_dask.stages.methods.found import FOUND_READS, FOUND_WRITES, NO_PIECE, NO_ROOT, put_found, smallest_ids
from caml_dask.stages.methods.settle import settled
from caml_dask.stages.methods.tables import CORES, SETTLED
from caml_dask.stages.shared.surroundings import rows_around
from caml_dask.stages.shared.work import Work, coordinates
from caml_dask.stages.stage import OWNED_ROWS, Stage
from caml_dask.stages.tables import TILE


def link_cores(work: Work, unit: int) -> dict[str, Any]:
    """Label a tile's localizations, find their components in the tile, and what these link to in other tiles."""
    link_nm, tile, own = settled(work)["link_nm"], work.get(TILE, unit), work.get(CORES, unit)
    around = list(rows_around(work, CORES, unit, link_nm))
    index = BlockIndex.build(np.vstack([coordinates(own), *(coordinates(rows) for _, rows in around)]))
    component = linked(index, link_nm)
    joined = np.full(len(tile), NO_PIECE)  # a component of cores for each row of the tile
    joined[own["row"].to_numpy()] = component[: len(own)]
    if isinstance(work.network, DBSCAN):
        others = np.flatnonzero(joined == NO_PIECE)
        core = nearest_within(index, coordinates(tile)[others], link_nm)
        joined[others[core >= 0]] = component[core[core >= 0]]
    smallest = smallest_ids(tile["loc_id"].to_numpy(), joined, index.n)
    foreign = component[len(own) :]
    links = _links(around, foreign, smallest[foreign] != NO_ROOT, cliques_of_rows(index, link_nm)[len(own) :])
    return put_found(work, unit, tile, joined, index.n, links)


def cliques_of_rows(index: BlockIndex, radius_nm: float) -> np.ndarray:
    """By row, a number that rows share only if they all lie within the radius of each other: (n,) int64."""
    clique = np.empty(index.n, np.int64)
    clique[index.order] = cliques(index, radius_nm)
    return clique


def _links(
    around: list[tuple[int, pa.Table]], piece: np.ndarray, own: np.ndarray, clique: np.ndarray
) -> dict[str, np.ndarray]:
    """Links of pieces to cores of other tiles: of a clique in one of them the first stands for all.

    piece : (h,) int64, the component of each core in `around`
    own : (h,) bool, whether that has a localization of the tile
    clique : (h,) int64
    """
    where = np.repeat([other for other, _ in around] or [0], [len(rows) for _, rows in around] or [0])
    foreign = np.concatenate([np.zeros(0, np.uint64), *(rows["loc_id"].to_numpy() for _, rows in around)])
    linking = np.flatnonzero(own)
    _, first = np.unique(np.column_stack([where[linking], clique[linking]]), axis=0, return_index=True)
    kept = linking[first]
    return {"piece": piece[kept], "foreign_id": foreign[kept], "foreign_tile": where[kept]}


STAGE = Stage(
    name="link_cores",
    title="linking cores",
    per="tile",
    run=link_cores,
    effort=20,
    conserves=OWNED_ROWS,
    reads=(SETTLED, CORES, *FOUND_READS),
    writes=FOUND_WRITES,
)
