"""The pyramid of pictures, read back by zarr and compared with counts of the points themselves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import zarr
from exported import FINITE, hand_drawn, points_table
from support import HAND_DRAWN, HAND_DRAWN_CLUSTERS, simulated_table

from caml_dask import open_run
from caml_dask.io.exporters import ome_zarr
from caml_dask.io.exporters.exporter import Exportable, Options
from caml_dask.io.exporters.ome_zarr import EXPORTER
from caml_dask.io.exporters.write import export
from caml_dask.overview.raster import CLUSTERED_COLOR, FIBER_COLOR, NON_CLUSTERED_COLOR
from caml_dask.runs.session import execute
from caml_dask.schema import NO_CLUSTER
from caml_dask.settings import Settings


def written(folder: Path, image: Exportable, **options: float) -> Path:
    (path,) = export([image], "ome-zarr", folder, Options(**options), overwrite=False)
    return path


def opened(path: Path) -> tuple[list[np.ndarray], dict[str, Any]]:
    """The levels, and the metadata as they are in the file."""
    about = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]
    (multiscale,) = about["multiscales"]
    return [zarr.open_array(path / one["path"], mode="r")[:] for one in multiscale["datasets"]], about


def of_points(xy_nm: np.ndarray, channel: np.ndarray, about: dict[str, Any], level: int, shape: tuple) -> np.ndarray:
    """Counts by numpy's histogram, on the pixels that the metadata name."""
    scale, translation = about["multiscales"][0]["datasets"][level]["coordinateTransformations"]
    side = scale["scale"][1]
    edges = [t - side / 2 + side * np.arange(n + 1) for t, n in zip(translation["translation"][1:], shape[1:])]
    return np.stack([np.histogram2d(xy_nm[channel == c, 1], xy_nm[channel == c, 0], edges)[0] for c in range(shape[0])])


def scattered(n: int, batch: int, seed: int = 0) -> tuple[Exportable, np.ndarray, np.ndarray]:
    """Localizations at whole and odd places, some of them at the corners of blocks and below 0, in batches."""
    rng = np.random.default_rng(5)
    xy = np.concatenate([rng.uniform(-300, 900, (n - 4, 2)).round(1), [[-300, -300], [0, 0], [128, 128], [900, 700]]])
    cluster = np.where(rng.random(n) < 0.5, NO_CLUSTER, 3)
    order = np.random.default_rng(seed).permutation(n)
    columns = {"x_nm": xy[:, 0], "y_nm": xy[:, 1], "label": np.ones(n, np.int8), "cluster_id": cluster}
    table = pa.table(columns).take(order)
    low, high = xy.min(axis=0), xy.max(axis=0)
    image = hand_drawn(
        schema=table.schema,
        bounds_nm=(*low.tolist(), *high.tolist()),
        points=lambda names: iter(table.select(list(names)).to_batches(batch)),
    )
    return image, xy, (cluster != NO_CLUSTER).astype(int)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ome_zarr, "BLOCK_PX", 64)
    monkeypatch.setattr(ome_zarr, "_COARSEST_PX", 100)
    monkeypatch.setattr(ome_zarr, "_HELD", 700)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("pixel_nm", [1.0, 2.5, 7.0])
def test_every_level_has_the_counts_of_the_points(pixel_nm: float, tmp_path: Path):
    image, xy, channel = scattered(5000, 300)
    levels, about = opened(written(tmp_path, image, pixel_nm=pixel_nm))
    assert len(levels) == {1.0: 5, 2.5: 4, 7.0: 2}[pixel_nm]
    for level, counts in enumerate(levels):
        assert counts.dtype == np.uint32
        assert counts.sum(axis=(1, 2)).tolist() == np.bincount(channel).tolist()
        assert np.array_equal(counts, of_points(xy, channel, about, level, counts.shape)), level
    assert max(levels[-1].shape) <= 100 < max(levels[-2].shape)


