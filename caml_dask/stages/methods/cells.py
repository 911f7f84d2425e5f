"""Stage `cells`: the Voronoi cells of a tile's sites, the same to the bit on any tiling.

Most cells need what lies in the tile and its halo. What the others ask, of places at voids and at the edge of a sample,
is answered by the other tiles one after another, nearest first, so that memory holds a few of them at a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from caml_dask.spatial.blocks import BlockIndex
from caml_dask.spatial.voronoi import NOBODY, Answers, Cells, Known, nearest_sites, voronoi_cells
from caml_dask.stages.methods.settle import settled
from caml_dask.stages.methods.tables import CELLS, SETTLED, SIDES, SITES
from caml_dask.stages.shared.surroundings import halo
from caml_dask.stages.shared.work import Work, xy
from caml_dask.stages.stage import UNCOMPARED, Stage
from caml_dask.stages.tables import BOXES, CUTS, FACTS

_HALO_SPACINGS = 8.0  # width of the halo, in mean spacings of the tile's sites
_LEAST_HALO = 1_000  # sites that a halo may always hold
_ROUNDING = 1e-9
_KEPT = 16  # indexes of other tiles that stay in memory while they are asked


@dataclass(frozen=True, eq=False)
class _Sites:
    """Sites with their ids and the tiles that own them, by row."""

    points_nm: np.ndarray
    loc_id: np.ndarray
    tile: np.ndarray
    index: BlockIndex

    @classmethod
    def of(cls, table: pa.Table, tile: np.ndarray) -> _Sites:
        points_nm = xy(table)
        return cls(points_nm, table["loc_id"].to_numpy(), tile, BlockIndex.build(points_nm))


class _Others:
    """The sites of other tiles, asked for the nearest to some places; what they answered has a number."""

    def __init__(self, work: Work, unit: int):
        self._work, self._unit, self._tiles = work, unit, work.partition()
        self._kept: dict[int, _Sites] = {}
        self.loc_id, self.tile = np.zeros(0, np.uint64), np.zeros(0, np.int64)

    def answer(self, here: _Sites, found: Cells) -> tuple[np.ndarray, np.ndarray]:
        """Number and place of the site that answers the question of each cell that asks one.

        here : the sites at hand
        """
        asking = found.asking
        places, bound, row = found.question_nm[asking], found.bound_nm2[asking], found.nearest[asking]
        known = row != NOBODY
        best, loc_id, owner = np.full(places.shape, np.inf), np.zeros(len(row), np.uint64), np.zeros(len(row), np.int64)
        best[known], loc_id[known] = here.points_nm[row[known]], here.loc_id[row[known]]
        owner[known] = here.tile[row[known]]
        apart = np.array([self._tiles.distance_nm(tile, places) for tile in range(self._tiles.n_tiles)])
        for tile in np.argsort(apart.min(axis=1), kind="stable"):
            near = np.flatnonzero(apart[tile] * (1 - _ROUNDING) <= np.sqrt(bound))
            if tile == self._unit or not len(near):
                continue
            there = self._sites(int(tile))
            at, square = nearest_sites(there.index, places[near], bound[near])
            place, held = there.points_nm[at], best[near]
            lower = (place[:, 0] < held[:, 0]) | ((place[:, 0] == held[:, 0]) & (place[:, 1] < held[:, 1]))
            better = (at != NOBODY) & ((square < bound[near]) | lower)
            taken, at = near[better], at[better]
            best[taken], bound[taken], known[taken] = place[better], square[better], True
            loc_id[taken], owner[taken] = there.loc_id[at], tile
        number = np.full(len(row), NOBODY)
        number[known] = len(self.loc_id) + np.arange(np.count_nonzero(known))
        self.loc_id = np.concatenate([self.loc_id, loc_id[known]])
        self.tile = np.concatenate([self.tile, owner[known]])
        return number, np.where(known[:, None], best, 0.0)

    def _sites(self, tile: int) -> _Sites:
        if tile not in self._kept:
            while len(self._kept) >= _KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[tile] = _Sites.of(self._work.get(SITES, tile), np.zeros(0, np.int64))
        return self._kept[tile]


def cells(work: Work, unit: int) -> dict[str, Any]:
    """Keep the areas and sides of the cells of a tile's sites."""
    own = len(work.get(SITES, unit))
    area, rounds = np.full(own, np.nan), 0
    sides: list[tuple[np.ndarray, ...]] = [(np.zeros(0, np.int64), np.zeros(0, np.uint64), np.zeros(0, np.int64))]
    if own:
        here, known = _at_hand(work, unit)
        others, asked, answers = _Others(work, unit), np.arange(own), Answers.none(own)
    while np.isnan(area).any():
        found = voronoi_cells(known, asked, answers)
        area[asked] = found.area_nm2
        sides.append(_named(found, asked, here, others))
        if found.asking.any():
            answers = _more(answers, found.asking, *others.answer(here, found))
            asked, rounds = asked[found.asking], rounds + 1
    site, other_id, other_tile = (np.concatenate(column) for column in zip(*sides, strict=True))
    order = np.argsort(site, kind="stable")
    columns = {"site": site[order], "other_id": other_id[order], "other_tile": other_tile[order]}
    work.put(CELLS, unit, pa.table({"area_nm2": area}))
    work.put(SIDES, unit, pa.table(columns))
    return {"cells": own, "rounds": rounds}


