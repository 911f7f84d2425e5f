"""What a run shows while it runs: one bar over all of its work on a terminal, plain log lines elsewhere."""

from __future__ import annotations

import logging
import sys
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, TextIO

from tqdm import tqdm

from caml_dask.errors import printable
from caml_dask.io.manifest import Image
from caml_dask.io.run_directory import Run
from caml_dask.pipeline import FIRST, STAGE_NAMED, stages_of

_log = logging.getLogger("caml_dask")
_BETWEEN_TICKS_S = 1.0
_BETWEEN_LINES_S = 15.0
_FEW_IMAGES = 10  # of so many, each stage gets a line
_LEAST_DONE, _LEAST_S = 0.02, 3.0  # share of the work, and time, before an estimate is worth showing
_SMOOTH = 0.3  # weight of the newest estimate of the time left


def observer(run: Run, stream: TextIO = sys.stderr) -> Watch:
    """The right observer for a stream: a bar where it is a terminal. Use it as a context."""
    return Bar(run, stream) if stream.isatty() else Lines(run)


class Watch:
    """Keeps what went wrong, image by image, and how much of the work is done; the base of both observers.

    An image counts by the size of its file, a stage by its effort.

    failed : image_id to the reason, of the images that could not be analyzed
    ended : images that are done or have failed
    """

    def __init__(self, run: Run) -> None:
        self.images, self._run = len(run.images), run
        self.failed: dict[str, BaseException] = {}
        self.ended = 0
        self._share = _shares(run)
        self._stages = stages_of(run.settings)
        self._effort = sum(stage.effort for stage in self._stages)
        self._done: dict[str, float] = {}  # of each image under way or ended, the share of its own work
        self._sum = 0.0  # of all work
        self._units: dict[str, tuple[str, int]] = {}  # of each image under way, its stage and how many units that has
        self._stage = ""
        self._began = time.monotonic()
        self._before: float | None = None  # what was done when the first unit of this process began
        self._left_s: float | None = None
        self._stop = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Watch:
        self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._ticker.is_alive():
            self._ticker.join()

    def stage_started(self, image: Image, stage: str, total: int, pending: int) -> None:
        """A stage of an image begins; what is done of it already counts as done."""
        self._units[image.image_id] = stage, total
        before = sum(earlier.effort for earlier in self._stages[: [each.name for each in self._stages].index(stage)])
        done = STAGE_NAMED[stage].effort * (total - pending) / max(1, total)
        found = self._set(image, (before + done) / self._effort)
        if self._before is not None and not pending:
            self._before += found  # by an earlier process
        self._stage = STAGE_NAMED[stage].title
        if pending and self._before is None:
            self._before, self._began = self.done, time.monotonic()

    def unit_done(self, image: Image, record: dict[str, Any]) -> None:
        """A unit is done; of a small image it is all of its stages."""
        if record.get("fused"):
            self._set(image, 1.0)
            return
        stage, total = self._units.get(image.image_id, (record["stage"], 1))
        share = STAGE_NAMED[record["stage"]].effort / self._effort / (total if stage == record["stage"] else 1)
        self._set(image, self._done[image.image_id] + share)

    def image_done(self, image: Image) -> None:
        """All stages of an image are done."""
        self._end(image)

    def image_failed(self, image: Image, error: BaseException) -> None:
        """An image cannot be analyzed; its reason is kept."""
        if image.image_id not in self.failed:
            self._end(image)
        self.failed[image.image_id] = error
        self._run.note_failure(image, error)
        for note in getattr(error, "__notes__", ()):
            _log.debug("%s", note)

    @property
    def done(self) -> float:
        """Share of all work that is done, 0 to 1."""
        return min(1.0, self._sum)

    def left_s(self) -> float | None:
        """Seconds left at the rate of this process, smoothed; None while that is a guess."""
        gone, before = time.monotonic() - self._began, self._before or 0.0
        if self.done - before < _LEAST_DONE or gone < _LEAST_S:
            return None
        now = gone * (1 - self.done) / (self.done - before)
        since = self._left_s if self._left_s is not None else now
        self._left_s = (1 - _SMOOTH) * max(0.0, since - _BETWEEN_TICKS_S) + _SMOOTH * now
        return self._left_s

    def said(self) -> str:
        """The present stage in words, and of several images how many have ended."""
        images = f", {self.ended} of {self.images} images" if self.images > 1 else ""
        return f"{self._stage or FIRST.title}{images}"

    def show(self) -> None:
        """Called every second while the run goes on."""

    def _end(self, image: Image) -> None:
        self.ended += 1
        self._units.pop(image.image_id, None)
        begun = image.image_id in self._done
        found = self._set(image, 1.0)
        if self._before is not None and not begun:
            self._before += found

    def _set(self, image: Image, done: float) -> float:
        """Note how much of an image is done; how much more of all work that is than before."""
        more = self._share[image.image_id] * (done - self._done.get(image.image_id, 0.0))
        self._done[image.image_id] = done
        self._sum += more
        return more

    def _tick(self) -> None:
        self.show()
        while not self._stop.wait(_BETWEEN_TICKS_S):
            self.show()


