"""The plugin in a window of napari: what a user opens, drags, types and exports."""

from __future__ import annotations

import gc
import json
import shutil
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import shapely
from support import simulated_table

from caml_dask import open_run
from caml_dask.napari_plugin.scene import Scene
from caml_dask.runs.session import execute
from caml_dask.settings import Settings

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from caml_dask.napari_plugin.follow import Follower
    from caml_dask.napari_plugin.panel import ClusterPanel

napari = pytest.importorskip("napari", reason="napari is not installed: pip install 'caml_dask[napari]'")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("window")
    tables = [simulated_table(folder / f"cell {k}.csv", side_nm=2500.0, seed=k) for k in (1, 2)]
    execute(tables, folder / "out", Settings("XPILJZ", test=False), workers=0)
    return folder / "out"


@pytest.fixture(scope="module")
def viewer(display: None) -> Iterator[Any]:
    import napari
    import npe2
    from qtpy.QtWidgets import QApplication

    manager = npe2.PluginManager.instance()
    manager.discover()
    if "caml_dask" not in manager:  # tests run on a copy that is not installed
        manifest = Path(__file__).parents[2] / "caml_dask/napari_plugin/napari.yaml"
        manager.register(npe2.PluginManifest.from_file(manifest))
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1200, 800)
    yield viewer
    viewer.close()
    QApplication.processEvents()


def wait_for(what: Callable[[], bool], seconds: float = 60.0) -> None:
    """Let Qt work until something has come about."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it does not come about"
        QApplication.processEvents()
        time.sleep(0.01)


@pytest.fixture
def panel(viewer: Any, run: Path) -> Any:
    """The panel with the first image, opened as a user opens it."""
    if not viewer.layers:
        viewer.open(str(run), plugin="caml_dask")
    _, panel = viewer.window.add_plugin_dock_widget("caml_dask", "Clusters")
    wait_for(lambda: panel.follower is not None and panel.shown.text() != "")
    return panel


def drag(histogram: Any, first: float, last: float) -> None:
    """Drag the mouse over shares of a histogram's width."""
    from qtpy.QtCore import QPoint, Qt
    from qtpy.QtTest import QTest

    start, end = (QPoint(round(share * (histogram.width() - 1)), 20) for share in (first, last))
    QTest.mousePress(histogram, Qt.MouseButton.LeftButton, pos=start)
    QTest.mouseMove(histogram, end)
    QTest.mouseRelease(histogram, Qt.MouseButton.LeftButton, pos=end)


def typed(edge: Any, text: str) -> None:
    """Type an end of a range over what stands there, and press Enter."""
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    edge.selectAll()
    QTest.keyClick(edge, Qt.Key.Key_Delete)
    QTest.keyClicks(edge, text)
    QTest.keyClick(edge, Qt.Key.Key_Return)


def choose_image(panel: Any, text: str) -> None:
    """Choose an image as a user does."""
    panel.image.setCurrentText(text)
    panel.image.activated.emit(panel.image.currentIndex())


def opened(viewer: ViewerModel, panel: ClusterPanel, folder: Path, place: int) -> Follower:
    """An image of a run, opened without a window."""
    run = open_run(folder)
    scene = Scene(run.images[place])
    panel.expect(scene, run)
    for layer in scene.layers():
        viewer.add_layer(napari.layers.Layer.create(*layer))
    return panel.followers[scene.folder]


@pytest.fixture
def bare(viewer: Any) -> tuple[ViewerModel, ClusterPanel]:
    """A panel beside layers that are not drawn."""
    from caml_dask.napari_plugin.panel import ClusterPanel

    model = napari.components.ViewerModel()
    model.canvas.size = (600, 800)
    return model, ClusterPanel(model)


def test_each_image_that_is_open_has_its_own_selection_and_words(bare, run: Path):
    first, second = (opened(*bare, run, place) for place in (0, 1))
    _, panel = bare
    assert panel.follower is second
    first.refresh()
    assert panel.shown.text() == "" != first.words
    second.refresh()
    assert panel.shown.text() == second.words
    first.outlines.selected_data = {0}
    cluster = int(first.outlines.features["cluster_id"].iloc[0])
    assert panel.follower is first and panel.shown.text() == first.words
    assert first.scene.clusters.ids[first.scene.selected].tolist() == [cluster] and not second.scene.selected.any()
    assert panel.count.text() == f"1 of {len(first.scene.clusters):,} clusters selected"