def _at_hand(work: Work, unit: int) -> tuple[_Sites, Known]:
    """The sites of a tile and of its halo, the own ones first."""
    own, tiles, start = work.get(SITES, unit), work.partition(), settled(work)["spacing_nm"]
    spacing = math.sqrt(float(np.ptp(xy(own), axis=0).prod()) / len(own)) or start
    around = halo(work, tiles, unit, _HALO_SPACINGS * spacing, max(len(own), _LEAST_HALO), SITES)
    owner = np.concatenate([np.full(len(own), unit), tiles.tile_of(xy(around.rows))])
    here = _Sites.of(pa.concat_tables([own, around.rows]), owner)
    window = np.concatenate([around.lower_nm, around.upper_nm])
    if tiles.n_tiles == 1:
        window = np.array([-np.inf, -np.inf, np.inf, np.inf])
    return here, Known(here.index, window, np.array(work.facts()["bounds_nm"]), start)


def _named(found: Cells, asked: np.ndarray, here: _Sites, others: _Others) -> tuple[np.ndarray, ...]:
    """The sides of cells: site, and loc_id and tile of the neighbor."""
    row, number = np.maximum(found.neighbor, 0), np.maximum(-2 - found.neighbor, 0)
    loc_id, tile = here.loc_id[row], here.tile[row]
    elsewhere = found.neighbor < NOBODY
    loc_id[elsewhere] = others.loc_id[number[elsewhere]]
    tile[elsewhere] = others.tile[number[elsewhere]]
    return asked[found.side_of], loc_id, tile


def _more(answers: Answers, asking: np.ndarray, site: np.ndarray, xy_nm: np.ndarray) -> Answers:
    """The answers of the cells that still ask, each with one more at its end."""
    count = np.diff(answers.first)
    kept = np.repeat(asking, count)
    of = np.concatenate([np.repeat(np.arange(len(site)), count[asking]), np.arange(len(site))])
    order = np.argsort(of, kind="stable")
    first = np.concatenate([[0], np.cumsum(count[asking] + 1)])
    both = np.concatenate([answers.site[kept], site]), np.vstack([answers.xy_nm[kept], xy_nm])
    return Answers(first, both[0][order], both[1][order])


STAGE = Stage(
    name="cells",
    title="finding Voronoi cells",
    per="tile",
    run=cells,
    effort=25,
    conserves=UNCOMPARED,
    reads=(SETTLED, FACTS, BOXES, CUTS, SITES),
    writes=(CELLS, SIDES),
)
