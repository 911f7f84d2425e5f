"""Localizations sorted by place, and the pictures counted from them, against numpy and the exported pyramid."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import zarr
from exported import FINITE, hand_drawn, points_table

from caml_dask.io.exporters.exporter import Exportable, Options
from caml_dask.io.exporters.ome_zarr import Levels
from caml_dask.io.exporters.write import export
from caml_dask.napari_plugin import levels as levels_of
from caml_dask.napari_plugin import places as places_of
from caml_dask.napari_plugin.levels import Counted, planes, stored
from caml_dask.napari_plugin.places import Places, rank_of
from caml_dask.napari_plugin.scene import taken
from caml_dask.schema import NO_CLUSTER


def scattered(n: int = 6000, batch: int = 700) -> tuple[Exportable, pa.Table]:
    """Localizations of which a quarter lies at one spot, some at one place, and some were not analyzed."""
    rng = np.random.default_rng(3)
    xy = rng.uniform(-40_000, 60_000, (n, 2))
    xy[: n // 4] = rng.normal(1000, 30, (n // 4, 2))
    xy[:50] = xy[0]
    xy, cluster = rng.permutation(xy).round(1), np.where(rng.random(n) < 0.5, NO_CLUSTER, 3)
    left_out = rng.random(n) < 0.05
    columns = {
        "x_nm": np.where(rng.random(n) < 0.01, np.nan, xy[:, 0]),
        "y_nm": xy[:, 1],
        "label": pa.array(np.ones(n, np.int8), mask=left_out),
        "cluster_id": pa.array(cluster, mask=left_out),
        "photons": np.arange(n) * 0.5,
    }
    table = pa.table(columns)
    there = table.filter(np.isfinite(columns["x_nm"]) & ~left_out)
    low, high = ([f(there[name].to_numpy()) for name in ("x_nm", "y_nm")] for f in (np.min, np.max))
    image = hand_drawn(
        schema=table.schema,
        localizations=len(there),
        bounds_nm=(*low, *high),
        points=lambda names: iter(table.select(list(names)).to_batches(batch)),
    )
    return image, table


@pytest.fixture
def small_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places_of, "BOX", 300)
    monkeypatch.setattr(places_of, "_AT_A_TIME", 128)


@pytest.mark.usefixtures("small_boxes")
def test_a_view_has_its_localizations_and_no_others():
    image, table = scattered()
    places = Places(image)
    x, y = table["x_nm"].to_numpy(), table["y_nm"].to_numpy()
    analyzed = np.isfinite(x) & table["cluster_id"].is_valid().to_numpy()
    assert len(places) == analyzed.sum()
    for bounds in ((-1e9, -1e9, 1e9, 1e9), (900, 900, 1100, 1050), (x[9], y[9], x[9], y[9]), (2e6, 0, 3e6, 1)):
        x0, y0, x1, y1 = bounds
        expected = np.flatnonzero(analyzed & (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1))
        found = places.sample(bounds, len(table))
        assert np.array_equal(found.rows, expected) and found.in_view == len(expected)
        assert np.array_equal(found.xy_nm, np.column_stack([x, y])[expected])
        assert np.array_equal(found.cluster_id, table["cluster_id"].to_pandas().to_numpy()[expected])
        assert (found.label == 1).all()
        batch = taken(image, found.rows, ["photons"])
        assert np.array_equal(batch.column("photons").to_numpy(), expected * 0.5)


@pytest.mark.usefixtures("small_boxes")
@pytest.mark.parametrize("most", [1, 40, 1000])
def test_of_more_than_fit_the_lowest_ranks_of_the_view_are_taken(most):
    image, table = scattered()
    places = Places(image)
    for bounds in ((-1e9, -1e9, 1e9, 1e9), (900, 900, 1100, 1100), (-4e4, -4e4, 2e4, 6e4)):
        rows = places.sample(bounds, len(table)).rows
        found = places.sample(bounds, most)
        expected = np.sort(rows[np.argsort(rank_of(rows))[:most]])
        assert np.array_equal(found.rows, expected), "whatever boxes there are"
        assert len(rows) == pytest.approx(found.in_view, rel=5 / np.sqrt(most))
    ranks = rank_of(np.arange(100_000))
    assert len(np.unique(ranks)) == len(ranks)
    assert np.histogram(ranks, 20, (0, 2.0**64))[0] == pytest.approx(5000, rel=0.07)


@pytest.mark.usefixtures("small_boxes")
@pytest.mark.parametrize("tile_px", [100, 512])
def test_counted_pictures_are_those_that_are_exported(tile_px, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(levels_of, "TILE_PX", tile_px)
    monkeypatch.setattr(levels_of, "_WHOLE_PX", 600)
    image, _ = scattered()
    options = Options(55.0)
    (path,) = export([image], "ome-zarr", tmp_path, options, overwrite=False)
    known = stored(path, image)
    assert known is not None
    levels, of_file = known
    assert levels == Levels.of(image, options) and len(levels) == 3
    counted = Counted(levels, 2)
    counted.places = Places(image, counted.add)
    for channel in (0, 1):
        for level, (ours, theirs) in enumerate(zip(planes(counted, levels, channel), planes(of_file, levels, channel))):
            rows, columns = levels.shape(level)
            expected = zarr.open_group(path)[str(level)][channel]
            assert ours.shape == theirs.shape == tuple(side * 2 ** (2 - level) for side in levels.shape(2))
            for plane in (ours, theirs):
                whole = np.asarray(plane)
                assert np.array_equal(whole[:rows, :columns], expected)
                assert not whole[rows:].any() and not whole[:, columns:].any()
                assert np.array_equal(plane[5:70, 30:31], expected[5:70, 30:31])
    with pytest.raises(IndexError, match="no rectangle"):
        ours[::2]


def test_a_pyramid_of_another_run_or_a_damaged_one_is_not_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    image = hand_drawn()
    (path,) = export([image], "ome-zarr", tmp_path, Options(2.0), overwrite=False)
    assert stored(path, image) is not None
    assert stored(tmp_path / "none.ome.zarr", image) is None and not caplog.text
    assert stored(path, hand_drawn(provenance={"program": "another"})) is None and "another run" in caplog.text
    (path / "zarr.json").write_text("{")
    caplog.clear()
    assert stored(path, image) is None and "damaged" in caplog.text and "--overwrite" in caplog.text


def test_temporary_files_go_with_the_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    places = Places(hand_drawn())
    assert len(places) == FINITE.sum() == len(points_table()) - 1 and len(list(tmp_path.iterdir())) == 1
    del places
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("reserving", ["posix_fallocate", "zeros"])
def test_a_full_disk_is_an_error_and_what_is_stated_fits(reserving, tmp_path: Path):
    mounted = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=4m none "$1" && shift && exec "$@"', "sh"]
    if shutil.which("unshare") is None or subprocess.run([*mounted, tmp_path, "true"], capture_output=True).returncode:
        pytest.skip("no small disk can be mounted here")
    script = [sys.executable, Path(__file__).with_name("on_a_small_disk.py"), tmp_path, reserving]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([*mounted, tmp_path, *script], capture_output=True, text=True, timeout=120, env=env)
    assert done.returncode == 0, done.stderr


def test_an_image_of_one_localization_is_counted():
    table = points_table()[:1]
    x, y = table["x_nm"][0].as_py(), table["y_nm"][0].as_py()
    points = {"points": lambda names: iter(table.select(list(names)).to_batches()), "bounds_nm": (x, y, x, y)}
    image = hand_drawn(localizations=1, **points)
    levels = Levels.of(image, Options())
    counted = Counted(levels, 2)
    counted.places = Places(image, counted.add)
    (plane,) = planes(counted, levels, 1)
    assert plane.shape == (1, 1) and np.asarray(plane).tolist() == [[1]]
