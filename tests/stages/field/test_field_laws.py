"""The laws (DESIGN section 4) of the stages of the field network, over layouts that are hard on tilings."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import KINDS, draw_layout, layouts
from support import Result

from caml_dask.executors.in_memory import analyse
from caml_dask.io.manifest import Image
from caml_dask.io.readers.in_memory import as_localizations
from caml_dask.io.store import MemoryStore
from caml_dask.networks import load
from caml_dask.networks.field.clusters import find_clusters
from caml_dask.networks.field.trained import TrainedFieldNetwork
from caml_dask.schema import CLUSTERED, FIBER
from caml_dask.settings import ColumnMap, Settings
from caml_dask.simulate.unknown import draw_field
from caml_dask.stages.field import regions
from caml_dask.stages.shared.measured import MeasuredClusters
from caml_dask.stages.shared.work import Work

FIELD = load("field-2d")
FIBERS = load("field-2d-fibers")
WHOLE = 10**6


@pytest.fixture(autouse=True)
def _small_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regions so small that a field of hundreds has several."""
    monkeypatch.setattr(regions, "REGION_LOCALIZATIONS", 150)


def analysis(
    xy: np.ndarray, tile: int, uncertainty: np.ndarray | None = None, network: TrainedFieldNetwork = FIELD
) -> Result:
    """All stages of the field network over tiles of at most `tile` localizations."""
    if uncertainty is None:
        table = pa.table({"x_nm": xy[:, 0], "y_nm": xy[:, 1]})
    else:
        table = pa.table({"x_nm": xy[:, 0], "y_nm": xy[:, 1], "uncertainty_nm": uncertainty})
    chosen = Settings(network=network.name, max_localizations=tile, any_extent=True, test=False)
    work = Work(Image("test"), chosen, network, MemoryStore(), ("uncertainty_nm",))
    analyse(work, [as_localizations(table, ColumnMap())], {})
    clusters = pa.concat_tables(MeasuredClusters(work).tables()).combine_chunks()
    return Result(work.store.get("points", 0), clusters, work)


def assert_same(one: Result, many: Result) -> None:
    assert many.points.equals(one.points)
    assert many.clusters.equals(one.clusters)
    for name in ("tile", "neighborhoods", "labels", "votes", "pieces", "membership"):
        tiles = range(many.work.partition().n_tiles)
        ids = np.concatenate([many.work.store.get(name, tile)["loc_id"].to_numpy() for tile in tiles])
        assert np.array_equal(np.sort(ids), np.arange(len(one.points))), name


@settings(max_examples=10)
@given(layouts(least=40, most=90), st.sampled_from([9, 16, 40]), st.booleans())
def test_tiling_changes_nothing(xy, tile, precision):
    """Laws 1 and 2, with regions of their own and with and without the precision of each localization."""
    uncertainty = np.random.default_rng(len(xy)).choice([0.0, 3.0, 20.0], len(xy)) if precision else None
    assert_same(analysis(xy, WHOLE, uncertainty), analysis(xy, tile, uncertainty))


@settings(max_examples=3)
@given(layouts(least=40, most=90), st.sampled_from([9, 40]))
def test_tiling_changes_nothing_of_three_classes(xy, tile):
    assert_same(analysis(xy, WHOLE, network=FIBERS), analysis(xy, tile, network=FIBERS))


def test_fibers_are_told_apart_and_nothing_else_changes(monkeypatch):
    """A straight line and round clusters among others: which localizations are clustered is what `field-2d` says.

    What is a fiber shows in a region that is as large as those that ship.
    """
    rng = np.random.default_rng(8)
    line = np.column_stack([np.linspace(500, 3_500, 400), np.full(400, 2_000.0)]) + rng.normal(0, 12, (400, 2))
    centers = np.array([[1_000, 800], [3_000, 800], [2_000, 3_300]])
    blobs = (centers + rng.normal(0, 25, (60, 3, 2))).reshape(-1, 2)
    xy = np.vstack([line, blobs, rng.uniform(0, 4_000, (300, 2))])
    two, three = analysis(xy, 200).points, analysis(xy, 200, network=FIBERS).points
    assert np.array_equal(three["label"].to_numpy() > 0, two["label"].to_numpy() > 0)
    assert np.array_equal(1 - two["p_clustered"].to_numpy(), three["p_non"].to_numpy())
    monkeypatch.undo()
    label = analysis(xy, 200, network=FIBERS).points["label"].to_numpy()
    assert (label[:400] == FIBER).mean() > 0.9
    assert (label[400:580] == CLUSTERED).mean() > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_large_layouts_of_several_regions(kind):
    xy = draw_layout(kind, 700, np.random.default_rng(3))
    one, many = analysis(xy, WHOLE), analysis(xy, 130)
    assert kind == "two_places" or one.work.regions().n_tiles > 3
    assert many.work.partition().n_tiles > 3 or kind == "two_places"
    assert_same(one, many)


@pytest.mark.parametrize("kind", ["scattered", "duplicates", "grid", "two_places"])
def test_the_order_of_rows_changes_nothing_but_ids(kind):
    xy = draw_layout(kind, 300, np.random.default_rng(4))
    uncertainty = np.random.default_rng(5).gamma(4.0, 3.0, len(xy))
    order = np.random.default_rng(6).permutation(len(xy))
    one, moved = analysis(xy, WHOLE, uncertainty), analysis(xy[order], 90, uncertainty[order])
    assert np.array_equal(one.points["p_clustered"].to_numpy()[order], moved.points["p_clustered"].to_numpy())
    pairs = set(zip(one.cluster_id[order].tolist(), moved.cluster_id.tolist(), strict=True))
    assert len(pairs) == len(set(one.cluster_id.tolist())) == len(set(moved.cluster_id.tolist()))


def test_a_field_of_one_region_has_the_clusters_that_are_found_without_tiles(monkeypatch):
    monkeypatch.setattr(regions, "REGION_LOCALIZATIONS", 8_000)
    drawn = draw_field(np.random.default_rng(2), blinking=0.0, least=1_000, most=1_500)
    found, result = find_clusters(drawn.points_nm), analysis(drawn.points_nm, 200)
    assert np.array_equal(result.points["p_clustered"].to_numpy(), found.p_clustered)
    assert np.array_equal(result.cluster_id >= 0, found.cluster_id >= 0)
    pairs = set(zip(result.cluster_id.tolist(), found.cluster_id.tolist(), strict=True))
    assert len(pairs) == len(set(found.cluster_id.tolist())) > 3


def test_localizations_far_from_all_others_are_compared_with_them_too():
    xy = np.vstack([np.random.default_rng(1).uniform(0, 4_000, (900, 2)), [[1e6, 1e6], [2e6, -1e6], [-3e6, 2e5]]])
    assert_same(analysis(xy, WHOLE), analysis(xy, 60))


def test_clusters_cross_tiles():
    rng = np.random.default_rng(7)
    blobs = (rng.uniform(0, 3_000, (12, 1, 2)) + rng.normal(0, 25, (12, 60, 2))).reshape(-1, 2)
    result = analysis(np.vstack([blobs, rng.uniform(0, 3_000, (250, 2))]), 60)
    tile_of = result.work.partition().tile_of(np.column_stack([result.points["x_nm"], result.points["y_nm"]]))
    crossing = [c for c in set(result.cluster_id.tolist()) if c >= 0 and len(set(tile_of[result.cluster_id == c])) > 1]
    assert len(crossing) > 3
