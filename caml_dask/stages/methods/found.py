"""What the stages of every method leave of a tile: labels, pieces of clusters, and sums for the b of outlines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from caml_dask.schema import CLUSTERED, NON_CLUSTERED
from caml_dask.stages.classify import Distances
from caml_dask.stages.shared.certified import certified
from caml_dask.stages.shared.links import put_sums
from caml_dask.stages.shared.work import Work
from caml_dask.stages.tables import (
    BOXES,
    CUTS,
    FACTS,
    LABELS,
    PIECE_LINKS,
    PIECES,
    ROOTS,
    TILE,
)

NO_PIECE = -1
NO_ROOT = np.iinfo(np.uint64).max
FOUND_READS = (FACTS, BOXES, CUTS, TILE)
FOUND_WRITES = (LABELS, PIECE_LINKS, PIECES, ROOTS)
"""Tables of the last stage of a method that looks at tiles."""


def put_found(
    work: Work, unit: int, tile: pa.Table, piece: np.ndarray, pieces: int, links: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Keep labels and pieces of a tile's localizations, and the links of its pieces; returns the stage's record.

    piece : (n,) int64, the piece of a cluster in the tile that each row is of, NO_PIECE for none
    pieces : numbers of pieces lie below
    links : `piece`, `foreign_id` and `foreign_tile` of links to localizations of other tiles
    """
    ids, clustered = tile["loc_id"].to_numpy(), piece != NO_PIECE
    smallest = smallest_ids(ids, piece, pieces)
    root = ids.copy()
    root[clustered] = smallest[piece[clustered]]
    nearest_nm = np.empty(len(tile))
    for part in certified(work, unit, Distances(work.network.n_neighbors)):
        nearest_nm[part.rows] = part.nearest_nm
    label = np.where(clustered, CLUSTERED, NON_CLUSTERED).astype(np.int8)
    columns = {"loc_id": tile["loc_id"], "label": label, "window_nm": nearest_nm, "nearest_nm": nearest_nm}
    work.put(LABELS, unit, pa.table(columns))
    columns = {"loc_id": tile["loc_id"], "root": root, "window_saturated": np.zeros(len(tile), np.bool_)}
    work.put(PIECES, unit, pa.table(columns))
    put_sums(work, unit, nearest_nm[clustered], root[clustered])
    ends = {"root": smallest[links["piece"]], "foreign_id": links["foreign_id"], "foreign_tile": links["foreign_tile"]}
    work.put(PIECE_LINKS, unit, pa.table({name: np.asarray(end, np.uint64) for name, end in ends.items()}))
    return {"rows": len(tile), "duplicates": int(np.count_nonzero(nearest_nm == 0))}


def smallest_ids(ids: np.ndarray, piece: np.ndarray, pieces: int) -> np.ndarray:
    """(pieces,) uint64, the smallest loc_id of the localizations of each piece; NO_ROOT where there are none.

    ids : (n,) uint64
    piece : (n,) int64, NO_PIECE for none
    """
    smallest = np.full(pieces, NO_ROOT, np.uint64)
    inside = piece != NO_PIECE
    np.minimum.at(smallest, piece[inside], ids[inside])
    return smallest
