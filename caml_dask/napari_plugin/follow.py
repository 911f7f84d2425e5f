"""Layers that follow the view: when it moves, they get the localizations and outlines that come into it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from caml_dask.napari_plugin.scene import Scene
from caml_dask.plotting.view import Bounds
from caml_dask.schema import NO_CLUSTER

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Points, Shapes

_EMPTY = 1e-9


class Follower:
    """The layers of points and outlines of an image, kept at what a viewer shows.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer.
    scene : Scene
        The image.
    points : napari.layers.Points
        Its layer of localizations.
    outlines : napari.layers.Shapes
        Its layer of outlines.
    moved : callable
        Is called when the view moves, and sees to it that :meth:`update` is called when it has come to rest.
    said : callable
        Is called when `words` tells anew what is shown.
    picked : callable
        Is told the ids of the clusters whose outlines a user selects.

    Attributes
    ----------
    words : str
        What is shown, in words; empty until the layers are first brought up to date.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        scene: Scene,
        points: Points,
        outlines: Shapes,
        moved: Callable[[], None],
        said: Callable[[], None],
        picked: Callable[[list[int]], None],
    ) -> None:
        self.viewer, self.scene, self.points, self.outlines = viewer, scene, points, outlines
        self._view_moved, self._said, self._picked = moved, said, picked
        self.words = ""
        self._seen: Bounds | None = None
        self._busy = False
        camera = viewer.scene.camera
        for event in (camera.events.center, camera.events.zoom, viewer.canvas.events.size):
            event.connect(self._moved)
        outlines.selected_data.events.items_changed.connect(self._chosen)

    @property
    def there(self) -> bool:
        """Whether the layers are in the viewer still."""
        return self.points in self.viewer.layers and self.outlines in self.viewer.layers

    def bounds(self) -> Bounds:
        """x0, y0, x1, y1 in nm of what the canvas shows."""
        camera = self.viewer.scene.camera
        height, width = (side / max(camera.zoom, _EMPTY) for side in self.viewer.canvas.size)
        y, x = camera.center[-2:]
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2

    def look_at(self, bounds: Bounds) -> None:
        """Move the view so that a rectangle, in nm, fills it."""
        x0, y0, x1, y1 = bounds
        height, width = self.viewer.canvas.size
        camera = self.viewer.scene.camera
        camera.center = (0.0, (y0 + y1) / 2, (x0 + x1) / 2)
        camera.zoom = min(width / max(x1 - x0, _EMPTY), height / max(y1 - y0, _EMPTY))

    def update(self) -> None:
        """Show what comes into the view."""
        if not self.there or self.bounds() == self._seen:
            return
        self.refresh()

    def refresh(self) -> None:
        """Show what comes into the view, in the colors that are chosen now."""
        bounds = self._seen = self.bounds()
        points, outlines = self.scene.points(bounds), self.scene.outlines(bounds)
        self._busy = True
        try:
            self.points.data = points.yx_nm
            self.points.features = points.features
            self.points.face_color = points.colors if len(points.colors) else "white"
            self.outlines.data = []
            if outlines.rings:
                self.outlines.add_polygons(
                    outlines.rings,
                    edge_width=self.scene.edge_nm(bounds, self.viewer.canvas.size[1]),
                    edge_color=outlines.colors,
                    face_color=np.zeros((len(outlines.rings), 4)),
                )
                self.outlines.selected_data = set()
            self.outlines.features = outlines.features
            drawn = self.outlines.feature_defaults.assign(cluster_id=NO_CLUSTER)
            self.outlines.feature_defaults = drawn  # otherwise a shape that a user draws gets the last cluster's
        finally:
            self._busy = False
        self.words = self.scene.said(points, outlines)
        self._said()

    def _moved(self) -> None:
        if self.there:
            self._view_moved()

    def _chosen(self) -> None:
        """A user selected outlines; nothing that this class does to the layer counts as that."""
        if self._busy or not self.outlines.selected_data:
            return
        ids = self.outlines.features["cluster_id"].to_numpy()
        found = ids[[k for k in self.outlines.selected_data if k < len(ids)]]
        if picked := sorted({int(cluster_id) for cluster_id in found[found >= 0]}):  # neither NO_CLUSTER nor NaN
            self._picked(picked)
