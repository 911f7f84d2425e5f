"""What a run says while it runs: a bar a stage on a terminal, plain log lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

from tqdm import tqdm

from caml_dask.io.run_directory import Image
from caml_dask.pipeline import STAGES

_log = logging.getLogger("caml_dask")
_SECONDS_BETWEEN_LINES = 10.0


Note = Callable[[Image, BaseException], None]
"""What is done with the reason of a failure."""


def observer(images: int, note: Note, stream: TextIO = sys.stderr) -> Failures:
    """The right observer for a stream: bars where it is a terminal."""
    return Bars(images, note, stream) if stream.isatty() else Lines(images, note)


class Failures:
    """Keeps what went wrong, image by image; the base of both observers."""

    def __init__(self, images: int, note: Note) -> None:
        self.images, self._note = images, note
        self.failed: dict[str, BaseException] = {}
        self.ended = 0

    def stage_started(self, image: Image, stage: str, total: int, pending: int) -> None:
        """A stage of an image begins."""

    def unit_done(self, image: Image, record: dict[str, Any]) -> None:
        """A unit is done."""

    def image_done(self, image: Image) -> None:
        """All stages of an image are done."""
        self.ended += 1

    def image_failed(self, image: Image, error: BaseException) -> None:
        """An image cannot be analysed; its reason is kept."""
        self.ended += 1
        self.failed[image.image_id] = error
        self._note(image, error)
        for note in getattr(error, "__notes__", ()):
            _log.debug("%s", note)


class Lines(Failures):
    """Log lines: one a stage for few images, one an image for many, and progress in between when it takes long."""

    def __init__(self, images: int, note: Note) -> None:
        super().__init__(images, note)
        self._left: dict[tuple[str, str], int] = {}
        self._said = time.monotonic()

    def stage_started(self, image: Image, stage: str, total: int, pending: int) -> None:
        self._left[image.image_id, stage] = pending
        if self.images <= 10 and pending:
            done = f", {total - pending} done before" if pending < total else ""
            _log.info("%s: %s, %d to do%s", image.image_id, stage, pending, done)

    def unit_done(self, image: Image, record: dict[str, Any]) -> None:
        stage = next((s for s in (record["stage"], STAGES[0].name) if (image.image_id, s) in self._left), None)
        if stage is None:
            return
        self._left[image.image_id, stage] -= 1
        if self._left[image.image_id, stage] and time.monotonic() - self._said > _SECONDS_BETWEEN_LINES:
            self._said = time.monotonic()
            _log.info("%s: %s, %d left", image.image_id, stage, self._left[image.image_id, stage])

    def image_done(self, image: Image) -> None:
        super().image_done(image)
        _log.info("%s: done (%d of %d)", image.image_id, self.ended, self.images)

    def image_failed(self, image: Image, error: BaseException) -> None:
        super().image_failed(image, error)
        _log.error("%s: failed: %s", image.image_id, error)


class Bars(Failures):
    """A bar a stage, with the time left; and one of the images where there are several."""

    def __init__(self, images: int, note: Note, stream: TextIO) -> None:
        super().__init__(images, note)
        self._stream = stream
        self._bars: dict[str, tqdm] = {}
        self._whole = self._bar("images", images) if images > 1 else None

    def _bar(self, name: str, total: int) -> tqdm:
        form = "{desc:<9}{percentage:3.0f} % |{bar:30}| {n_fmt}/{total_fmt}, {elapsed} gone, {remaining} left"
        return tqdm(total=total, desc=name, file=self._stream, bar_format=form, leave=True)

    def stage_started(self, image: Image, stage: str, total: int, pending: int) -> None:
        if stage not in self._bars:
            self._bars[stage] = self._bar(stage, 0)
        bar = self._bars[stage]
        bar.total += total
        bar.update(total - pending)
        bar.refresh()

    def unit_done(self, image: Image, record: dict[str, Any]) -> None:
        stage = STAGES[0].name if record.get("fused") else record["stage"]
        self._bars[stage].update()

    def image_done(self, image: Image) -> None:
        super().image_done(image)
        self._end_of_image()

    def image_failed(self, image: Image, error: BaseException) -> None:
        super().image_failed(image, error)
        tqdm.write(f"{image.image_id}: failed: {error}", file=self._stream)
        self._end_of_image()

    def _end_of_image(self) -> None:
        if self._whole is not None:
            self._whole.update()
        if self.ended == self.images:
            for bar in (*self._bars.values(), *([self._whole] if self._whole else [])):
                bar.close()
