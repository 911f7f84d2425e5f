"""What is done when an image is: its input is removed where it was brought here, its results are copied."""

from __future__ import annotations

from collections import Counter
from typing import Any

from caml_dask.errors import InputError
from caml_dask.executors.interface import Observer
from caml_dask.io.manifest import Image
from caml_dask.io.remote.inputs import named_after
from caml_dask.io.run_directory import Run
from caml_dask.runs.bringing import remove_brought
from caml_dask.runs.copying import Copies


class Attended:
    """An observer that hands on what it is told, and attends to images that are done.

    copies : where finished images are copied to; None for nowhere
    """

    def __init__(self, run: Run, observer: Observer, copies: Copies | None):
        self._observer, self._copies = observer, copies
        self._left = Counter(image.url for image in run.images)

    def stage_started(self, image: Image, stage: str, total: int, pending: int) -> None:
        """A stage of an image begins."""
        self._observer.stage_started(image, stage, total, pending)

    def unit_done(self, image: Image, record: dict[str, Any]) -> None:
        """A unit is done."""
        self._observer.unit_done(image, record)

    def image_done(self, image: Image) -> None:
        """All stages of an image are done; a file that was brought here goes with the last of its channels."""
        self._observer.image_done(image)
        self._left[image.url] -= 1
        if not self._left[image.url]:
            remove_brought(image)
        if self._copies is not None:
            self._copies.send(image)

    def image_failed(self, image: Image, error: BaseException) -> None:
        """An image cannot be analyzed; the message names the URL in place of the file that was brought here."""
        if image.url is not None and isinstance(error, InputError):
            error = named_after(image.url, image.path, error)
        self._observer.image_failed(image, error)
