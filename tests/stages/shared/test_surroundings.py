"""Rows of other tiles that may lie within a radius: none is missing, whatever rounding does at the side of a tile."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from caml_dask.io.manifest import Image
from caml_dask.io.store import MemoryStore
from caml_dask.methods import DBSCAN
from caml_dask.settings import Settings
from caml_dask.spatial.partition import Partition
from caml_dask.stages.shared.surroundings import rows_around
from caml_dask.stages.shared.work import Work
from caml_dask.stages.tables import BOXES, CUTS, TILE


def split_at(x_nm: float, below_nm: np.ndarray) -> Work:
    """Two tiles, cut at an x, of which the lower one has localizations at some x; the upper one has none."""
    sides = np.array([[-np.inf, -np.inf], [x_nm, -np.inf]]), np.array([[x_nm, np.inf], [np.inf, np.inf]])
    method = DBSCAN(30)
    work = Work(Image("split"), Settings(method=method), method, MemoryStore())
    tree = np.array([0]), np.array([x_nm]), np.array([~0]), np.array([~1])
    work.put_partition(BOXES, CUTS, Partition(*sides, *tree))
    for tile, x in enumerate((below_nm, np.zeros(0))):
        work.put(
            TILE, tile, pa.table({"loc_id": np.arange(len(x), dtype=np.uint64), "x_nm": x, "y_nm": np.zeros(len(x))})
        )
    return work


@pytest.mark.parametrize("place", [0.0, 1.0, 1e4, 1e8])
def test_what_is_within_the_radius_of_a_tile_is_found(place):
    """Of a localization on the tile's side, whose distances are rounded, as they are in tables with one decimal."""
    rng = np.random.default_rng(0)
    for side, radius in zip(place + rng.integers(0, 1000, 40) / 10, rng.integers(1, 500, 40) / 10, strict=True):
        at = side - radius
        x = np.concatenate([at + np.arange(-4, 5) * np.spacing(at), [at - 0.01 * radius, at + 0.5 * radius]])
        within = np.flatnonzero((side - x) ** 2 <= radius**2)
        found = [(tile, rows["loc_id"].to_pylist()) for tile, rows in rows_around(split_at(side, x), TILE, 1, radius)]
        assert len(within) > 1
        assert [tile for tile, _ in found] == [0]
        assert set(within.tolist()) <= set(found[0][1])
        assert 9 not in found[0][1], "a halo is no wider than it must be"


def test_no_tile_is_named_that_has_nothing_near():
    assert list(rows_around(split_at(100.0, np.array([10.0, 20.0])), TILE, 1, 30.0)) == []
