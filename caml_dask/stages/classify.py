"""Scores and labels of a tile: neighbor distances, certified, then the network (DESIGN laws 2 and 3)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from caml_dask.spatial.blocks import BlockIndex
from caml_dask.spatial.neighbors import Neighbors, nearest, nearest_in_batches
from caml_dask.spatial.partition import Partition
from caml_dask.stages.shared.surroundings import Surroundings, halo, rows_within
from caml_dask.stages.shared.work import Work, coordinates
from caml_dask.stages.stage import OWNED_ROWS, Stage
from caml_dask.stages.tables import BOXES, CUTS, FACTS, LABELS, TILE

_SAMPLE = 512  # localizations whose window tells how wide the halo should be
_HALO_SHARE = 0.99  # share of a tile's localizations that its halo should settle
_MOST_TILES = 16  # tiles that a window may touch before its rows are asked of one tile after another
_FEW, _SPAN = 64, 1 << 14  # rows, and rows of a tile, compared at a time
_LEAST_HALO = 10  # halo rows always allowed, in multiples of the network's window


def classify(work: Work, unit: int) -> dict[str, Any]:
    """Score the localizations of one tile; keep the distances too where the settings ask for them."""
    table = work.get(TILE, unit)
    names = work.network.score_columns
    scores = np.full((len(table), len(names)), np.nan, np.float32)
    window_nm, nearest_nm = np.full(len(table), np.nan), np.full(len(table), np.nan)

    def score(path: Path | None) -> None:
        features = None if path is None else _Features(path, table["loc_id"].to_numpy(), work.network.n_neighbors)
        for part in certified_neighbors(work, unit):
            scores[part.rows] = work.network.scores(part.distances_nm)
            window_nm[part.rows] = part.window_nm
            nearest_nm[part.rows] = part.nearest_nm
            if features is not None:
                features.append(part)

    if work.settings.save_features:
        work.store.output(f"features.zarr/tile_{unit:06d}", score)
    else:
        score(None)
    labels = {**dict(zip(names, scores.T, strict=True)), "label": work.network.labels(scores)}
    distances = {"window_nm": window_nm, "nearest_nm": nearest_nm}
    work.put(LABELS, unit, pa.table({"loc_id": table["loc_id"], **labels, **distances}))
    return {"rows": int(np.isfinite(scores).all(axis=1).sum()), "duplicates": int(np.count_nonzero(nearest_nm == 0))}


def certified_neighbors(work: Work, unit: int) -> Iterator[Neighbors]:
    """Neighbor distances of every localization of a tile, each row exactly once, exact whatever the tiling.

    First the tile with its halo is asked. What that cannot certify is asked again in wider windows read from the store,
    twice as wide each time, until it is certified (DESIGN law 3).
    """
    tiles = work.partition()
    own = coordinates(work.get(TILE, unit))
    k = work.network.n_neighbors
    pad = _first_pad(own, k) if tiles.n_tiles > 1 else 0.0
    around = _enough(work, tiles, unit, pad, k) if len(own) else None
    if around is None:
        return
    index = BlockIndex.build(np.vstack([own, coordinates(around.rows)]))
    pending, bounds = [], []
    for part in nearest_in_batches(index, k, np.arange(len(own))):
        sure = part.window_nm < tiles.clearance_nm(around.lower_nm, around.upper_nm, own[part.rows, :2])
        pending.append(part.rows[~sure])
        bounds.append(part.window_nm[~sure])
        yield _take(part, sure)
    yield from _ask_again(work, tiles, unit, own, np.concatenate(pending), np.concatenate(bounds), pad)


def _take(part: Neighbors, which: np.ndarray) -> Neighbors:
    if which.all():
        return part
    return Neighbors(part.rows[which], part.distances_nm[which], part.window_nm[which], part.nearest_nm[which])


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
    own: np.ndarray,
    pending: np.ndarray,
    bound_nm: np.ndarray,
    pad_nm: float,
) -> Iterator[Neighbors]:
    """Settle `pending` rows, group by group, in windows that double until each is certified.

    Rows far from all others, whose windows would hold much of the image, are asked of one tile after another.

    bound_nm : (m,) float64, for each pending row a k-th distance it is already known not to exceed.
    """
    ids = work.get(TILE, unit)["loc_id"].to_numpy()
    k = work.network.n_neighbors
    slack = 4 * np.spacing(np.abs(own).max())
    while len(pending):
        pad_nm *= 2
        left, left_bound = [], []
        for group in _near_one_another(own[pending, :2], 4 * pad_nm):
            rows, bound = pending[group], bound_nm[group]
            pad = min(pad_nm, float(bound.max()) * (1 + 1e-9) + slack)
            corners = own[rows, :2].min(axis=0) - pad, own[rows, :2].max(axis=0) + pad
            if len(tiles.overlapping(*corners)) > _MOST_TILES:
                yield from _tile_by_tile(work, tiles, own, ids, rows)
                continue
            around = rows_within(work, tiles, *corners, ids[rows])
            points = np.vstack([own[rows], coordinates(around.rows)])
            if len(points) <= k:
                left.append(rows)
                left_bound.append(bound)
                continue
            part = nearest(BlockIndex.build(points), k, np.arange(len(rows)))
            sure = part.window_nm < tiles.clearance_nm(around.lower_nm, around.upper_nm, own[rows, :2])
            left.append(rows[~sure])
            left_bound.append(np.minimum(bound, part.window_nm)[~sure])
            yield Neighbors(rows[sure], part.distances_nm[sure], part.window_nm[sure], part.nearest_nm[sure])
        pending = np.concatenate([np.zeros(0, np.int64), *left])
        bound_nm = np.concatenate([np.zeros(0), *left_bound])


def _tile_by_tile(
    work: Work, tiles: Partition, own: np.ndarray, ids: np.ndarray, rows: np.ndarray
) -> Iterator[Neighbors]:
    """The k nearest of a few rows at a time from all tiles, nearest tiles first; one tile is in memory at a time."""
    k = work.network.n_neighbors
    for few in np.array_split(rows, -(-len(rows) // _FEW)):
        best = np.full((len(few), k), np.inf)
        apart = np.array([tiles.distance_nm(t, own[few, :2]).min() for t in range(tiles.n_tiles)])
        for tile in np.argsort(apart, kind="stable"):
            if apart[tile] * (1 - 1e-9) > best[:, -1].max():
                break
            table = work.get(TILE, int(tile))
            for start in range(0, len(table), _SPAN):
                piece = table.slice(start, _SPAN)
                d2 = sum((own[few, a, None] - c[None, :]) ** 2 for a, c in enumerate(coordinates(piece).T))
                d2[ids[few, None] == piece["loc_id"].to_numpy()[None, :]] = np.inf
                best = np.partition(np.hstack([best, np.sqrt(d2)]), k - 1, axis=1)[:, :k]
                best.sort(axis=1)
        yield Neighbors(few, best.astype(np.float32), best[:, -1], best[:, 0])


def _near_one_another(xy_nm: np.ndarray, side_nm: float) -> list[np.ndarray]:
    """Groups of places that fall into one cell of a grid of `side_nm`."""
    cells = np.floor((xy_nm - xy_nm.min(axis=0)) / side_nm).astype(np.int64)
    _, group = np.unique(cells, axis=0, return_inverse=True)
    order = np.argsort(group, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(group[order])) + 1)


class _Features:
    """Neighbor distances of a tile as a Zarr group: loc_id (n,) and distances_nm (n, N), in one order."""

    def __init__(self, path: Path, loc_id: np.ndarray, k: int):
        import zarr

        self._ids = loc_id
        self._done = 0
        group = zarr.open_group(str(path), mode="w")
        group.attrs.update({"n_neighbors": k, "order": "ascending, self excluded"})
        rows = max(1, min(len(loc_id), (4 << 20) // (4 * k)))
        self._loc_id = group.create_array("loc_id", shape=loc_id.shape, chunks=(rows,), dtype="uint64")
        self._distances = group.create_array("distances_nm", shape=(len(loc_id), k), chunks=(rows, k), dtype="float32")

    def append(self, part: Neighbors) -> None:
        stop = self._done + len(part.rows)
        self._loc_id[self._done : stop] = self._ids[part.rows]
        self._distances[self._done : stop] = part.distances_nm
        self._done = stop


STAGE = Stage(
    name="classify",
    title="finding neighbors and scoring",
    per="tile",
    run=classify,
    effort=22,
    conserves=OWNED_ROWS,
    reads=(FACTS, BOXES, CUTS, TILE),
    writes=(LABELS,),
)
