"""Which folders are opened, what layers they give, and how these follow the view; napari is needed, no window is."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from support import simulated_table

from caml_dask import DBSCAN, open_run
from caml_dask.errors import CamlError, DiskFullError, OutputError, StoreError
from caml_dask.napari_plugin import scene as scenes
from caml_dask.napari_plugin.follow import Follower
from caml_dask.napari_plugin.reader import image_in, layers_of, reader_of
from caml_dask.napari_plugin.scene import Scene
from caml_dask.runs.session import execute
from caml_dask.schema import NO_CLUSTER
from caml_dask.settings import Settings

napari = pytest.importorskip("napari", reason="napari is not installed: pip install 'caml_dask[napari]'")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images that are done, and one that failed."""
    folder = tmp_path_factory.mktemp("seen")
    tables = [simulated_table(folder / f"cell {k}.csv", side_nm=2500.0, seed=k) for k in (1, 2)]
    (folder / "bad.csv").write_text("x [nm],y [nm]\n1,1\n")
    execute([folder / "bad.csv", *tables], folder / "out", Settings("XPILJZ", test=False), workers=0)
    return folder / "out"


@pytest.fixture
def scene(run: Path) -> Scene:
    return Scene(open_run(run).images["cell 1"])


def test_only_folders_of_runs_and_of_their_images_are_read(run, tmp_path):
    names = list(open_run(run).images)
    for folder in (run, run / names[0], run / "0001_bad"):
        assert reader_of(str(folder)) is not None and reader_of([str(folder)]) is not None
    for other in (tmp_path, run / "export", run / ".run", run / "summary.json", run / names[0] / "points.parquet"):
        assert reader_of(str(other)) is None
    assert reader_of([str(run), str(run)]) is None
    assert image_in(run)[1].image_id == names[0] and image_in(run / names[1])[1].image_id == names[1]


def test_layers_are_those_of_the_image(run):
    image = open_run(run).images["cell 2"]
    reader = reader_of(str(image.directory))
    assert reader is not None
    *pictures, points, outlines = reader(str(image.directory))
    layers = [napari.layers.Layer.create(*one) for one in (*pictures, points, outlines)]
    assert [type(layer).__name__ for layer in layers] == ["Image", "Image", "Points", "Shapes"]
    assert [layer.name.split(": ")[1] for layer in layers] == [
        "in no cluster",
        "in clusters",
        "localizations",
        "outlines",
    ]
    for layer in layers:
        assert str(layer.units[0]) == "nanometer" and layer.metadata["caml_dask"]["image_id"] == image.image_id
    of = image.points
    assert np.allclose(layers[2].data, of[["y_nm", "x_nm"]])
    assert np.array_equal(layers[2].features["cluster_id"], of["cluster_id"])
    for layer, inside in zip(layers, (of["cluster_id"] == NO_CLUSTER, of["cluster_id"] != NO_CLUSTER)):
        counts = np.asarray(layer.data[0])
        assert counts.sum() == inside.sum()
        yx = layer.world_to_data(of.loc[inside, ["y_nm", "x_nm"]].to_numpy()[0])
        assert counts[tuple(np.rint(yx).astype(int))] > 0, "a localization lies in its pixel"
    shapes = layers[3]
    with_outline = image.outlines.dropna()
    assert set(shapes.features["cluster_id"]) == set(with_outline.index)
    assert set(image.clusters.columns) == set(shapes.features.columns)
    first = image.outlines[shapes.features["cluster_id"].iloc[0]]
    assert np.allclose(shapes.data[0].min(axis=0), first.bounds[1::-1], atol=2.5), "to less than a pixel"
    areas = image.clusters.set_index("cluster_id")["area_nm2"]
    assert np.array_equal(shapes.features["area_nm2"], areas[shapes.features["cluster_id"]])


def test_an_exported_pyramid_is_shown(run, scene, tmp_path, caplog):
    image = open_run(run).images["cell 1"]
    image.export("ome-zarr", run / "export")
    try:
        again = Scene(image)
        for ours, theirs in zip(scene.pictures(), again.pictures(), strict=True):
            assert type(theirs[0][0].source).__name__ == "Stored" and type(ours[0][0].source).__name__ == "Counted"
            assert ours[1]["contrast_limits"] == theirs[1]["contrast_limits"]
            assert all(np.array_equal(a, b) for a, b in zip(ours[0], theirs[0], strict=True))
        (next((run / "export").iterdir()) / "zarr.json").unlink()
        with caplog.at_level(logging.WARNING, "caml_dask"):
            assert type(Scene(image).source).__name__ == "Counted" and "damaged" in caplog.text
    finally:
        shutil.rmtree(run / "export")


