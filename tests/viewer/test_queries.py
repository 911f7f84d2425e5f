"""What a view asks for, against brute force on the points: any image, any view, any zoom."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from exported import hand_drawn
from hypothesis import given
from hypothesis import settings as tried
from hypothesis import strategies as st
from viewed import analyzed, drawn_image, unpacked

from caml_dask.errors import StoreError, UsageError
from caml_dask.io.exporters.exporter import Options
from caml_dask.io.exporters.write import export
from caml_dask.schema import NO_CLUSTER
from caml_dask.viewer import prepare as preparing
from caml_dask.viewer.clusters import LEAST_PX, Clusters, Range
from caml_dask.viewer.held import grid_of
from caml_dask.viewer.packs import points_pack, tile_pack
from caml_dask.viewer.points import Points
from caml_dask.viewer.prepare import CLUSTERS, POINTS, PYRAMID_NAME, prepare
from caml_dask.viewer.pyramid import BRIGHTEST, TILE_PX, Pyramid

MANY = 10**9


@pytest.fixture(scope="module", autouse=True)
def small_groups():
    """Row groups and buckets so small that little images have many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparing, "GROUP_ROWS", 60)
        patch.setattr(preparing, "_BUCKET_GROUPS", 3)
        yield


@pytest.fixture(scope="module")
def shown(small_groups, tmp_path_factory):
    """An image, and where it was prepared."""
    image, folder = drawn_image(1, 3000, 40), tmp_path_factory.mktemp("shown") / "image"
    shares = []
    prepare(image, None, folder, shares.append)
    assert shares == sorted(shares) and shares[-1] > 0.4
    return image, folder