def _shares(run: Run) -> dict[str, float]:
    """Share of each image in the work of a run, by the sizes of the files; channels of a file share it evenly."""
    contents = [run.manifest["inputs"].get(image.source) for image in run.images]
    sizes = [1.0 if content is None else 1.0 + content[0] for content in contents]
    total = sum(sizes)
    return {image.image_id: size / total for image, size in zip(run.images, sizes, strict=True)}


class Lines(Watch):
    """Log lines: one a stage for few images, one an image for many, and one in between when it takes long.

    shown : whether a terminal shows the same; the lines then say so, and are for other logs
    """

    def __init__(self, run: Run, shown: bool = False) -> None:
        super().__init__(run)
        self._said = time.monotonic()
        self._extra = {"shown": shown}

    def __enter__(self) -> Watch:
        self._say("analyzing %d image%s", self.images, "s"[: self.images != 1])
        return super().__enter__()

    def stage_started(self, image: Image, stage: str, total: int, pending: int) -> None:
        super().stage_started(image, stage, total, pending)
        if self.images <= _FEW_IMAGES and pending:
            self._say("%s: %s (%.0f %% of all work done)", image.image_id, STAGE_NAMED[stage].title, 100 * self.done)

    def image_done(self, image: Image) -> None:
        super().image_done(image)
        self._say("%s: done (%d of %d)", image.image_id, self.ended, self.images)

    def image_failed(self, image: Image, error: BaseException) -> None:
        super().image_failed(image, error)
        _log.error("%s: failed: %s", image.image_id, error, extra=self._extra)

    def show(self) -> None:
        if time.monotonic() - self._said > _BETWEEN_LINES_S:
            left = self.left_s()
            ending = "" if left is None else f", about {_clock(left)} left"
            self._say("%.0f %% of all work done: %s%s", 100 * self.done, self.said(), ending)

    def _say(self, text: str, *values: object) -> None:
        self._said = time.monotonic()
        _log.info(text, *values, extra=self._extra)


class Bar(Lines):
    """One bar over all work, with the stage in words and a clock that moves; other log lines are written above it."""

    def __init__(self, run: Run, stream: TextIO) -> None:
        super().__init__(run, shown=True)
        self._stream = stream
        self._drawn = threading.Lock()
        self._streams: list[tuple[logging.StreamHandler[Any], Any]] = []

    def __enter__(self) -> Watch:
        self._bar = tqdm(
            total=100,
            file=self._stream,
            bar_format="{percentage:3.0f} % |{bar:24}| {desc}",
            leave=True,
            dynamic_ncols=True,
        )
        above = _Above(self._stream)
        for handler in _log.handlers:
            if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
                self._streams.append((handler, handler.setStream(above)))
        try:
            return super().__enter__()
        except BaseException:  # an interrupt before the run has begun
            self.__exit__(None, None, None)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self.show()
        self._bar.close()
        for handler, stream in self._streams:
            if stream is not None:
                handler.setStream(stream)

    def image_failed(self, image: Image, error: BaseException) -> None:
        super().image_failed(image, error)
        with suppress(OSError, ValueError):  # a terminal that is gone does not end the run
            tqdm.write(printable(f"{image.image_id}: failed: {error}"), file=self._stream)

    def show(self) -> None:
        super().show()
        left = self.left_s() if self.ended < self.images else None
        ending = "" if left is None else f", about {_clock(left)} left"
        with self._drawn:
            self._bar.n = 100 * self.done
            self._bar.set_description_str(f"{self.said()}, {_clock(time.monotonic() - self._began)} elapsed{ending}")


class _Above:
    """A stream whose lines are written above the bar."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        tqdm.write(text, file=self._stream, end="")

    def flush(self) -> None:
        self._stream.flush()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
