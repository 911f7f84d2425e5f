"""The picture of the localizations, read back by tifffile."""

from __future__ import annotations

import numpy as np
import pytest
from exported import FINITE, hand_drawn, points_table
from support import HAND_DRAWN, HAND_DRAWN_CLUSTERS

from caml_dask.errors import UsageError
from caml_dask.io.exporters.exporter import Options
from caml_dask.io.exporters.grid import Grid
from caml_dask.io.exporters.write import export

tifffile = pytest.importorskip("tifffile")


def opened(tmp_path, image, **options):
    (path,) = export([image], "ome-tiff", tmp_path, Options(**options), overwrite=False)
    with tifffile.TiffFile(path) as file:
        assert file.is_ome
        return file.asarray(), tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]


def test_each_localization_counts_in_its_pixel(tmp_path):
    counts, about = opened(tmp_path, hand_drawn(), pixel_nm=2.0)
    pixels = about["Pixels"]
    assert pixels["PhysicalSizeX"] == pixels["PhysicalSizeY"] == 2.0
    assert pixels["PhysicalSizeXUnit"] == pixels["PhysicalSizeYUnit"] == "nm"
    assert [channel["Name"] for channel in pixels["Channel"]] == ["in no cluster", "in clusters"]
    assert {(plane["PositionX"], plane["PositionY"], plane["PositionXUnit"]) for plane in pixels["Plane"]} == {
        (2.0, 0.0, "nm")
    }
    expected = np.zeros_like(counts)
    for (x, y), cluster in zip(HAND_DRAWN / 3, HAND_DRAWN_CLUSTERS, strict=True):
        expected[int(cluster >= 0), int(y // 2), int((x - 2) // 2)] += 1
    assert counts.dtype == np.uint16 and counts.shape == (2, 16, 15)
    np.testing.assert_array_equal(counts, expected)


def test_three_classes_are_three_channels(tmp_path):
    table = points_table()
    names = ["p_non" if name == "p_clustered" else name for name in table.column_names]
    table = table.rename_columns(names).append_column("p_fiber", table["p_clustered"])
    label = np.where(np.insert(HAND_DRAWN_CLUSTERS, 3, -1) == 5, 2, 1).astype(np.int8)
    table = table.set_column(table.schema.get_field_index("label"), "label", [label])
    counts, about = opened(tmp_path, hand_drawn(table))
    assert [channel["Name"] for channel in about["Pixels"]["Channel"]] == ["in no cluster", "round", "fiber"]
    assert counts.sum(axis=(1, 2)).tolist() == [7, 5, 4]


def test_many_localizations_in_a_pixel_are_counted(tmp_path):
    table = points_table().filter(FINITE)
    batch = table.select(["x_nm", "y_nm", "label", "cluster_id"]).combine_chunks().to_batches()[0]
    image = hand_drawn(points=lambda columns: iter([batch] * 70_000))
    counts, _ = opened(tmp_path, image, pixel_nm=1000.0)
    assert counts.dtype == np.uint32 and counts.ravel().tolist() == [7 * 70_000, 9 * 70_000]


def test_localizations_at_the_far_side_are_in_the_last_pixel():
    bounds = (0.0, 0.0, 0.3, 0.7)
    grid = Grid.of(hand_drawn(bounds_nm=bounds), Options(0.1))
    last = np.floor(grid.in_pixels(np.array([[0.3, 0.7]])))[0]
    assert (last <= (grid.columns - 1, grid.rows - 1)).all()


def test_pixels_grow_with_the_field_and_are_bounded():
    small = Grid.of(hand_drawn(bounds_nm=(-5.0, 3.0, 81_000.0, 40.0)), Options())
    assert (small.pixel_nm, small.x0_nm, small.y0_nm, small.columns, small.rows) == (10.0, -10.0, 0.0, 8102, 5)
    large = Grid.of(hand_drawn(bounds_nm=(0.0, 0.0, 1e6, 1e5)), Options())
    assert large.pixel_nm == 160.0 and large.columns <= 8192
    assert Grid.of(hand_drawn(bounds_nm=(7.0, 7.0, 7.0, 7.0)), Options()).rows == 1
    with pytest.raises(UsageError, match=r"is 1,000 um wide, more than 32,767 pixels of 10 nm: .* --pixel-nm 123"):
        Grid.of(hand_drawn(bounds_nm=(0.0, 0.0, 1e6, 1e5)), Options(10.0))