BOXES = st.tuples(*[st.floats(-4000, 10000)] * 2, st.floats(0, 14000), st.floats(0, 14000)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@tried(max_examples=60)
@given(BOXES)
def test_points_of_a_view_are_those_that_lie_in_it(shown, box):
    image, folder = shown
    all_of, found = analyzed(image), Points(folder / POINTS).inside(box, MANY)
    x, y = all_of["x_nm"], all_of["y_nm"]
    wanted = np.flatnonzero((x >= box[0]) & (x <= box[2]) & (y >= box[1]) & (y <= box[3]))
    order = np.argsort(found.columns["loc_id"])
    assert found.total == len(wanted) == len(order)
    for name in ("loc_id", "x_nm", "y_nm", "z_nm"):
        assert np.array_equal(found.columns[name][order], all_of[name][wanted])
    assert np.array_equal(found.columns["score"][order], all_of["p_clustered"][wanted])
    ids = image.clusters()["cluster_id"].to_numpy()
    of = found.columns["cluster"][order]
    assert np.array_equal(np.where(of < 0, NO_CLUSTER, ids[of]), all_of["cluster_id"][wanted])
    assert np.array_equal(found.columns["channel"][order], (all_of["cluster_id"][wanted] >= 0).astype(int))


@tried(max_examples=40)
@given(BOXES, st.integers(0, 3000))
def test_of_too_many_points_none_is_given_and_no_more_counted_than_there_are(shown, box, most):
    _, folder = shown
    true = Points(folder / POINTS).inside(box, MANY).total
    found = Points(folder / POINTS).inside(box, most)
    assert (found.total == true and found.columns) if true <= most else (most < found.total <= true)
    assert (found.columns == {}) == (true > most)


def test_a_view_reads_few_row_groups(shown, monkeypatch):
    image, folder = shown
    points, read, real = Points(folder / POINTS), [], pq.ParquetFile.read_row_groups
    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", lambda f, g, **k: read.append(len(g)) or real(f, g, **k))
    groups = pq.read_metadata(folder / POINTS).num_row_groups
    place = analyzed(image)["x_nm"][-1], analyzed(image)["y_nm"][-1]
    points.inside((place[0] - 100, place[1] - 100, place[0] + 100, place[1] + 100), MANY)
    assert groups > 40 and 1 <= read[0] <= 6


def test_what_is_prepared_does_not_depend_on_batches(shown, tmp_path):
    _, folder = shown
    prepare(drawn_image(1, 3000, 40, rows=1000), None, tmp_path / "again", lambda _: None)
    assert pq.read_table(folder / POINTS).equals(pq.read_table(tmp_path / "again" / POINTS))
    assert not list(tmp_path.rglob("*unsorted*"))


@pytest.mark.parametrize("level", [0, 1, 2])
def test_tiles_count_the_points_in_each_pixel(shown, level):
    image, folder = shown
    pyramid, all_of = Pyramid(folder / PYRAMID_NAME), analyzed(image)
    assert len(pyramid.shapes) > level and pyramid.shapes[0][0] > TILE_PX
    side, (x0, y0) = pyramid.pixel_nm * 2**level, pyramid.origin_nm
    column, row = (np.floor((all_of[n] - first) / side).astype(int) for n, first in (("x_nm", x0), ("y_nm", y0)))
    channel = (all_of["cluster_id"] >= 0).astype(int)
    rows, columns = (-(-length // TILE_PX) for length in pyramid.shapes[level])
    wanted = np.zeros((2, rows * TILE_PX, columns * TILE_PX), int)
    np.add.at(wanted, (channel, row, column), 1)
    seen = 0
    for r, c in np.ndindex(rows, columns):
        counts = unpacked(tile_pack(pyramid, level, r, c)).get("counts", np.zeros((2, TILE_PX, TILE_PX)))
        assert np.array_equal(counts, wanted[:, r * TILE_PX : (r + 1) * TILE_PX, c * TILE_PX : (c + 1) * TILE_PX])
        seen += int(counts.sum())
    assert seen == image.localizations == pyramid.localizations()


def test_beyond_the_pyramid_is_nothing(shown):
    pyramid = Pyramid(shown[1] / PYRAMID_NAME)
    last = len(pyramid.shapes) - 1
    for place in ((last + 1, 0, 0), (-1, 0, 0), (0, -1, 0), (0, 0, 10**6), (0, 10**12, 0), (last, 1, 0)):
        assert pyramid.tile(*place) is None


def test_brightest_is_a_quantile_of_the_pixels_that_are_not_empty(shown):
    pyramid = Pyramid(shown[1] / PYRAMID_NAME)
    brightest = pyramid.brightest(0.9)
    assert len(brightest) == len(pyramid.shapes)
    for level in range(len(pyramid.shapes)):
        tiles = [pyramid.tile(level, r, c) for r, c in np.ndindex(*(-(-s // TILE_PX) for s in pyramid.shapes[level]))]
        for channel, found in enumerate(brightest[level]):
            counts = np.concatenate([t[channel][t[channel] > 0] for t in tiles if t is not None])
            assert (counts <= found).mean() >= 0.9 > (counts < found).mean()


def test_a_page_counts_on_the_pixels_of_the_pyramid(shown):
    image, folder = shown
    pyramid = Pyramid(folder / PYRAMID_NAME)
    points = Points(folder / POINTS).inside((-1e9, -1e9, 1e9, 1e9), MANY).columns
    grid = grid_of(image, np.column_stack([points["x_nm"], points["y_nm"]]), points["channel"])
    assert (grid.channels, grid.pixel_nm, grid.shapes) == (pyramid.channels, pyramid.pixel_nm, pyramid.shapes)
    assert grid.origin_nm == pytest.approx(pyramid.origin_nm)
    assert grid.brightest == pyramid.brightest(BRIGHTEST) and max(map(max, grid.brightest)) > 1


def test_empty_blocks_are_not_looked_at(tmp_path, monkeypatch):
    """Two localizations 10 mm apart: a million blocks of the finest level are empty."""
    columns = {"x_nm": [0.0, 1e7], "y_nm": [0.0, 1e7], "label": pa.array([1, 1], pa.int8()), "cluster_id": [-1, 0]}
    table = pa.table(columns)
    image = hand_drawn(schema=table.schema, bounds_nm=(0.0, 0.0, 1e7, 1e7), points=lambda _: iter(table.to_batches()))
    (path,) = export([image], "ome-zarr", tmp_path, Options(), overwrite=False)
    pyramid, read, real = Pyramid(path), [], Pyramid._read
    monkeypatch.setattr(Pyramid, "_read", lambda *of: read.append(of[1:]) or real(*of))
    assert pyramid.brightest(0.99) == [[1, 1]] * len(pyramid.shapes)
    assert len(read) <= 2 * len(pyramid.shapes) and (0, 976, 976) in read


@tried(max_examples=60)
@given(BOXES, st.floats(0.5, 200), st.floats(0, 50_000), st.booleans())
def test_outlines_of_a_view_are_those_that_meet_it(shown, box, px_nm, least_area, filtered):
    image, folder = shown
    clusters = Clusters(folder / CLUSTERS)
    ranges = [Range("area_nm2", least_area, np.inf)] if filtered else []
    total, found = clusters.outlines_inside(box, px_nm, ranges, MANY)
    (outlines,) = image.outlines()
    wanted = {}
    for row, shape in enumerate(shapely.from_wkb(outlines["geometry"].to_numpy(zero_copy_only=False))):
        if shape is None or (filtered and shape.area < least_area):
            continue
        x0, y0, x1, y1 = shape.bounds
        meets = x0 <= box[2] and x1 >= box[0] and y0 <= box[3] and y1 >= box[1]
        if meets and max(x1 - x0, y1 - y0) >= LEAST_PX * px_nm:
            wanted[row] = shape
    assert total == len(wanted) and {one["row"] for one in found} == set(wanted)
    for one in found:
        rings = [np.reshape(ring, (-1, 2)) * one["unit"] + one["at"] for part in one["parts"] for ring in part]
        assert shapely.hausdorff_distance(shapely.Polygon(rings[0]), wanted[one["row"]]) <= px_nm
    assert clusters.outlines_inside(box, px_nm, ranges, total - 1)[1] == [] or total == 0
    assert [clusters.outline(drawn["row"], px_nm) for drawn in found] == found, "one by one they are the same"


def test_holes_and_parts_of_outlines_are_kept(tmp_path):
    prepare(hand_drawn(), None, tmp_path / "hand", lambda _: None)
    clusters = Clusters(tmp_path / "hand" / CLUSTERS)
    total, (hollow, in_parts) = clusters.outlines_inside((0, 0, 100, 100), 0.01, [], 10)
    assert total == 2, "a cluster of duplicates spans no area"
    assert [len(part) for part in hollow["parts"]] == [2] and [len(part) for part in in_parts["parts"]] == [1, 1]
    assert clusters.row(0)["circularity"] == 0.5 and clusters.row(2)["circularity"] is None


def test_ranges_keep_what_lies_in_all_of_them_and_null_in_none(shown):
    clusters = Clusters(shown[1] / CLUSTERS)
    area, size = clusters.column("area_nm2"), clusters.column("n_localizations")
    assert np.array_equal(clusters.passing([]), np.ones(len(area), bool))
    kept = clusters.passing([Range("area_nm2", 100, 30_000), Range("n_localizations", 10, 80)])
    assert np.array_equal(kept, (area >= 100) & (area <= 30_000) & (size >= 10) & (size <= 80)) and kept.sum() > 0
    with pytest.raises(UsageError, match="no column 'image_id'"):
        clusters.column("image_id")


def test_places_are_given_to_a_hundredth_of_a_nm(shown):
    image, folder = shown
    box = image.bounds_nm
    found, all_of = unpacked(points_pack(Points(folder / POINTS), box, MANY)), analyzed(image)
    order = np.argsort(found["loc_id"])
    for axis, first in zip(("x_nm", "y_nm"), found["at"]):
        assert np.abs(found[axis].astype(float)[order] + first - all_of[axis]).max() < 0.01


@pytest.mark.parametrize("clusters", [0, 5])
def test_images_without_clusters_or_scores_are_prepared(clusters, tmp_path: Path):
    image = drawn_image(2, 200, clusters, scores=())
    prepare(image, None, tmp_path / "plain", lambda _: None)
    points = Points(tmp_path / "plain" / POINTS)
    assert "score" not in points.names and points.rows == image.localizations
    assert len(Clusters(tmp_path / "plain" / CLUSTERS)) == len(image.clusters())


def test_three_classes_are_three_channels(tmp_path):
    image = drawn_image(5, 600, 12, scores=("p_non", "p_round", "p_fiber"))
    prepare(image, None, tmp_path / "three", lambda _: None)
    found, all_of = Points(tmp_path / "three" / POINTS).inside(image.bounds_nm, MANY).columns, analyzed(image)
    order = np.argsort(found["loc_id"])
    assert np.array_equal(found["channel"][order], np.where(all_of["cluster_id"] < 0, 0, all_of["label"]))
    assert set(found["channel"]) == {0, 1, 2} and np.array_equal(found["score"][order], 1 - all_of["p_non"])
    pyramid = Pyramid(tmp_path / "three" / PYRAMID_NAME)
    tiles = [pyramid.tile(0, r, c) for r, c in np.ndindex(*(-(-side // TILE_PX) for side in pyramid.shapes[0]))]
    totals = sum(tile.sum(axis=(1, 2), dtype=int) for tile in tiles if tile is not None)
    assert pyramid.channels[1:] == ["round", "fiber"] and totals.tolist() == np.bincount(found["channel"]).tolist()


def test_points_of_clusters_that_there_are_not_are_refused(tmp_path):
    image = drawn_image(1, 300, 5)
    none = hand_drawn(points_table_of(image), clusters=lambda: image.clusters()[:0], outlines=lambda: iter(()))
    with pytest.raises(StoreError, match="clusters that there are not"):
        prepare(none, None, tmp_path / "torn", lambda _: None)


def points_table_of(image):
    import pyarrow as pa

    return pa.Table.from_batches(image.points(None)).filter(pa.compute.field("cluster_id").is_valid())[:17]
