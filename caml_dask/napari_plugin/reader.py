"""What napari calls to open a folder: that of a run, of a screening, or of one image of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from caml_dask.errors import CamlError, OutputError
from caml_dask.io.run_directory import OUTPUT_MARKS, is_image_id, is_output_directory
from caml_dask.napari_plugin.scene import LayerData, Scene
from caml_dask.napari_plugin.scratch import let_go
from caml_dask.results.image import ImageResult
from caml_dask.results.run import RunResult, open_run


def reader_of(path: str | list[str]) -> Callable[[str | list[str]], list[LayerData]] | None:
    """The reader of a folder.

    Parameters
    ----------
    path : str or list of str
        What a user opens.

    Returns
    -------
    callable or None
        Gives the layers; None where this is not the folder of a run, of a screening, or of an image of a run.
    """
    folder = Path(path if isinstance(path, str) else path[0])
    if len([path] if isinstance(path, str) else path) > 1 or (run_of(folder) is None):
        return None
    return lambda _: layers_of(folder)


def run_of(folder: Path) -> Path | None:
    """The folder of the run or screening that a folder is, or is an image of; None where it is none."""
    if is_output_directory(folder):
        return folder
    if is_image_id(folder.name) and is_output_directory(folder.absolute().parent):
        return folder.absolute().parent
    return None


def image_in(folder: Path) -> tuple[RunResult, ImageResult]:
    """The image that a folder is opened at: its own, or the first one that is done.

    Parameters
    ----------
    folder : Path
        The folder of a run, of a screening, or of an image of a run.

    Raises
    ------
    OutputError
        The folder holds something else, the run is not finished, or no image of it, or not this one, could be
        analyzed.
    StoreError
        The summary is damaged.
    """
    root = run_of(folder)
    if root is None or not any((root / mark).is_dir() for mark in OUTPUT_MARKS[:2]):
        raise OutputError(f"{folder} holds no run: open what `caml-dask run` or `caml-dask screen` wrote to --out")
    run = open_run(root)
    name = None if root == folder else folder.name
    if name is not None and name in run.failed:
        raise OutputError(f"{name} could not be analyzed: {run.failed[name]}")
    if not run.images:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(run.failed.items())[:3])
        raise OutputError(f"no image of {root} could be analyzed: {reasons}")
    return run, run.images[name if name is not None else 0]


def layers_of(folder: Path) -> list[LayerData]:
    """The layers of an image; in a window of napari, they follow the view, and the panel of clusters is opened.

    Parameters
    ----------
    folder : Path
        The folder of a run, of a screening, or of an image of a run.

    Raises
    ------
    CamlError
        What was opened cannot be shown, and why.
    """
    from napari import current_viewer

    run, image = image_in(folder)
    try:
        scene = Scene(image)
    except CamlError as error:
        let_go(error)
        raise
    if (viewer := current_viewer()) is not None:
        from caml_dask.napari_plugin.panel import expect

        expect(viewer, scene, run)
    return scene.layers(followed=viewer is not None)