def test_runs_of_the_same_inputs_are_told_apart(bare, run: Path, tmp_path: Path):
    again = shutil.copytree(run, tmp_path / "again")
    first, second = (opened(*bare, folder, 0) for folder in (run, again))
    viewer, panel = bare
    names = list(open_run(run).images)
    texts = [f"{name} of {folder.name}" for folder in (run, again) for name in names]
    assert [panel.image.itemText(k) for k in range(panel.image.count())] == texts
    assert panel.follower is second and first.points is viewer.layers[2] and second.points is viewer.layers[6]
    choose_image(panel, texts[0])
    panel.select(0, None)
    assert first.scene.selected.all() and not second.scene.selected.any()
    asked = []
    panel.viewer = SimpleNamespace(open=lambda path, plugin: asked.append(path))
    choose_image(panel, texts[1])
    choose_image(panel, texts[3])
    assert asked == [str((folder / names[1]).resolve()) for folder in (run, again)]


def test_a_folder_is_opened_with_its_panel(viewer: Any, panel: Any, run: Path):
    image = open_run(run).images[0]
    assert [layer.name for layer in viewer.layers] == [
        f"{image.image_id}: {name}" for name in ("in no cluster", "in clusters", "localizations", "outlines")
    ]
    assert f"0 of {len(image.clusters):,} clusters" in panel.count.text()
    assert [panel.image.itemText(k) for k in range(panel.image.count())] == list(open_run(run).images)
    assert panel.measure.currentText() == "area_nm2" and panel.color.currentText() == "label"
    assert shapely.box(*panel.follower.bounds()).covers(shapely.box(*image.summary["bounds_nm"]))
    wait_for(lambda: f"all {len(image.points):,}" in panel.shown.text())
    pixels = viewer.screenshot(flash=False).reshape(-1, 4).astype(int)
    orange = (pixels[:, 0] > 150) & (pixels[:, 0] > 2 * pixels[:, 2])
    assert orange.sum() > 100 and (pixels[:, :3] == 255).all(axis=1).sum() > 100, "clustered, and white outlines"


def test_a_brush_selects_clusters(viewer: Any, panel: Any, run: Path):
    areas = open_run(run).images[0].clusters["area_nm2"].to_numpy()
    drag(panel.histogram, 0.5, 1.0)
    low, high = float(panel.low.text()), float(panel.high.text())
    middle = areas.min() + 0.5 * np.ptp(areas)
    assert low == pytest.approx(middle, rel=0.02) and high == pytest.approx(areas.max(), rel=1e-5)
    selected = panel.follower.scene.selected
    assert 0 < selected.sum() == (areas >= panel.follower.scene.clusters.values("area_nm2")[selected].min()).sum()
    assert f"{selected.sum():,} of" in panel.count.text()
    faint = np.asarray(panel.follower.outlines.edge_color)[:, 3] < 1
    ids = panel.follower.outlines.features["cluster_id"].to_numpy()
    chosen = np.isin(ids, panel.follower.scene.clusters.ids[selected])
    assert np.array_equal(faint, ~chosen) and chosen.any()
    panel.low.editingFinished.emit()
    assert panel.follower.scene.selected is selected, "a box that loses the focus selects nothing by its rounded end"
    drag(panel.histogram, 0.3, 0.3)
    assert "0 of" in panel.count.text() and panel.low.text() == ""


def test_typed_ranges_are_exact_and_exported(viewer: Any, panel: Any, run: Path, tmp_path: Path):
    clusters = open_run(run).images[0].clusters
    areas = np.sort(clusters["area_nm2"].to_numpy())
    typed(panel.high, "")
    typed(panel.low, repr(float(areas[3])))
    assert f"{len(areas) - 3:,} of" in panel.count.text()
    panel.export(tmp_path)
    name = f"{open_run(run).images[0].image_id}_selection"
    expected = clusters.loc[clusters["area_nm2"] >= areas[3], "cluster_id"].tolist()
    found = json.loads((tmp_path / f"{name}_outlines.geojson").read_text())
    assert [feature["id"] for feature in found["features"]] == expected
    assert found["about"]["selection"] == f"area_nm2 from {areas[3]:.17g} to inf"
    rows = (tmp_path / f"{name}_clusters.csv").read_text().splitlines()
    assert len(rows) == 1 + len(expected) and name in panel.message.text()
    panel._tried(lambda: panel.export(tmp_path))
    assert "is there already" in panel.message.text()
    typed(panel.high, "many")
    assert "'many' is no number" in panel.message.text()


