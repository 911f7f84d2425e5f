"""Clusters across tiles: links, stitching, cut and numbers (DESIGN section 6, laws 2, 4, 5).

A tile hands on the distinct (local root, foreign loc_id) of its links and a count and exact sum a local root; never
its members. A local root is the smallest loc_id of a component inside one tile.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import pyarrow as pa

from caml_dask.schema import NO_CLUSTER, NON_CLUSTERED
from caml_dask.spatial.labelled import LabelledIndex
from caml_dask.spatial.links import OUTLINE_FACTOR, UNLINKED, exact_sums, merge
from caml_dask.spatial.partition import Partition
from caml_dask.stages.shared.work import Work, coordinates, lookup, xy
from caml_dask.stages.tables import LABELS, NUMBERS, ROOTS, TILE, VISITORS, Table

_LINK_COLUMNS = ("root", "foreign_id", "foreign_tile")


@dataclass(frozen=True)
class Clustered:
    """The clustered rows of a tile: their places in the tile's tables, ids, coordinates and classes."""

    rows: np.ndarray
    loc_id: np.ndarray
    points_nm: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class ReachedTile:
    """What of another tile lies within reach of some clustered rows of this one.

    tile : the other tile
    who : places, among the clustered rows, of those that reach it
    loc_id : ids of its rows by row of the index
    """

    tile: int
    who: np.ndarray
    index: LabelledIndex
    loc_id: np.ndarray


def clustered_rows(work: Work, unit: int) -> Clustered:
    tile, labels = work.get(TILE, unit), work.get(LABELS, unit)["label"].to_numpy()
    rows = np.flatnonzero(labels != NON_CLUSTERED)
    return Clustered(rows, tile["loc_id"].to_numpy()[rows], coordinates(tile)[rows], labels[rows])


def reached_tiles(
    work: Work, tiles: Partition, unit: int, own: Clustered, radius_nm: np.ndarray
) -> Iterator[ReachedTile]:
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
        table, labels = work.get(TILE, int(other)), work.get(LABELS, int(other))
        lower = (plane[who] - radius_nm[who, None]).min(axis=0)
        upper = (plane[who] + radius_nm[who, None]).max(axis=0)
        points = xy(table)
        inside = np.flatnonzero(np.all((points >= lower) & (points <= upper), axis=1))
        index = LabelledIndex.build(coordinates(table)[inside], labels["label"].to_numpy()[inside])
        yield ReachedTile(int(other), who, index, table["loc_id"].to_numpy()[inside])


def spread(tile: pa.Table, own: Clustered, roots: np.ndarray) -> np.ndarray:
    """The root of each row of a tile; a non-clustered row is its own."""
    root = tile["loc_id"].to_numpy().copy()
    root[own.rows] = roots
    return root


def join(
    work: Work,
    unit: int,
    table: Table,
    own: Clustered,
    radius_nm: np.ndarray,
    everything: LabelledIndex,
    beyond: list[ReachedTile],
) -> np.ndarray:
    """Local roots of the clustered rows, (m,) uint64; the distinct links to other tiles are stored as `table`."""
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
    work.put(table, unit, pa.table({column: np.concatenate(ends) for column, ends in links.items()}))
    return roots


def components(work: Work, n_tiles: int, links: Table, rows: Table) -> tuple[np.ndarray, np.ndarray]:
    """Roots that links of other tiles touch, ascending, and the smallest root of each one's component."""
    tables = [work.get(links, tile) for tile in range(n_tiles)]
    first = np.concatenate([t["root"].to_numpy() for t in tables])
    foreign = np.concatenate([t["foreign_id"].to_numpy() for t in tables])
    where = np.concatenate([t["foreign_tile"].to_numpy() for t in tables])
    second = np.empty_like(foreign)
    for tile in np.unique(where):
        asked = where == tile
        table = work.get(rows, int(tile), ["loc_id", "root"])
        ids = table["loc_id"].to_numpy()
        order = np.argsort(ids)
        (second[asked],) = lookup(ids[order], [table["root"].to_numpy()[order]], foreign[asked], f"{rows.name} {tile}")
    return merge(first, second)


def component_of(ids: np.ndarray, smallest: np.ndarray, roots: np.ndarray) -> np.ndarray:
    """The component of each root: what the links made of it, or itself."""
    if not len(ids):
        return roots
    place = np.minimum(np.searchsorted(ids, roots), len(ids) - 1)
    return np.where(ids[place] == roots, smallest[place], roots)


def put_sums(work: Work, unit: int, nearest_nm: np.ndarray, roots: np.ndarray) -> None:
    """Keep count and exact sum of the nearest-neighbor distances of each local root's members, (m,) each."""
    order = np.argsort(roots, kind="stable")
    ids, first = np.unique(roots[order], return_index=True)
    starts = np.append(first, len(roots))
    values, offsets = exact_sums(nearest_nm[order], starts)
    sums = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values))
    work.put(ROOTS, unit, pa.table({"root": ids, "count": np.diff(starts), "sum_nearest_nm": sums}))


def b_of_components(roots: pa.Table, group: np.ndarray, components: int) -> np.ndarray:
    """b = 1.2 x the mean nearest-neighbor distance of each component's members, (components,) float64.

    roots : the rows of ROOTS of all tiles
    group : (roots,) int64, component of each
    """
    count = np.bincount(group, weights=roots["count"].to_numpy(), minlength=components)
    sums = roots["sum_nearest_nm"].combine_chunks()
    values, owner = sums.flatten().to_numpy(), group[sums.value_parent_indices().to_numpy()]
    order = np.argsort(owner, kind="stable")
    starts = np.searchsorted(owner[order], np.arange(components + 1))
    ordered = values[order].tolist()
    total = np.array([math.fsum(ordered[a:b]) for a, b in itertools.pairwise(starts)])
    return np.asarray(OUTLINE_FACTOR * (total / np.maximum(count, 1)))


def put_numbers(work: Work, tables: list[pa.Table], ids: np.ndarray, group: np.ndarray, b_nm: np.ndarray) -> int:
    """Give every piece of a cluster its cluster_id, the smallest loc_id of its members, or -1 where it has too few.

    tables : root and count of the pieces of each tile
    ids, group : the distinct components, and which of them each piece of all tiles is of
    b_nm : of each piece

    Returns
    -------
    how many clusters there are
    """
    tile_of_row = np.repeat(np.arange(len(tables)), [len(t) for t in tables])
    whole = pa.concat_tables([t.select(["root", "count"]) for t in tables])
    roots, component = whole["root"].to_numpy(), ids[group]
    count = np.bincount(group, weights=whole["count"].to_numpy(), minlength=len(ids))
    kept = count >= cast(int, work.settings.min_points)
    cluster = np.where(kept[group], component.astype(np.int64), NO_CLUSTER)
    home = np.zeros(len(ids), dtype=np.int64)
    at_home = roots == component
    home[group[at_home]] = tile_of_row[at_home]
    away = kept[group] & (home[group] != tile_of_row)
    visits = np.unique(np.column_stack([home[group[away]], tile_of_row[away]]), axis=0)
    columns = {"root": roots, "cluster_id": cluster, "b_nm": b_nm}
    starts = np.searchsorted(tile_of_row, np.arange(len(tables) + 1))
    for tile in range(len(tables)):
        here = slice(starts[tile], starts[tile + 1])
        work.put(NUMBERS, tile, pa.table({name: column[here] for name, column in columns.items()}))
        work.put(VISITORS, tile, pa.table({"tile": visits[visits[:, 0] == tile, 1]}))
    return int(kept.sum())