@pytest.mark.usefixtures("small_blocks")
def test_order_and_batches_change_no_byte(tmp_path: Path):
    found = []
    for seed, batch in ((0, 5000), (1, 17), (2, 699)):
        path = written(tmp_path / str(seed), scattered(5000, batch, seed)[0], pixel_nm=1.0)
        found.append({str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*") if f.is_file()})
    assert found[0] == found[1] == found[2]
    assert {Path(name).parts[0] for name in found[0]} == {"zarr.json", "0", "1", "2", "3", "4"}, (
        "and nothing else is left"
    )


def test_places_colors_and_names_are_those_of_ome_zarr(tmp_path: Path):
    levels, about = opened(written(tmp_path, hand_drawn(), pixel_nm=2.0))
    assert about["version"] == "0.5"
    (multiscale,) = about["multiscales"]
    assert [(axis["name"], axis["type"], axis.get("unit")) for axis in multiscale["axes"]] == [
        ("c", "channel", None), ("y", "space", "nanometer"), ("x", "space", "nanometer"),
    ]  # fmt: skip
    (only,) = multiscale["datasets"]
    # the first pixel reaches from 2 to 4 nm along x, and from 0 to 2 nm along y
    assert only["coordinateTransformations"] == [
        {"type": "scale", "scale": [1, 2, 2]},
        {"type": "translation", "translation": [0, 1, 3]},
    ]
    expected = np.zeros((2, 16, 15), int)
    for (x, y), cluster in zip(HAND_DRAWN / 3, HAND_DRAWN_CLUSTERS, strict=True):
        expected[int(cluster >= 0), int(y // 2), int((x - 2) // 2)] += 1
    assert np.array_equal(levels[0], expected)
    channels = about["omero"]["channels"]
    assert [channel["label"] for channel in channels] == ["in no cluster", "in clusters"]
    assert [channel["window"]["max"] for channel in channels] == expected.max(axis=(1, 2)).tolist()
    colors = [NON_CLUSTERED_COLOR, CLUSTERED_COLOR, FIBER_COLOR]
    assert list(ome_zarr._COLORS) == ["".join(f"{int(v):02X}" for v in color) for color in colors]


def test_three_classes_are_three_channels(tmp_path: Path):
    table = points_table().append_column("p_fiber", pa.array(np.zeros(len(FINITE), np.float32)))
    label = np.where(np.insert(HAND_DRAWN_CLUSTERS, 3, -1) == 5, 2, 1).astype(np.int8)
    table = table.set_column(table.schema.get_field_index("label"), "label", [label])
    levels, about = opened(written(tmp_path, hand_drawn(table)))
    assert levels[0].sum(axis=(1, 2)).tolist() == [7, 5, 4]
    assert [channel["label"] for channel in about["omero"]["channels"]] == ["in no cluster", "round", "fiber"]


@pytest.mark.usefixtures("small_blocks")
def test_merged_detections_beyond_the_molecules_count_at_the_rim(tmp_path: Path):
    """Bounds are those of the molecules; each detection is counted once, none at the opposite side."""
    image, xy, channel = scattered(3000, 300)
    image = replace(image, bounds_nm=(-200.0, -250.0, 850.0, 600.0))
    levels, about = opened(written(tmp_path, image, pixel_nm=2.5))
    inside = np.clip(xy, [-200.0, -250.0], [850.0, 600.0])
    assert (inside != xy).any(axis=1).sum() > 100
    for level, counts in enumerate(levels):
        assert np.array_equal(counts, of_points(inside, channel, about, level, counts.shape)), level


def test_a_sparse_field_takes_no_room(tmp_path: Path):
    """Two localizations a meter apart: a field that no memory holds at 10 nm."""
    columns = {"x_nm": [0.0, 1e9], "y_nm": [0.0, 5e8], "label": pa.array([1, 1], pa.int8()), "cluster_id": [-1, 0]}
    table = pa.table(columns)
    image = hand_drawn(schema=table.schema, bounds_nm=(0.0, 0.0, 1e9, 5e8), points=lambda _: iter(table.to_batches()))
    path = written(tmp_path, image)
    about = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]["multiscales"][0]["datasets"]
    arrays = [zarr.open_array(path / one["path"], mode="r") for one in about]
    assert arrays[0].shape == (2, 50_000_001, 100_000_001)
    assert (arrays[0][0, 0, 0], arrays[0][1, 50_000_000, 100_000_000]) == (1, 1)
    assert arrays[-1][:].sum(axis=(1, 2)).tolist() == [1, 1]
    assert sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) < 1 << 20


def test_the_pyramid_of_a_run_is_that_of_its_points_under_any_tiling(tmp_path: Path):
    table = simulated_table(tmp_path / "cell.csv", side_nm=2500.0)
    bytes_of = []
    for tile in (None, 200):
        execute([table], tmp_path / str(tile), Settings("XPILJZ", max_localizations=tile, test=False), workers=0)
        image = open_run(tmp_path / str(tile)).images[0]
        (path,) = image.export("ome-zarr", tmp_path / str(tile) / "out", pixel_nm=2.0)
        levels, about = opened(path)
        channel = (image.points["cluster_id"] != NO_CLUSTER).to_numpy().astype(int)
        xy = image.points[["x_nm", "y_nm"]].to_numpy()
        for level, counts in enumerate(levels):
            assert np.array_equal(counts, of_points(xy, channel, about, level, counts.shape))
        bytes_of.append({str(f.relative_to(path)): f.read_bytes() for f in path.rglob("c/**/*") if f.is_file()})
    assert bytes_of[0] == bytes_of[1] and len(levels) == 3


def test_what_fails_leaves_nothing(tmp_path: Path):
    def points(_: object):
        yield from points_table().select(["x_nm", "y_nm", "label", "cluster_id"]).to_batches(5)
        raise RuntimeError("the disk went away")

    with pytest.raises(RuntimeError):
        written(tmp_path, hand_drawn(points=points))
    assert list(tmp_path.iterdir()) == []
    path = written(tmp_path, hand_drawn())
    export([hand_drawn()], "ome-zarr", tmp_path, Options(), overwrite=True)
    assert [one.name for one in tmp_path.iterdir()] == [path.name] and path.name.endswith(EXPORTER.endings[0])
