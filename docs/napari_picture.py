"""Draw `_static/napari.png`: a window of napari with a simulated cell and the panel of clusters.

Without a display: ``xvfb-run -a -s "-screen 0 1600x1000x24" python docs/napari_picture.py``.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

import caml_dask
from caml_dask.runs.session import execute
from caml_dask.settings import Settings

DOCS = Path(__file__).parent
SIZE = 1200, 760
COLORS = 128


def settle(seconds: float = 1.5) -> None:
    """Let napari draw."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.01)


def main(path: Path) -> None:
    """Analyze, open, select, look closer, and save what is seen."""
    os.environ["NAPARI_CONFIG"] = ""  # as napari looks to who has just installed it
    sys.path.insert(0, str(DOCS / "_ext"))
    import napari
    import npe2
    from pictures import lay_out

    manager = npe2.PluginManager.instance()
    manager.discover()
    if "caml_dask" not in manager:
        manifest = Path(caml_dask.__file__).parent / "napari_plugin/napari.yaml"
        manager.register(npe2.PluginManifest.from_file(manifest))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        lay_out(folder)
        execute([folder / "cell_a.csv", folder / "cell_b.csv"], folder / "results", Settings(test=False), workers=0)
        viewer = napari.Viewer(show=True)
        viewer.window.resize(*SIZE)
        viewer.open(str(folder / "results"), plugin="caml_dask")
        _, panel = viewer.window.add_plugin_dock_widget("caml_dask", "Clusters")
        settle()
        x0, y0, x1, y1 = panel.follower.scene.image.bounds_nm
        x, y, half = (x0 + x1) / 2, (y0 + y1) / 2, (y1 - y0) / 20
        panel.follower.look_at((x - half, y - half, x + half, y + half))
        areas = panel.follower.scene.clusters.values("area_nm2")
        panel.low.setText(f"{sorted(areas)[len(areas) // 2]:.0f}")
        panel.low.editingFinished.emit()
        settle()
        pixels = viewer.screenshot(canvas_only=False, flash=False)
        viewer.close()
    picture = Image.fromarray(pixels[:, :, :3])
    picture.quantize(COLORS, dither=Image.Dither.NONE).save(path, "PNG", optimize=True)


if __name__ == "__main__":
    main(DOCS / "_static" / "napari.png")
