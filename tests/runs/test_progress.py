"""What a run shows: one bar with a clock that moves on a terminal, lines in words elsewhere."""

from __future__ import annotations

import fcntl
import itertools
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from functools import partial

import pytest
from support import simulated_table

from caml_dask.io.manifest import Image
from caml_dask.pipeline import WINDOW_STAGES
from caml_dask.runs import progress
from caml_dask.runs.session import begun
from caml_dask.settings import Settings

INTERNAL = re.compile(r"\b(vote|number|scatter|gather)\b")


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("input")
    return [simulated_table(folder / f"cell_{side}.csv", side_nm=side) for side in (3000.0, 6000.0)]


def command(tables, out, *options):
    names = [str(table) for table in tables]
    return [
        sys.executable,
        "-m",
        "caml_dask",
        "run",
        *names,
        "--out",
        str(out),
        "--workers",
        "0",
        "--no-test",
        *options,
    ]


class Terminal:
    """A command on a terminal of 120 columns; what it shows is kept."""

    def __init__(self, arguments):
        self._leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        # Where the tests run in the background of a shell, children would inherit that interrupts are ignored.
        heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        self.process = subprocess.Popen(arguments, stderr=follower, stdout=subprocess.DEVNULL, preexec_fn=heard)
        os.close(follower)
        self.shown = ""

    def until(self, text=None):
        """Read up to a text, or to the end."""
        while text is None or text not in self.shown:
            try:
                self.shown += os.read(self._leader, 1 << 16).decode(errors="replace")
            except OSError:  # the end of a terminal is an error on Linux
                break
        return self.shown

    def end(self):
        self.until()
        os.close(self._leader)
        return self.process.wait(timeout=60)


def test_a_terminal_shows_one_bar_with_the_stage_in_words(tables, tmp_path):
    terminal = Terminal(command(tables, tmp_path / "out", "--max-localizations", "300"))
    assert terminal.end() == 0
    bars = [line for line in re.split(r"[\r\n]+", terminal.shown) if "%" in line]
    assert all(re.match(r"(\x1b\[A)*\s*\d+ % \|", line) for line in bars)
    assert "\x1b[A" not in terminal.shown  # a second bar would move the cursor up
    assert not INTERNAL.search(terminal.shown)
    assert "writing clusters and picture, 2 of 2 images, " in terminal.shown and "reading, " in terminal.shown
    assert bars[-1].strip().startswith("100 %") and "? left" not in terminal.shown
    percents = [int(re.match(r"\D*(\d+) %", line)[1]) for line in bars]
    assert percents == sorted(percents)


def test_an_interrupt_is_told_on_a_line_of_its_own(tables, tmp_path):
    terminal = Terminal(command(tables, tmp_path / "out", "--max-localizations", "40"))
    terminal.until("2 images, 0:0")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() == 130
    assert re.search(r"\n(\x1b\[\S+)?interrupted; what is done is kept: continue with --resume", terminal.shown)


def test_elsewhere_lines_say_the_stage_in_words(tables, tmp_path):
    done = subprocess.run(
        command(tables, tmp_path / "out", "--max-localizations", "300"), capture_output=True, text=True, check=True
    )
    assert "\r" not in done.stderr and not INTERNAL.search(done.stderr)
    first, *others = done.stderr.splitlines()
    assert first.endswith("analyzing 2 images")
    assert any("exchanging messages, round 2 of 4 (" in line and "% of all work done)" in line for line in others)
    assert done.stderr.count("done (") == 2


@pytest.fixture
def watch(tables, tmp_path, monkeypatch):
    """An observer of a run that is never begun, by a clock of the test's own."""
    clock = itertools.count(0.0, 1.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with begun(tables, tmp_path / "run", Settings("XPILJZ", test=False), resume=False, overwrite=False) as run:
        return progress.Watch(run)


def test_work_counts_by_the_size_of_files_and_the_effort_of_stages(watch):
    small, large = (Image(name) for name in ("0001_cell_3000_0", "0002_cell_6000_0"))
    assert set(watch._share) == {small.image_id, large.image_id}
    assert 3 < watch._share[large.image_id] / watch._share[small.image_id] < 5
    effort = 0
    for stage in WINDOW_STAGES:
        watch.stage_started(large, stage.name, 2, 2)
        assert watch.done == pytest.approx(watch._share[large.image_id] * effort / 100, abs=0.02)
        for _ in range(2):
            watch.unit_done(large, {"stage": stage.name})
        effort += stage.effort
    watch.image_done(large)
    watch.stage_started(small, "read", 1, 1)
    watch.unit_done(small, {"stage": "publish", "fused": True})
    watch.image_done(small)
    assert watch.done == pytest.approx(1.0) and watch.ended == 2


def test_time_left_is_shown_once_it_is_no_guess_and_then_holds(watch):
    """Units of equal effort, one a tick: the estimate settles near the true time left and never jumps."""
    image = Image("0002_cell_6000_0")
    watch.stage_started(image, "classify", 100, 100)
    assert watch.left_s() is None
    shown = []
    for _ in range(90):
        watch.unit_done(image, {"stage": "classify"})
        if (left := watch.left_s()) is not None:
            shown.append(left)
    assert len(shown) > 60
    steps = [b - a for a, b in itertools.pairwise(shown)]
    assert max(map(abs, steps)) < 0.1 * shown[0]


def test_what_was_done_before_does_not_hurry_the_estimate(watch):
    """Nine tenths of a stage were done by an earlier process: its rate is not taken for that of this one."""
    image = Image("0002_cell_6000_0")
    watch.stage_started(image, "measure", 100, 90)
    for _ in range(10):
        progress.time.monotonic()
        watch.unit_done(image, {"stage": "measure"})
    fresh = watch.left_s()
    slower = 11 * (1 - watch.done) / watch.done  # as if all that is done had been done just now
    assert fresh > 1.5 * slower
