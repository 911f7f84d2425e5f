"""Clusters across tiles: links, stitching, cut and numbers (DESIGN section 6, laws 2, 4, 5).

A tile hands on the distinct (local root, foreign loc_id) of its links and a count and exact sum a local root; never
its members. A local root is the smallest loc_id of a component inside one tile.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from caml_dask.schema import NO_CLUSTER, NON_CLUSTERED
from caml_dask.segment import (
    CUT_FACTOR,
    LEAST_NEIGHBORS,
    OUTLINE_FACTOR,
    LabelledIndex,
    exact_sums,
    merge,
    reach_nm,
)
from caml_dask.stages.work import Work, coordinates, lookup, xy
from caml_dask.tiling import Partition

UNLINKED = -1.0
_LINK_COLUMNS = ("root", "foreign_id", "foreign_tile")


@dataclass(frozen=True)
class _Clustered:
    """The clustered rows of a tile: their places in the tile's tables, ids, coordinates and classes."""

    rows: np.ndarray
    loc_id: np.ndarray
    points_nm: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class _Beyond:
    """What of another tile lies within reach of some clustered rows of this one.

    tile : the other tile
    who : places, among the clustered rows, of those that reach it
    loc_id : ids of its rows by row of the index
    """

    tile: int
    who: np.ndarray
    index: LabelledIndex
    loc_id: np.ndarray


def _clustered(work: Work, unit: int) -> _Clustered:
    tile, labels = work.store.get("tile", unit), work.store.get("labels", unit)["label"].to_numpy()
    rows = np.flatnonzero(labels != NON_CLUSTERED)
    return _Clustered(rows, tile["loc_id"].to_numpy()[rows], coordinates(tile)[rows], labels[rows])


def _beyond(work: Work, tiles: Partition, unit: int, own: _Clustered, radius_nm: np.ndarray) -> Iterator[_Beyond]:
    """Other tiles within `radius_nm` of clustered rows, each cut down to the window that these need.

    Windows are wider than the radius by more than rounding, so that what lies just at the radius is in them: whether it
    is within reach, its distance decides.
    """
    plane = own.points_nm[:, :2]
    radius_nm = np.where(radius_nm < 0, UNLINKED, radius_nm * (1 + 1e-9) + 4 * np.spacing(np.abs(plane).max(axis=1)))
    crossing = np.flatnonzero(tiles.clearance_nm(tiles.lower_nm[unit], tiles.upper_nm[unit], plane) <= radius_nm)
    if not len(crossing):
        return
    widest = radius_nm[crossing].max()
    nearby = tiles.overlapping(plane[crossing].min(axis=0) - widest, plane[crossing].max(axis=0) + widest)
    for other in nearby:
        who = crossing[tiles.distance_nm(int(other), plane[crossing]) <= radius_nm[crossing]]
        if other == unit or not len(who):
            continue
        table, labels = work.store.get("tile", int(other)), work.store.get("labels", int(other))
        lower = (plane[who] - radius_nm[who, None]).min(axis=0)
        upper = (plane[who] + radius_nm[who, None]).max(axis=0)
        points = xy(table)
        inside = np.flatnonzero(np.all((points >= lower) & (points <= upper), axis=1))
        index = LabelledIndex.build(coordinates(table)[inside], labels["label"].to_numpy()[inside])
        yield _Beyond(int(other), who, index, table["loc_id"].to_numpy()[inside])


