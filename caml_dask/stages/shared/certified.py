"""Neighbors of a tile's localizations, exact whatever the tiling (DESIGN law 3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, Self, TypeVar

import numpy as np
import pyarrow as pa

from caml_dask.spatial.blocks import BlockIndex
from caml_dask.spatial.neighbors import nearest
from caml_dask.spatial.partition import Partition
from caml_dask.stages.shared.surroundings import Surroundings, halo, rows_within
from caml_dask.stages.shared.work import Work, coordinates
from caml_dask.stages.tables import TILE

_SAMPLE = 512  # localizations whose window tells how wide the halo should be
_HALO_SHARE = 0.99  # share of a tile's localizations that its halo should settle
_MOST_TILES = 16  # tiles that a window may touch before its rows are asked of one tile after another
_FEW, _SPAN = 64, 1 << 14  # rows, and rows of a tile, compared at a time
_LEAST_HALO = 10  # halo rows always allowed, in multiples of the network's window
_ROUNDING = 1e-6  # more than a float32 distance differs from the float64 one


class Found(Protocol):
    """Neighbors of some localizations."""

    @property
    def rows(self) -> np.ndarray:
        """(m,) int64, whose neighbors they are: rows of the table that was searched."""

    @property
    def window_nm(self) -> np.ndarray:
        """(m,) float64, how far from each localization nothing may be missing for its neighbors to be right."""

    def some(self, which: np.ndarray, rows: np.ndarray) -> Self:
        """Those of some, (m,) bool, as neighbors of the localizations in `rows`, an int64 for each of them."""


F = TypeVar("F", bound=Found, covariant=True)


class Search(Protocol[F]):
    """Finds the k nearest among the localizations at hand."""

    @property
    def k(self) -> int:
        """Neighbors of each localization."""

    def __call__(self, table: pa.Table, rows: np.ndarray) -> Iterator[F]:
        """Neighbors of the localizations in `rows`, (m,) int64, among those of a table as TILE."""


def certified(work: Work, unit: int, search: Search[F]) -> Iterator[F]:
    """Neighbors of every localization of a tile, each row exactly once, exact whatever the tiling.

    First the tile with its halo is asked. What that cannot certify is asked again in wider windows read from the store,
    twice as wide each time, until it is certified (DESIGN law 3).
    """
    tiles, tile, k = work.partition(), work.get(TILE, unit), search.k
    own = coordinates(tile)
    pad = _first_pad(own, k) if tiles.n_tiles > 1 else 0.0
    around = _enough(work, tiles, unit, pad, k) if len(own) else None
    if around is None:
        return
    pending, bounds = [], []
    for part in search(pa.concat_tables([tile, around.rows]), np.arange(len(own))):
        sure = part.window_nm < tiles.clearance_nm(around.lower_nm, around.upper_nm, own[part.rows, :2])
        pending.append(part.rows[~sure])
        bounds.append(part.window_nm[~sure])
        yield part if sure.all() else part.some(sure, part.rows[sure])
    yield from _ask_again(work, tiles, unit, search, np.concatenate(pending), np.concatenate(bounds), pad)


def _first_pad(own: np.ndarray, k: int) -> float:
    """Halo width that should settle most of the tile, from a sample of its localizations among themselves."""
    if len(own) > k:
        sample = np.linspace(0, len(own) - 1, _SAMPLE).astype(np.int64)
        found = nearest(BlockIndex.of_sorted(own), k, np.unique(sample))
        pad = float(np.quantile(found.window_nm, _HALO_SHARE))
    else:
        pad = float(np.ptp(own[:, :2], axis=0).max()) if len(own) else 0.0
    return pad if pad > 0 else 1.0


def _enough(work: Work, tiles: Partition, unit: int, pad_nm: float, k: int) -> Surroundings:
    """The tile's halo, widened until tile and halo hold at least k + 1 localizations.

    Where the bound on its rows cut it short, that is widened instead: of many at one place a tight one leaves all out.
    """
    here = len(work.get(TILE, unit))
    most = max(here, _LEAST_HALO * k)
    while True:
        around = halo(work, tiles, unit, pad_nm, most)
        if here + len(around.rows) > k or not np.isfinite([around.lower_nm, around.upper_nm]).any():
            return around
        pad_nm, most = (2 * pad_nm, most) if around.whole else (pad_nm, 2 * most)


def _ask_again(
    work: Work,
    tiles: Partition,
    unit: int,
    search: Search[F],
    pending: np.ndarray,
    bound_nm: np.ndarray,
    pad_nm: float,
) -> Iterator[F]:
    """Settle `pending` rows, group by group, in windows that double until each is certified.

    Rows far from all others, whose windows would hold much of the image, are asked of one tile after another.

    bound_nm : (m,) float64, for each pending row a window that is known to be enough.
    """
    tile = work.get(TILE, unit)
    own, ids = coordinates(tile), tile["loc_id"].to_numpy()
    slack = 4 * np.spacing(np.abs(own).max())
    while len(pending):
        pad_nm *= 2
        left, left_bound = [], []
        for group in _near_one_another(own[pending, :2], 4 * pad_nm):
            rows, bound = pending[group], bound_nm[group]
            pad = min(pad_nm, float(bound.max()) * (1 + 1e-9) + slack)
            corners = own[rows, :2].min(axis=0) - pad, own[rows, :2].max(axis=0) + pad
            if len(tiles.overlapping(*corners)) > _MOST_TILES:
                yield from _tile_by_tile(work, tiles, tile, search, rows)
                continue
            around = rows_within(work, tiles, *corners, ids[rows])
            table = pa.concat_tables([tile.take(pa.array(rows)), around.rows])
            if len(table) <= search.k:
                left.append(rows)
                left_bound.append(bound)
                continue
            for part in search(table, np.arange(len(rows))):
                mine = rows[part.rows]
                sure = part.window_nm < tiles.clearance_nm(around.lower_nm, around.upper_nm, own[mine, :2])
                left.append(mine[~sure])
                left_bound.append(np.minimum(bound[part.rows], part.window_nm)[~sure])
                yield part.some(sure, mine[sure])
        pending = np.concatenate([np.zeros(0, np.int64), *left])
        bound_nm = np.concatenate([np.zeros(0), *left_bound])


def _tile_by_tile(work: Work, tiles: Partition, tile: pa.Table, search: Search[F], rows: np.ndarray) -> Iterator[F]:
    """Neighbors of a few rows at a time among what of all tiles may be one, nearest tiles first; one tile is in memory
    at a time."""
    own, ids = coordinates(tile), tile["loc_id"].to_numpy()
    for few in np.array_split(rows, -(-len(rows) // _FEW)):
        best = np.full((len(few), search.k), np.inf)
        kept, nearest_of_kept = [tile.slice(0, 0)], [np.zeros((len(few), 0))]
        apart = np.array([tiles.distance_nm(t, own[few, :2]).min() for t in range(tiles.n_tiles)])
        for other in np.argsort(apart, kind="stable"):
            if apart[other] * (1 - _ROUNDING) > best[:, -1].max():
                break
            table = work.get(TILE, int(other))
            for start in range(0, len(table), _SPAN):
                piece = table.slice(start, _SPAN)
                distance = np.sqrt(
                    sum((own[few, a, None] - c[None, :]) ** 2 for a, c in enumerate(coordinates(piece).T))
                )
                distance[ids[few, None] == piece["loc_id"].to_numpy()[None, :]] = np.inf
                best = np.sort(np.partition(np.hstack([best, distance]), search.k - 1, axis=1)[:, : search.k], axis=1)
                may = _may_be_neighbors(distance, best)
                kept.append(piece.filter(pa.array(may)))
                nearest_of_kept.append(distance[:, may])
        candidates = pa.concat_tables(kept)
        may = _may_be_neighbors(np.hstack(nearest_of_kept), best) & ~np.isin(candidates["loc_id"].to_numpy(), ids[few])
        for part in search(
            pa.concat_tables([tile.take(pa.array(few)), candidates.filter(pa.array(may))]), np.arange(len(few))
        ):
            yield part.some(np.ones(len(part.rows), np.bool_), few[part.rows])


def _may_be_neighbors(distance_nm: np.ndarray, best_nm: np.ndarray) -> np.ndarray:
    """Which columns of (m, n) distances may be one of the nearest of a row, whose best so far are (m, k)."""
    return np.asarray((distance_nm <= best_nm[:, -1:] * (1 + _ROUNDING)).any(axis=0))


def _near_one_another(xy_nm: np.ndarray, side_nm: float) -> list[np.ndarray]:
    """Groups of places that fall into one cell of a grid of `side_nm`."""
    cells = np.floor((xy_nm - xy_nm.min(axis=0)) / side_nm).astype(np.int64)
    _, group = np.unique(cells, axis=0, return_inverse=True)
    order = np.argsort(group, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