def refused(folder: Path, *words: str, error: type[CamlError] = OutputError) -> None:
    with pytest.raises(error) as found:
        layers_of(folder)
    assert all(word in str(found.value) for word in words), found.value


def test_what_cannot_be_shown_says_why(run, tmp_path):
    refused(run / "0001_bad", "0001_bad could not be analyzed", "1")
    (bad := tmp_path / "bad.csv").write_text("x [nm],y [nm]\n1,1\n")
    execute([bad], tmp_path / "failed", Settings("XPILJZ", test=False), workers=0)
    refused(tmp_path / "failed", "no image", "could be analyzed", "0001_bad")
    copy = shutil.copytree(run, tmp_path / "copy")
    (name,) = (name for name in open_run(copy).images if "cell_1" in name)
    for file in ("points.parquet", "outlines.parquet", "clusters.parquet"):
        kept = (copy / name / file).read_bytes()
        (copy / name / file).write_bytes(kept[:-20])
        refused(copy / name, file, "missing or altered", "--resume", error=StoreError)
        (copy / name / file).write_bytes(kept)
    assert layers_of(copy / name)
    (copy / "summary.json").write_text("{")
    refused(copy, "summary.json", "damaged", error=StoreError)
    (copy / "summary.json").unlink()
    refused(copy, "not finished", "--resume")
    refused(copy / name, "not finished", "--resume")
    (tmp_path / "described" / ".describe").mkdir(parents=True)
    refused(tmp_path / "described", "holds no run", "caml-dask run")