def link(work: Work, unit: int) -> dict[str, Any]:
    """Reach of each clustered localization of a tile, and the components its links make inside the tile."""
    tiles, own = work.partition(), _clustered(work, unit)
    tile, labels = work.store.get("tile", unit), work.store.get("labels", unit)
    everything = LabelledIndex.of_sorted(coordinates(tile), labels["label"].to_numpy())
    window_nm = labels["window_nm"].to_numpy()[own.rows]
    other_nm = everything.nearest_other_nm(own.points_nm, own.labels, window_nm)
    beyond = list(_beyond(work, tiles, unit, own, np.minimum(other_nm, window_nm)))
    for there in beyond:
        points, classes = own.points_nm[there.who], own.labels[there.who]
        bound = np.minimum(other_nm, window_nm)[there.who]
        found = there.index.nearest_other_nm(points, classes, bound)
        other_nm[there.who] = np.minimum(other_nm[there.who], found)
    radius = reach_nm(other_nm, window_nm)
    itself = (radius >= 0).astype(np.int64)
    count = everything.count_same(own.points_nm, own.labels, radius, LEAST_NEIGHBORS + 1) - itself
    for there in beyond:
        points, classes = own.points_nm[there.who], own.labels[there.who]
        count[there.who] += there.index.count_same(points, classes, radius[there.who], LEAST_NEIGHBORS)
    radius[count < LEAST_NEIGHBORS] = UNLINKED
    saturated = np.zeros(len(tile), dtype=bool)
    saturated[own.rows] = np.isinf(other_nm)
    roots = _join(work, unit, "links", own, radius, everything, beyond)
    reach = np.full(len(tile), UNLINKED)
    reach[own.rows] = radius
    columns = {"loc_id": tile["loc_id"], "reach_nm": reach, "window_saturated": saturated}
    work.store.put("reach", unit, pa.table({**columns, "root": _spread(tile, own, roots)}))
    _put_sums(work, unit, labels["nearest_nm"].to_numpy()[own.rows], roots)
    return {"rows": len(tile)}


def _spread(tile: pa.Table, own: _Clustered, roots: np.ndarray) -> np.ndarray:
    """The root of each row of a tile; a non-clustered row is its own."""
    root = tile["loc_id"].to_numpy().copy()
    root[own.rows] = roots
    return root


def _join(
    work: Work,
    unit: int,
    name: str,
    own: _Clustered,
    radius_nm: np.ndarray,
    everything: LabelledIndex,
    beyond: list[_Beyond],
) -> np.ndarray:
    """Local roots of the clustered rows, (m,) uint64; the distinct links to other tiles are stored as `name`."""
    reach = np.full(everything.index.n, UNLINKED)
    reach[own.rows] = radius_nm
    place = np.full(everything.index.n, -1, dtype=np.int64)
    place[own.rows] = np.arange(len(own.rows))
    component = place[everything.components(reach)[own.rows]]
    roots = np.full(len(own.rows), np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(roots, component, own.loc_id)
    roots = roots[component]
    links: dict[str, list[np.ndarray]] = {name: [np.zeros(0, np.uint64)] for name in _LINK_COLUMNS}
    for there in beyond:
        linking = there.who[radius_nm[there.who] >= 0]
        distinct = np.zeros(0, dtype=np.int64)
        for who, row in there.index.pairs_same(own.points_nm[linking], own.labels[linking], radius_nm[linking]):
            distinct = np.union1d(distinct, component[linking[who]] * there.index.index.n + row)
        first, row = np.divmod(distinct, max(1, there.index.index.n))
        ends = roots[first], there.loc_id[row], np.full(len(row), there.tile, np.uint64)
        for column, end in zip(_LINK_COLUMNS, ends, strict=True):
            links[column].append(end)
    work.store.put(name, unit, pa.table({column: np.concatenate(ends) for column, ends in links.items()}))
    return roots


def _put_sums(work: Work, unit: int, nearest_nm: np.ndarray, roots: np.ndarray) -> None:
    """Count and exact sum of nearest-neighbor distances a local root."""
    order = np.argsort(roots, kind="stable")
    ids, first = np.unique(roots[order], return_index=True)
    starts = np.append(first, len(roots))
    values, offsets = exact_sums(nearest_nm[order], starts)
    sums = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values))
    work.store.put("roots", unit, pa.table({"root": ids, "count": np.diff(starts), "sum_nearest_nm": sums}))


def _components(work: Work, n_tiles: int, links: str, rows: str) -> tuple[np.ndarray, np.ndarray]:
    """Roots that links of other tiles touch, ascending, and the smallest root of each one's component."""
    tables = [work.store.get(links, tile) for tile in range(n_tiles)]
    first = np.concatenate([t["root"].to_numpy() for t in tables])
    foreign = np.concatenate([t["foreign_id"].to_numpy() for t in tables])
    where = np.concatenate([t["foreign_tile"].to_numpy() for t in tables])
    second = np.empty_like(foreign)
    for tile in np.unique(where):
        asked = where == tile
        table = work.store.get(rows, int(tile), ["loc_id", "root"])
        ids = table["loc_id"].to_numpy()
        order = np.argsort(ids)
        (second[asked],) = lookup(ids[order], [table["root"].to_numpy()[order]], foreign[asked], f"{rows} {tile}")
    return merge(first, second)


