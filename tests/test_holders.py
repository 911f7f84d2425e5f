"""Two machines and one directory where locks hold on one machine only: processes without flock, of other host names."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from caml_dask import holders
from caml_dask.errors import OutputError
from caml_dask.locks import holder, locked

# A process of the machine argv[1]: it tries for the directory argv[2], and holds it until its input ends.
MACHINE = """
import fcntl, socket, sys
from pathlib import Path
host, root, shared = sys.argv[1], Path(sys.argv[2]), sys.argv[3:] == ["shared"]
socket.gethostname = lambda: host
fcntl.flock = lambda *_: None
from caml_dask import holders
from caml_dask.errors import OutputError
from caml_dask.locks import locked
holders.BEAT_S, holders.SILENT_S, holders._BETWEEN_LOOKS_S = 0.2, 2.0, 0.05
try:
    with locked(root, ".here", "thing", shared):
        print("held", flush=True)
        sys.stdin.read()
except OutputError as error:
    print(error, flush=True)
"""


@pytest.fixture
def machine(tmp_path):
    """Starts a process of a machine; what is left of them is killed."""
    started = []

    def start(host, *shared):
        command = [sys.executable, "-c", MACHINE, host, str(tmp_path), *shared]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        started.append(subprocess.Popen(command, text=True, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


@pytest.fixture
def hurried(monkeypatch):
    """Signs of life come, and are missed, sooner."""
    for name, seconds in (("BEAT_S", 0.2), ("SILENT_S", 2.0), ("_BETWEEN_LOOKS_S", 0.05)):
        monkeypatch.setattr(holders, name, seconds)


def said(process):
    return process.stdout.readline().strip()


def left(root):
    return sorted(path.name for path in (root / ".here").glob("*.holder"))


def test_the_second_machine_is_refused_while_the_first_lives(machine, tmp_path, hurried):
    first = machine("one")
    assert said(first) == "held"
    for second in (machine("two"), machine("two", "shared")):
        assert f"is in use by process {first.pid} on one: wait for it" in said(second)
        second.wait(timeout=30)
    with pytest.raises(OutputError, match=f"process {first.pid} on one"), locked(tmp_path, ".here", "thing"):
        pass
    assert str(holder(tmp_path, ".here")) == f"process {first.pid} on one"
    assert len(left(tmp_path)) == 1
    first.communicate(timeout=30)
    assert said(machine("two")) == "held"


def test_one_that_was_killed_is_followed_and_named(machine, tmp_path, hurried, caplog):
    first = machine("one")
    assert said(first) == "held"
    first.kill()
    first.wait()
    begun = time.monotonic()
    with caplog.at_level(logging.INFO, "caml_dask"), locked(tmp_path, ".here", "thing"):
        assert 2.0 < time.monotonic() - begun < 20.0
        assert len(left(tmp_path)) == 1
        assert holder(tmp_path, ".here").host == socket.gethostname()
    assert f"process {first.pid} on one, which held" in caplog.text and "has been silent for 2 s" in caplog.text
    assert left(tmp_path) == []


def test_one_of_this_machine_that_was_killed_is_not_waited_for(machine, tmp_path):
    first = machine(socket.gethostname())
    assert said(first) == "held"
    first.kill()
    first.wait()
    begun = time.monotonic()
    with locked(tmp_path, ".here", "thing"):
        assert time.monotonic() - begun < 5.0
        assert len(left(tmp_path)) == 1


def test_those_who_share_it_keep_out_who_wants_it_alone(machine, tmp_path, hurried):
    tasks = [machine(host, "shared") for host in ("one", "two", "one")]
    assert [said(task) for task in tasks] == ["held"] * 3
    assert "in use by process" in said(machine("three"))
    for task in tasks:
        task.communicate(timeout=30)
    assert said(machine("three")) == "held"


def test_of_those_who_come_at_once_no_two_hold_it(machine, tmp_path, hurried):
    for _ in range(4):
        racers = [machine(f"machine-{i}") for i in range(3)]
        told = [said(racer) for racer in racers]
        assert told.count("held") <= 1
        assert all("in use by process" in text for text in told if text != "held")
        for racer in racers:
            racer.communicate(timeout=30)


def test_status_on_another_machine_knows_a_dead_one_whatever_its_clock(machine, tmp_path, hurried):
    first = machine("one")
    assert said(first) == "held"
    (mark,) = (tmp_path / ".here").glob("*.holder")
    os.utime(mark, (1e9, 1e9))
    assert holder(tmp_path, ".here").process == first.pid
    first.kill()
    first.wait()
    os.utime(mark, (2e9, 2e9))  # of a clock that is far ahead
    assert holder(tmp_path, ".here") is None


def test_one_that_another_took_for_dead_is_interrupted(tmp_path, hurried, caplog):
    with pytest.raises(KeyboardInterrupt), locked(tmp_path, ".here", "thing"):
        for mark in (tmp_path / ".here").glob("*.holder"):
            mark.unlink()
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            time.sleep(20.0)
        finally:
            signal.signal(signal.SIGINT, before)
    assert "another process took the directory over" in caplog.text


def test_what_is_no_holders_file_is_waited_for_and_removed(tmp_path, hurried):
    (tmp_path / ".here").mkdir()
    (tmp_path / ".here" / "1-x.holder").write_text("nonsense")
    with locked(tmp_path, ".here", "thing"):
        assert len(left(tmp_path)) == 1
