"""What commands log, where, and what they say when they are told to end: in processes of their own."""

from __future__ import annotations

import json
import logging
import re
import signal
import subprocess
import sys
import time
from datetime import datetime

import pytest
from click.testing import CliRunner
from support import done_records

from caml_dask.cli import main
from caml_dask.executors.deployment import interrupts

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S")


@pytest.fixture(autouse=True)
def before():
    """Handlers and signals as they were: commands that are called in this process change them."""
    log, handler = logging.getLogger("caml_dask"), signal.getsignal(signal.SIGTERM)
    handlers = list(log.handlers)
    yield
    for opened in set(log.handlers) - set(handlers):
        opened.close()
    log.handlers[:] = handlers
    signal.signal(signal.SIGTERM, handler)


def run(*arguments):
    command = [sys.executable, "-m", "caml_dask", "run", *map(str, arguments), "--no-test"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_lines_have_dates_and_a_file_holds_how_it_ended(table, tmp_path):
    log = tmp_path / "log"
    bad = tmp_path / "bad.csv"
    bad.write_text("nonsense")
    process = run(table, bad, "-o", tmp_path / "out", "-j", "0", "--log-file", log)
    _, shown = process.communicate(timeout=300)
    assert process.returncode == 3, shown
    assert all(LINE.match(line) for line in shown.splitlines())
    lines = log.read_text().splitlines()
    assert all(LINE.match(line) for line in lines)
    assert "caml-dask 0." in lines[0] and "--log-file" in lines[0] and lines[-1].endswith("ended with exit code 3")
    assert set(shown.splitlines()) <= set(lines), "the file holds what is shown, and more"
    assert any("bad: failed: " in line for line in lines)


def test_json_lines_are_objects_with_time_and_level(tmp_path):
    log = tmp_path / "log"
    for _ in range(2):
        options = ["--log-format", "json", "--log-file", str(log)]
        found = CliRunner().invoke(main, ["run", str(tmp_path / "a\nb.csv"), "-o", str(tmp_path / "out"), *options])
        assert found.exit_code == 2
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(records) == 6, "a second call adds its lines"
    assert {tuple(record) for record in records} == {("time", "level", "message", "process")}
    assert [record["level"] for record in records[:3]] == ["info", "error", "info"]
    assert "a\\x0ab.csv" in records[1]["message"] or "a\nb.csv" in records[1]["message"]
    assert datetime.fromisoformat(records[0]["time"]).tzinfo is not None
    shown = [json.loads(line) for line in found.stderr.splitlines()]
    assert [record["message"] for record in shown][-2:] == [record["message"] for record in records[-2:]]


def test_a_log_file_that_cannot_be_written_is_refused(table, tmp_path):
    found = CliRunner().invoke(
        main, ["run", str(table), "-o", str(tmp_path / "out"), "--log-file", str(tmp_path / "no" / "log")]
    )
    assert found.exit_code == 2 and "no/log cannot be written: No such file" in found.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("workers", "said"), [(0, []), (1, ["SIGTERM: the workers of this machine end"])])
def test_sigterm_says_what_it_did(table, tmp_path, workers, said):
    out = tmp_path / "out"
    process = run(table, "-o", out, "-j", workers, "--max-localizations", "300")
    while len(done_records(out)) < 3:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    _, shown = process.communicate(timeout=120)
    assert process.returncode == 130
    assert shown.endswith("interrupted by SIGTERM; what is done is kept: continue with --resume\n")
    assert all(text in shown for text in said) and "Traceback" not in shown


def test_the_signal_that_was_kept_is_named():
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"), interrupts.kept():
        signal.raise_signal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt) as interrupt, interrupts.kept():
        signal.raise_signal(signal.SIGINT)
    assert interrupt.value.args == ()
