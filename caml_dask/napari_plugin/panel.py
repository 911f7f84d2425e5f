"""The panel of clusters in napari: a histogram that selects, colors, a way to each cluster, and export."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from caml_dask.errors import CamlError, UsageError
from caml_dask.napari_plugin.bins import Bins
from caml_dask.napari_plugin.follow import Follower
from caml_dask.napari_plugin.histogram import Histogram
from caml_dask.napari_plugin.scene import Scene, folder_of
from caml_dask.results.run import RunResult

_REST_MS = 150
_ID = re.compile(r"[0-9]{1,18}")  # fits int64
_FIRST_MEASURE = ("area_nm2", "volume_nm3", "n_localizations")
NOTHING = "Open the folder of a run: File > Open Folder..."


class ClusterPanel(QWidget):
    """Selects, colors, finds and exports the clusters of the images that are open.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer that the panel is docked to.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.followers: dict[str, Follower] = {}
        self._expected: dict[str, Scene] = {}
        self._new: Follower | None = None
        self._timer = QTimer(self, singleShot=True, interval=_REST_MS)
        self._timer.timeout.connect(self._now)
        self._lay_out()
        self.viewer.layers.events.inserted.connect(self._inserted)
        self.viewer.layers.events.removed.connect(self._removed)

    def _lay_out(self) -> None:
        self.image, self.color, self.measure = QComboBox(), QComboBox(), QComboBox()
        self.histogram, self.low, self.high = Histogram(), QLineEdit(), QLineEdit()
        self.count, self.shown, self.message = QLabel(NOTHING), QLabel(), QLabel()
        self.cluster = QLineEdit(placeholderText="cluster_id")
        for label in (self.count, self.shown, self.message):
            label.setWordWrap(True)
        go, out = self._button("Go", self.go), self._button("Export selection...", self._ask_folder)
        previous = self._button("Previous selected", partial(self.step, -1))
        following = self._button("Next selected", partial(self.step, 1))
        form = QFormLayout()
        for name, widget in (("image", self.image), ("color by", self.color), ("measure", self.measure)):
            form.addRow(name, widget)
        rows = [[QLabel("from"), self.low, QLabel("to"), self.high], [self.cluster, go], [previous, following]]
        whole = QVBoxLayout(self)
        whole.addLayout(form)
        whole.addWidget(self.histogram)
        for row in rows:
            beside = QHBoxLayout()
            for widget in row:
                beside.addWidget(widget)
            whole.addLayout(beside)
        for widget in (self.count, out, self.shown, self.message):
            whole.addWidget(widget)
        whole.addStretch(1)
        self.image.activated.connect(self._choose_image)
        self.color.textActivated.connect(self._recolor)
        self.measure.currentTextChanged.connect(self._measured)
        self.histogram.brushed.connect(self._brushed)
        self.cluster.returnPressed.connect(self.go)
        for edge in (self.low, self.high):
            edge.editingFinished.connect(self._typed)

    def _button(self, text: str, act: Callable[[], None]) -> QPushButton:
        button = QPushButton(text)
        button.clicked.connect(lambda: self._tried(act))
        return button

    def _tried(self, act: Callable[[], Any]) -> None:
        """Do something, and show why it could not be done."""
        try:
            self.message.setText("")
            act()
        except CamlError as error:
            self.message.setText(str(error))

    @property
    def follower(self) -> Follower | None:
        """That of the image that is chosen."""
        return self.followers.get(self.image.currentData())

    def expect(self, scene: Scene, run: RunResult) -> None:
        """Take over the layers of an image once they are in the viewer.

        Parameters
        ----------
        scene : Scene
            The image.
        run : RunResult
            Its run, whose other images can be chosen then.
        """
        self._expected[scene.folder] = scene
        for name, image in run.images.items():
            if self.image.findData(folder := folder_of(image)) < 0:
                self.image.addItem(name, folder)
                self.image.setItemData(self.image.count() - 1, folder, Qt.ItemDataRole.ToolTipRole)
        places = [Path(self.image.itemData(k)) for k in range(self.image.count())]
        ids = Counter(place.name for place in places)
        for k, place in enumerate(places):
            if ids[place.name] > 1:
                self.image.setItemText(k, f"{place.name} of {place.parent.name}")

    def _inserted(self, event: Any) -> None:
        """An image is complete when its last layer, that of outlines, has come."""
        from napari.layers import Points, Shapes

        key = event.value.metadata.get("caml_dask", {}).get("folder")
        if key not in self._expected or not isinstance(event.value, Shapes):
            return
        of = [layer for layer in self.viewer.layers if layer.metadata.get("caml_dask", {}).get("folder") == key]
        points = next(layer for layer in reversed(of) if isinstance(layer, Points))
        self.followers[key] = self._new = Follower(
            self.viewer,
            self._expected.pop(key),
            points,
            event.value,
            self._timer.start,
            self._said,
            partial(self._picked, key),
        )
        self.viewer.canvas.overlays.scale_bar.visible = True
        self._turn_to(key)
        self._timer.start()

    def _removed(self) -> None:
        """What an image holds is given up with its layers."""
        self.followers = {key: follower for key, follower in self.followers.items() if follower.there}
        if self._new is not None and not self._new.there:
            self._new = None
        if self.follower is None:
            self.count.setText(NOTHING)
            self.shown.clear()

    def _now(self) -> None:
        """The view has come to rest, or an image that is new has not filled it yet."""
        if self._new is not None:
            self._new.look_at(self._new.scene.image.bounds_nm)
            self._new = None
        for follower in list(self.followers.values()):
            self._tried(follower.update)

    def _choose_image(self, place: int) -> None:
        key = self.image.itemData(place)
        if key not in self.followers:
            self._tried(lambda: self.viewer.open(key, plugin="caml_dask"))
        else:
            self._show_image()

    def _turn_to(self, key: str) -> None:
        self.image.setCurrentIndex(self.image.findData(key))
        self._show_image()

    def _said(self) -> None:
        """The layers of an image were brought up to date; the panel tells of the one that is chosen."""
        if (follower := self.follower) is not None:
            self.shown.setText(follower.words)

    def _show_image(self) -> None:
        follower = cast(Follower, self.follower)
        scene = follower.scene
        for box, names, chosen in (
            (self.color, scene.colors, scene.color),
            (self.measure, scene.clusters.measures, next(m for m in _FIRST_MEASURE if m in scene.clusters.measures)),
        ):
            box.clear()
            box.addItems(names)
            box.setCurrentText(chosen)
        self._said()
        self._counted()

    def _recolor(self, name: str) -> None:
        if (follower := self.follower) is not None:
            follower.scene.color = name
            self._tried(follower.refresh)

    def _measured(self, name: str) -> None:
        if (follower := self.follower) is not None and name:
            self.histogram.show_bins(Bins.of(follower.scene.clusters.values(name)))
            self._write_ends("", "")

    def _brushed(self, span: tuple[float, float] | None) -> None:
        if span is None:
            self._write_ends("", "")
            self.select(None, None)
        else:
            self._write_ends(*(f"{end:.6g}" for end in span))
            self.select(*span)

    def _write_ends(self, low: str, high: str) -> None:
        self.low.setText(low)  # which leaves it unmodified; clear() does not
        self.high.setText(high)

    def _typed(self) -> None:
        """An end was typed; a box that merely lost the focus selects nothing."""
        edges = (self.low, self.high)
        if any(edge.isModified() for edge in edges):
            for edge in edges:
                edge.setModified(False)
            self._tried(lambda: self.select(_number(self.low), _number(self.high)))

    def select(self, low: float | None, high: float | None) -> None:
        """Select the clusters whose measure is in a range, both ends included.

        Parameters
        ----------
        low, high : float or None
            The ends in the unit of the measure; without either of them nothing is selected, without one the range is
            open on that side.
        """
        if (follower := self.follower) is None:
            return
        clusters, measure = follower.scene.clusters, self.measure.currentText()
        if low is None and high is None:
            self._selected(np.zeros(len(clusters), bool), "")
            return
        first, last = -np.inf if low is None else low, np.inf if high is None else high
        bins = Bins.of(clusters.values(measure))
        self.histogram.show_range(max(first, bins.low), min(last, bins.high))
        self._selected(clusters.between(measure, first, last), f"{measure} from {first:.17g} to {last:.17g}")

    def _selected(self, chosen: Any, why: str) -> None:
        follower = cast(Follower, self.follower)
        follower.scene.select(chosen, why)
        self._tried(follower.refresh)
        self._counted()

    def _counted(self) -> None:
        scene = cast(Follower, self.follower).scene
        self.count.setText(f"{int(scene.selected.sum()):,} of {len(scene.clusters):,} clusters selected")

    def _picked(self, key: str, ids: list[int]) -> None:
        """Clusters whose outlines a user selected in the layer of an image; the panel turns to it."""
        if key != self.image.currentData():
            self._turn_to(key)
        scene = self.followers[key].scene
        scene.select(np.isin(scene.clusters.ids, ids), "by hand")
        self._measured(self.measure.currentText())
        self.cluster.setText(str(ids[0]))
        self._counted()

    def go(self) -> None:
        """Look at the cluster whose id is typed.

        Raises
        ------
        UsageError
            The text is no id, or there is no such cluster.
        """
        if (cluster_id := self._typed_id()) is None:
            text = self.cluster.text().strip()
            raise UsageError(f"{text!r} is no cluster_id: give one of clusters.csv, a whole number")
        if (follower := self.follower) is not None:
            follower.look_at(follower.scene.clusters.around(follower.scene.clusters.place(cluster_id)))

    def _typed_id(self) -> int | None:
        text = self.cluster.text().strip()
        return int(text) if _ID.fullmatch(text) else None

    def step(self, by: int) -> None:
        """Look at the next selected cluster, or the one before, in the order of their ids.

        Raises
        ------
        UsageError
            None is selected.
        """
        if (follower := self.follower) is None:
            return
        ids = follower.scene.clusters.ids[follower.scene.selected]
        if not len(ids):
            raise UsageError("no cluster is selected: drag over the histogram, or select outlines in their layer")
        now = -1 if (cluster_id := self._typed_id()) is None else cluster_id
        at = np.searchsorted(ids, now, side="right") if by > 0 else np.searchsorted(ids, now) - 1
        self.cluster.setText(str(ids[at % len(ids)]))
        self.go()

    def _ask_folder(self) -> None:
        if folder := QFileDialog.getExistingDirectory(self, "Folder for clusters.csv and GeoJSON"):
            self.export(Path(folder))

    def export(self, folder: Path) -> None:
        """Write the selected clusters as CSV and GeoJSON.

        Raises
        ------
        OutputError
            A file is there already; nothing is written.
        """
        if (follower := self.follower) is None:
            raise UsageError(NOTHING)
        files = follower.scene.export_selection(folder)
        self.message.setText(f"written: {', '.join(file.name for file in files)}")


def _number(box: QLineEdit) -> float | None:
    """The number that is typed; None where there is none.

    Raises
    ------
    UsageError : no number.
    """
    text = box.text().strip()
    try:
        return float(text) if text else None
    except ValueError:
        raise UsageError(f"{text!r} is no number: give an end of the range, such as 1500") from None


def expect(viewer: Any, scene: Scene, run: RunResult) -> None:
    """Dock the panel to a viewer, where it is not yet, and let it take over the layers of an image.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    scene : Scene
        The image.
    run : RunResult
        Its run.
    """
    _, panel = viewer.window.add_plugin_dock_widget("caml_dask", "Clusters")
    panel.expect(scene, run)