def _of_component(ids: np.ndarray, smallest: np.ndarray, roots: np.ndarray) -> np.ndarray:
    """The component of each root: what the links made of it, or itself."""
    if not len(ids):
        return roots
    place = np.minimum(np.searchsorted(ids, roots), len(ids) - 1)
    return np.where(ids[place] == roots, smallest[place], roots)


def stitch(work: Work, unit: int) -> dict[str, Any]:
    """Components over all tiles, and b = 1.2 x the mean nearest-neighbor distance of each one's members."""
    n_tiles = work.partition().n_tiles
    joined = _components(work, n_tiles, "links", "reach")
    tables = [work.store.get("roots", tile) for tile in range(n_tiles)]
    whole = pa.concat_tables(tables).combine_chunks()
    component = _of_component(*joined, whole["root"].to_numpy())
    ids, group = np.unique(component, return_inverse=True)
    count = np.bincount(group, weights=whole["count"].to_numpy(), minlength=len(ids))
    sums = whole["sum_nearest_nm"].combine_chunks()
    values, owner = sums.flatten().to_numpy(), group[sums.value_parent_indices().to_numpy()]
    order = np.argsort(owner, kind="stable")
    starts = np.searchsorted(owner[order], np.arange(len(ids) + 1))
    ordered = values[order].tolist()
    total = np.array([math.fsum(ordered[a:b]) for a, b in itertools.pairwise(starts)])
    b_nm = OUTLINE_FACTOR * (total / np.maximum(count, 1))
    stop = 0
    for tile, table in enumerate(tables):
        start, stop = stop, stop + len(table)
        work.store.put("components", tile, pa.table({"root": table["root"], "b_nm": b_nm[group[start:stop]]}))
    return {"components": len(ids)}


def cut(work: Work, unit: int) -> dict[str, Any]:
    """Drop the links longer than 2 sqrt(3) b of their component and take the components of a tile once more."""
    tiles, own = work.partition(), _clustered(work, unit)
    tile, labels = work.store.get("tile", unit), work.store.get("labels", unit)
    reach, bounds = work.store.get("reach", unit), work.store.get("components", unit)
    before = reach["root"].to_numpy()[own.rows]
    (b_nm,) = lookup(bounds["root"].to_numpy(), [bounds["b_nm"].to_numpy()], before, "components")
    radius = np.minimum(reach["reach_nm"].to_numpy()[own.rows], CUT_FACTOR * b_nm)
    everything = LabelledIndex.of_sorted(coordinates(tile), labels["label"].to_numpy())
    beyond = list(_beyond(work, tiles, unit, own, radius))
    roots = _join(work, unit, "piece_links", own, radius, everything, beyond)
    work.store.put("pieces", unit, pa.table({"loc_id": tile["loc_id"], "root": _spread(tile, own, roots)}))
    ids, first, count = np.unique(roots, return_index=True, return_counts=True)
    work.store.put("piece_roots", unit, pa.table({"root": ids, "count": count, "b_nm": b_nm[first]}))
    return {"rows": len(tile)}


def number(work: Work, unit: int) -> dict[str, Any]:
    """Give every piece its cluster_id, the smallest loc_id of its members, or -1 where it has too few."""
    n_tiles = work.partition().n_tiles
    joined = _components(work, n_tiles, "piece_links", "pieces")
    tables = [work.store.get("piece_roots", tile) for tile in range(n_tiles)]
    tile_of_row = np.repeat(np.arange(n_tiles), [len(t) for t in tables])
    whole = pa.concat_tables(tables)
    roots = whole["root"].to_numpy()
    component = _of_component(*joined, roots)
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
        work.store.put("numbers", tile, pa.table({name: column[here] for name, column in columns.items()}))
        work.store.put("visitors", tile, pa.table({"tile": visits[visits[:, 0] == tile, 1]}))
    return {"clusters": int(kept.sum())}