def test_a_cluster_is_looked_at_by_id_by_steps_and_by_selecting(viewer: Any, panel: Any):
    from qtpy.QtTest import QTest

    panel.select(None, None)
    scene, follower = panel.follower.scene, panel.follower
    cluster = int(scene.clusters.ids[7])
    QTest.keyClicks(panel.cluster, str(cluster))
    panel.go()
    wait_for(lambda: len(set(follower.outlines.features["cluster_id"])) < 10)
    x0, y0, x1, y1 = follower.bounds()
    ax, ay, bx, by = scene.clusters.around(7)
    assert x0 <= ax and y0 <= ay and bx <= x1 and by <= y1 and (x0 + x1) == pytest.approx(ax + bx)
    assert cluster in set(follower.outlines.features["cluster_id"])
    ring = int(np.flatnonzero(follower.outlines.features["cluster_id"] == cluster)[0])
    follower.outlines.selected_data = {ring}
    assert scene.clusters.ids[scene.selected].tolist() == [cluster] and "1 of" in panel.count.text()
    for edge in (panel.low, panel.high):
        assert edge.text() == "", "no range is selected"
        edge.editingFinished.emit()
    assert "1 of" in panel.count.text()
    panel.select(0, None)
    panel.cluster.clear()
    seen = []
    for by in (1, 1, -1, -1):
        panel.step(by)
        seen.append(int(panel.cluster.text()))
    ids = scene.clusters.ids
    assert seen == [ids[0], ids[1], ids[0], ids[-1]]
    wrong = ("nothing", "²", "9" * 20)
    for text, words in (*((text, "no cluster_id") for text in wrong), ("987654321", "no cluster 987654321")):
        panel.cluster.setText(text)
        panel._tried(panel.go)
        assert words in panel.message.text()
    panel.select(None, None)
    panel._tried(lambda: panel.step(1))
    assert "no cluster is selected" in panel.message.text()


def test_colors_are_changed_where_one_is_looking(viewer: Any, panel: Any):
    before = np.array(panel.follower.points.face_color)
    panel.color.setCurrentText("frame")
    panel.color.textActivated.emit("frame")
    after = np.array(panel.follower.points.face_color)
    assert after.shape == before.shape and not np.array_equal(after, before)
    assert "frame" in panel.follower.points.features
    panel.color.textActivated.emit("label")
    assert np.array_equal(panel.follower.points.face_color, before)


def test_another_image_of_the_run_is_chosen_and_shown(viewer: Any, panel: Any, run: Path):
    first, second = open_run(run).images
    choose_image(panel, second)
    wait_for(lambda: len(viewer.layers) == 8 and panel.follower.scene.image_id == second)
    assert f"of {len(open_run(run).images[1].clusters):,} clusters" in panel.count.text()
    choose_image(panel, first)
    assert len(viewer.layers) == 8 and panel.follower.scene.image_id == first
    scene = weakref.ref(panel.follower.scene)
    viewer.layers.clear()
    assert panel.follower is None and "Open the folder of a run" in panel.count.text()
    panel.select(0, None)
    panel._tried(lambda: panel.export(run / "nothing"))
    assert "Open the folder of a run" in panel.message.text() and not (run / "nothing").exists()
    gc.collect()
    assert scene() is None, "and its temporary files are gone"


def test_what_cannot_be_opened_says_why(viewer: Any, run: Path):
    summary = (run / "summary.json").read_bytes()
    (run / "summary.json").unlink()
    try:
        with pytest.raises(Exception, match="not finished: continue it with --resume"):
            viewer.open(str(run), plugin="caml_dask")
    finally:
        (run / "summary.json").write_bytes(summary)