def test_an_image_without_room_for_temporary_files_leaves_none(run, tmp_path, monkeypatch):
    def full(file: int, first: int, size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(DiskFullError, match=f"{tmp_path} has no room.*TMPDIR") as found:
        layers_of(run)
    assert list(tmp_path.iterdir()) == [] and found.value.__cause__, "though the error is kept, as napari does"
    monkeypatch.undo()
    assert layers_of(run)


def test_clusters_of_dbscan_are_shown_without_scores(tmp_path):
    table = simulated_table(tmp_path / "cell.csv", side_nm=2500.0)
    method = DBSCAN(eps_nm=30, min_samples=5)
    execute([table], tmp_path / "out", Settings(method=method, test=False), workers=0)
    scene = Scene(open_run(tmp_path / "out").images[0])
    assert not [name for name in scene.colors if name.startswith("p_")] and len(scene.clusters) > 0
    for color in scene.colors:
        scene.color = color
        assert scene.layers()[2][1]["face_color"].shape == (len(scene.places), 4)


def test_every_color_is_that_of_the_column(run, scene):
    image = open_run(run).images["cell 1"]
    assert {"label", "cluster", "area_nm2", "p_clustered", "frame"} <= set(scene.colors)
    scene.color = "frame"
    points = scene.points(scene.image.bounds_nm)
    assert np.array_equal(points.features["frame"], image.points["frame"])
    first, last = points.colors[points.features["frame"].idxmin()], points.colors[points.features["frame"].idxmax()]
    assert first[1] < last[1], "viridis becomes brighter"
    scene.color = "area_nm2"
    points, outlines = scene.points(scene.image.bounds_nm), scene.outlines(scene.image.bounds_nm)
    loners = (points.features["cluster_id"] == NO_CLUSTER).to_numpy()
    assert len(np.unique(points.colors[loners], axis=0)) == 1
    member = int(np.flatnonzero(~loners)[0])
    ring = int(np.flatnonzero(outlines.features["cluster_id"] == points.features["cluster_id"][member])[0])
    assert points.colors[member, 1] > 0 and outlines.colors[ring, 3] == 1
    for bounds in (scene.image.bounds_nm, (500.0, 700.0, 1300.0, 1300.0)):
        points, outlines = scene.points(bounds), scene.outlines(bounds)
        color = dict(zip(outlines.features["cluster_id"].tolist(), outlines.colors.tolist()))
        dots = list(zip(points.features["cluster_id"].tolist(), points.colors.tolist()))
        assert any(cluster in color for cluster, _ in dots)
        assert all(dot == color[cluster] for cluster, dot in dots if cluster in color), "as its outline, in any view"
    scene.select(scene.clusters.between("area_nm2", 0, np.median(scene.clusters.values("area_nm2"))), "small")
    faint = scene.outline_colors()[:, 3] < 1
    assert np.array_equal(faint, ~scene.selected) and faint.any() and scene.selected.any()
    scene.color = "nothing"
    with pytest.raises(CamlError, match="no column of numbers"):
        scene.points(scene.image.bounds_nm)


def test_layers_follow_the_view(scene, monkeypatch):
    from napari.components import ViewerModel

    viewer, said, picked, moved = ViewerModel(), [], [], []
    layers = [viewer.add_layer(napari.layers.Layer.create(*one)) for one in scene.layers()]
    points, outlines = layers[-2:]
    follower = Follower(
        viewer,
        scene,
        points,
        outlines,
        lambda: moved.append(1),
        lambda: said.append(follower.words),
        picked.append,
    )
    viewer.canvas.size = (600, 800)
    whole = points.data.copy()
    x0, y0, x1, y1 = 500.0, 700.0, 1300.0, 1300.0
    follower.look_at((x0, y0, x1, y1))
    assert moved and follower.bounds() == pytest.approx((x0, y0, x1, y1))
    follower.update()
    inside = (whole[:, 0] >= y0) & (whole[:, 0] <= y1) & (whole[:, 1] >= x0) & (whole[:, 1] <= x1)
    assert 0 < inside.sum() < len(whole) and np.array_equal(points.data, whole[inside])
    assert len(outlines.data) == len(outlines.features) > 0
    for ring in outlines.data:
        assert (ring.max(axis=0) >= (y0, x0)).all() and (ring.min(axis=0) <= (y1, x1)).all()
    assert f"all {inside.sum():,}" in said[-1] and not picked
    follower.update()
    assert len(said) == 1, "a view that stays where it is costs nothing"
    outlines.selected_data = {0}
    assert picked == [[int(outlines.features["cluster_id"].iloc[0])]]
    outlines.add_rectangles(np.array([[x0, y0], [x1, y1]]))
    outlines.selected_data = {len(outlines.data) - 1}
    assert len(picked) == 1, "a shape that a user draws is no cluster"
    outlines.selected_data = {0, len(outlines.data) - 1}
    assert picked[1:] == picked[:1]
    outlines.features = outlines.features.assign(cluster_id=np.nan)
    outlines.selected_data = {1}
    assert len(picked) == 2
    follower.refresh()
    assert len(outlines.data) == len(outlines.features)
    monkeypatch.setattr(scenes, "MOST_POINTS", 50)
    monkeypatch.setattr(scenes, "MOST_OUTLINES", 2)
    scene.select(scene.clusters.ids == scene.clusters.ids[5], "one")
    follower.look_at(scene.image.bounds_nm)
    follower.update()
    assert len(points.data) == 50 and "50 of some" in said[-1] and "an even sample" in said[-1]
    assert (
        scene.clusters.ids[5] in set(outlines.features["cluster_id"]) and len(set(outlines.features["cluster_id"])) == 2
    )
    assert "2 of" in said[-1] and "the selected, then the widest" in said[-1]
    follower.look_at((1e7, 1e7, 1e7 + 10, 1e7 + 10))
    follower.update()
    assert len(points.data) == len(outlines.data) == 0
    follower.look_at(scene.image.bounds_nm)
    follower.update()
    assert len(points.data) == 50, "and comes back"
    assert np.unique(points.size).tolist() == [15] and not points.border_width.any()
    viewer.layers.remove(points)
    follower.look_at((0, 0, 10, 10))
    before = len(said)
    follower.update()
    assert not follower.there and len(said) == before


def test_the_manifest_names_what_there_is():
    """As napari reads it: commands that can be imported, and the entry point that leads to it."""
    from importlib.resources import files

    import npe2

    manifest = npe2.PluginManifest.from_file(str(files("caml_dask.napari_plugin") / "napari.yaml"))
    manifest.validate_imports()
    assert manifest.name == "caml_dask"
    (widget,) = manifest.contributions.widgets
    (reader,) = manifest.contributions.readers
    assert reader.accepts_directories and widget.display_name == "Clusters"
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert '[project.entry-points."napari.manifest"]\ncaml_dask = "caml_dask.napari_plugin:napari.yaml"' in project
    assert json.dumps("napari_plugin/napari.yaml") in project, "it is in the wheel"
