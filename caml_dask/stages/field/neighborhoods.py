"""Stage `neighborhoods`: the ranked neighbors of a tile's localizations, and what regions are made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from caml_dask.errors import ConservationError
from caml_dask.networks.field.graph import EDGES_AT, directions_to, edges_of
from caml_dask.networks.field.ranks import EDGE_RANKS, NEIGHBORS, SCALE_AT, USED_RANKS
from caml_dask.networks.field.region import region_histograms
from caml_dask.spatial.partition import Partition
from caml_dask.spatial.ranked import ranked_neighbors
from caml_dask.stages.field.tables import HALO, NEIGHBORHOODS, REGION_BOXES, REGION_CUTS, SCALES, SURVEY
from caml_dask.stages.shared.certified import certified
from caml_dask.stages.shared.matrices import lists
from caml_dask.stages.shared.precision import PRECISION
from caml_dask.stages.shared.work import Work, coordinates, lookup, xy
from caml_dask.stages.stage import OWNED_ROWS, Stage
from caml_dask.stages.tables import BOXES, CUTS, FACTS, TILE


@dataclass(frozen=True)
class Ranked:
    """Ranked neighbors of some localizations.

    rows : (m,) int64, whose they are
    distances_nm : (m, U) float32, distances at USED_RANKS
    window_nm : (m,) float64, just beyond the farthest neighbor and all that tie with it
    ids : (m, E) uint64, loc_id of the neighbors at EDGE_RANKS
    places_nm : (m, E, d) float64, their coordinates
    """

    rows: np.ndarray
    distances_nm: np.ndarray
    window_nm: np.ndarray
    ids: np.ndarray
    places_nm: np.ndarray

    def some(self, which: np.ndarray, rows: np.ndarray) -> Ranked:
        """Those of some, under other row numbers."""
        return Ranked(rows, *(values[which] for name, values in vars(self).items() if name != "rows"))


@dataclass(frozen=True)
class RankedSearch:
    """Finds the k nearest in their order."""

    k: int

    def __call__(self, table: pa.Table, rows: np.ndarray) -> Iterator[Ranked]:
        """Neighbors of the localizations in `rows` among those of a table as TILE."""
        points, ids = coordinates(table), table["loc_id"].to_numpy()
        ranks = np.minimum(USED_RANKS, self.k)
        found, distances = ranked_neighbors(points, self.k, rows, ranks=ranks, also=precision_of(table))
        window = np.nextafter(distances[:, -1], np.float32(np.inf)).astype(np.float64)
        ends = found[:, EDGES_AT]
        yield Ranked(rows, distances, window, ids[ends], points[ends])


def precision_of(table: pa.Table) -> np.ndarray | None:
    """Localization precision of the rows of a tile in nm, (n,) float64; None where the input has none."""
    if PRECISION not in table.column_names:
        return None
    return np.nan_to_num(np.asarray(table[PRECISION].to_numpy(), dtype=np.float64))


def neighborhoods(work: Work, unit: int) -> dict[str, Any]:
    """Rank the neighbors of a tile's localizations, wherever they lie, and count their distances by region."""
    tile, tiles = work.get(TILE, unit), work.partition()
    points, n = coordinates(tile), len(tile)
    k = min(NEIGHBORS, work.facts()["finite"] - 1)
    distances = np.empty((n, len(USED_RANKS)), np.float32)
    window_nm = np.empty(n)
    ids = np.empty((n, len(EDGE_RANKS)), np.uint64)
    places = np.empty((n, len(EDGE_RANKS), points.shape[1]))
    found = 0
    for part in certified(work, unit, RankedSearch(k)):
        distances[part.rows], window_nm[part.rows] = part.distances_nm, part.window_nm
        ids[part.rows], places[part.rows] = part.ids, part.places_nm
        found += len(part.rows)
    rows, halo_nm = _on_halo(work, tiles, tile, ids, places, unit)
    neighbors, _ = edges_of(rows, k)
    columns = {
        "loc_id": tile["loc_id"],
        "distances_nm": lists(distances),
        "neighbors": lists(neighbors),
        "directions": lists(directions_to(points, np.vstack([points, halo_nm]), neighbors)),
        "window_nm": window_nm,
    }
    work.put(NEIGHBORHOODS, unit, pa.table(columns))
    work.put(SCALES, unit, pa.table({"scale_nm": distances[:, SCALE_AT]}))
    _put_survey(work, unit, xy(tile), distances)
    return {"rows": found, "duplicates": int(np.count_nonzero(distances[:, 0] == 0))}


def _on_halo(
    work: Work, tiles: Partition, tile: pa.Table, ids: np.ndarray, places_nm: np.ndarray, unit: int
) -> tuple[np.ndarray, np.ndarray]:
    """Neighbors, (n, E) loc_id, as rows of the tile with its halo behind it; the halo is kept.

    Returns
    -------
    rows : (n, E) int64
    halo_nm : (h, d) float64, coordinates of the halo
    """
    own = tile["loc_id"].to_numpy()
    order = np.argsort(own)
    at = np.minimum(np.searchsorted(own[order], ids), max(len(own) - 1, 0))
    inside = own[order][at] == ids if len(own) else np.zeros(ids.shape, np.bool_)
    rows = np.where(inside, order[at] if len(own) else 0, 0)
    foreign, first, back = np.unique(ids[~inside], return_index=True, return_inverse=True)
    halo_nm = places_nm[~inside][first]
    owner = tiles.tile_of(np.ascontiguousarray(halo_nm[:, :2]))
    row = np.zeros(len(foreign), np.int64)
    for other in np.unique(owner):
        if other == unit:
            raise ConservationError(f"{work.image.image_id}: tile {unit} owns a neighbor that it does not hold")
        there = work.get(TILE, int(other), ["loc_id"])["loc_id"].to_numpy()
        sorted_there = np.argsort(there)
        mine = owner == other
        (row[mine],) = lookup(there[sorted_there], [sorted_there], foreign[mine], f"tile {other}")
    by_tile = np.lexsort((row, owner))
    work.put(HALO, unit, pa.table({"tile": owner[by_tile], "row": row[by_tile]}))
    rows[~inside] = len(own) + np.argsort(by_tile)[back]
    return rows, halo_nm[by_tile]


def _put_survey(work: Work, unit: int, xy_nm: np.ndarray, distances_nm: np.ndarray) -> None:
    regions, at = np.unique(work.regions().tile_of(xy_nm), return_inverse=True)
    counts = region_histograms(distances_nm, at, len(regions))
    region, series, place = np.nonzero(counts)
    columns = {"region": regions[region], "series": series, "bin": place, "count": counts[region, series, place]}
    work.put(SURVEY, unit, pa.table(columns))


STAGE = Stage(
    name="neighborhoods",
    title="finding neighbors",
    per="tile",
    run=neighborhoods,
    effort=180,
    conserves=OWNED_ROWS,
    reads=(FACTS, BOXES, CUTS, REGION_BOXES, REGION_CUTS, TILE),
    writes=(NEIGHBORHOODS, HALO, SCALES, SURVEY),
    carries=(PRECISION,),
)
