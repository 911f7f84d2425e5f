"""What rounds of messages share: regions with their context, and what stands for the localizations around a tile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
import pyarrow as pa

from caml_dask.networks.field.architecture import CONTEXT, SHARED
from caml_dask.networks.field.graph import CHANNELS, EDGE_INPUTS, ROUNDS, WIDTH, edges_of
from caml_dask.networks.field.messages import Edges
from caml_dask.networks.field.network import Layers
from caml_dask.networks.field.ranks import EDGE_RANKS, NEIGHBORS
from caml_dask.networks.field.region import BINS, SERIES, region_inputs
from caml_dask.networks.field.trained import TrainedFieldNetwork
from caml_dask.stages.field.tables import CONTEXTS, EDGES, HALO, NEIGHBORHOODS, SHARES, STATES, SURVEY
from caml_dask.stages.shared.matrices import lists, matrix
from caml_dask.stages.shared.work import Work, xy
from caml_dask.stages.tables import TILE, Table


@dataclass(frozen=True)
class Context:
    """The regions that localizations of a tile lie in.

    regions : (r,) int64, ascending
    n : (r,) int64, localizations of each
    unit_nm : (r,) float64, its unit of length
    values : (r, c) float32, what is known of it
    """

    regions: np.ndarray
    n: np.ndarray
    unit_nm: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class View:
    """A tile as the stages of the field network see it."""

    work: Work
    unit: int

    @property
    def layers(self) -> Layers:
        """The network's."""
        return cast(TrainedFieldNetwork, self.work.network).layers

    @cached_property
    def tile(self) -> pa.Table:
        return self.work.get(TILE, self.unit)

    @cached_property
    def region(self) -> np.ndarray:
        """(n,) int64, region of each localization."""
        return self.work.regions().tile_of(xy(self.tile))

    @cached_property
    def k(self) -> int:
        """Neighbors that each localization has."""
        return min(NEIGHBORS, int(self.work.facts()["finite"]) - 1)

    def around(self, table: Table, columns: Sequence[str]) -> pa.Table:
        """Rows of a table for the tile's own localizations, then for those of its halo."""
        halo = self.work.get(HALO, self.unit)
        tiles, rows = halo["tile"].to_numpy(), halo["row"].to_numpy()
        parts = [self.work.get(table, self.unit, columns)]
        others = np.unique(tiles)  # the halo is in their order
        parts += [self.work.get_rows(table, int(other), rows[tiles == other], columns) for other in others]
        return pa.concat_tables(parts)

    def edges(self) -> Edges:
        """Edges from the tile's localizations to those and the halo's."""
        axes = self.work.dimensions()
        found = self.work.get(NEIGHBORHOODS, self.unit, ["neighbors", "directions"])
        neighbors, present = edges_of(matrix(found, "neighbors", len(EDGE_RANKS)), self.k)
        inputs = matrix(self.work.get(EDGES, self.unit), "inputs", len(EDGE_RANKS), EDGE_INPUTS)
        return Edges(neighbors, present, inputs, matrix(found, "directions", len(EDGE_RANKS), axes))

    def state(self, r: int) -> tuple[np.ndarray, np.ndarray]:
        """h and vectors before a round, of the tile's localizations and those of its halo."""
        found = self.around(STATES[r], ["h", "vectors"])
        return matrix(found, "h", WIDTH), matrix(found, "vectors", CHANNELS, self.work.dimensions())

    def put_state(self, r: int, h: np.ndarray, vectors: np.ndarray) -> None:
        """Keep what stands for the tile's localizations before a round."""
        self.work.put(STATES[r], self.unit, pa.table({"h": lists(h), "vectors": lists(vectors)}))

    def put_shares(self, r: int, steps: np.ndarray) -> None:
        """Keep what the tile's localizations tell their regions after a round."""
        regions, at = np.unique(self.region, return_inverse=True)
        sums = np.zeros((len(regions), SHARED), np.int64)
        np.add.at(sums, at, steps)
        self.work.put(SHARES[r], self.unit, pa.table({"region": regions, "steps": lists(sums)}))

    def first_context(self) -> tuple[Context, np.ndarray]:
        """Context of the tile's regions and their traits, (r, TRAITS), from what all tiles that share them counted."""
        regions = np.unique(self.region)
        counts = np.zeros((len(regions), SERIES, BINS), np.int64)
        for table in self._of_tiles_that_share(SURVEY, regions):
            at = np.searchsorted(regions, table["region"].to_numpy())
            series, place = table["series"].to_numpy(), table["bin"].to_numpy()
            np.add.at(counts, (at, series, place), table["count"].to_numpy())
        n = counts[:, 0].sum(axis=1)
        known = [region_inputs(histogram, int(m)) for histogram, m in zip(counts, n, strict=True)]
        unit_nm = np.array([unit for _, unit in known])
        values, traits = self.layers.regions(np.array([values for values, _ in known], np.float32))
        return self._kept(0, Context(regions, n, unit_nm, values)), traits

    def context(self, r: int) -> Context:
        """Context of the tile's regions in a round; at the end, with what was shared after the last one."""
        before = self.work.get(CONTEXTS[max(r - 1, 0)], self.unit)
        regions, n, unit_nm = (before[name].to_numpy() for name in ("region", "n", "unit_nm"))
        values = matrix(before, "context", CONTEXT)
        if r == 0:
            return Context(regions, n, unit_nm, values)
        steps = np.zeros((len(regions), SHARED), np.int64)
        for table in self._of_tiles_that_share(SHARES[r - 1], regions):
            np.add.at(steps, np.searchsorted(regions, table["region"].to_numpy()), matrix(table, "steps", SHARED))
        found = Context(regions, n, unit_nm, self.layers.context_after(r - 1, values, steps, n))
        return self._kept(r, found) if r < ROUNDS else found

    def _kept(self, r: int, context: Context) -> Context:
        columns = {"region": context.regions, "n": context.n, "unit_nm": context.unit_nm}
        self.work.put(CONTEXTS[r], self.unit, pa.table({**columns, "context": lists(context.values)}))
        return context

    def _of_tiles_that_share(self, table: Table, regions: np.ndarray) -> list[pa.Table]:
        """Rows of a table on some regions, from all tiles that they meet."""
        tiles, boxes = self.work.partition(), self.work.regions()
        sharing = [tiles.overlapping(boxes.lower_nm[r], boxes.upper_nm[r]) for r in regions]
        found = []
        for tile in np.unique(np.concatenate([np.zeros(0, np.int64), *sharing])):
            rows = self.work.get(table, int(tile))
            found.append(rows.filter(pa.array(np.isin(rows["region"].to_numpy(), regions))))
        return found
