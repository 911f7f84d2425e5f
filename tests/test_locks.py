"""Locks: one process at a time, who holds it is named, and the lock of a process that died is free."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from caml_dask.errors import OutputError, StoreError
from caml_dask.locks import held, holder, locked

RACES, RACERS = 50, 4


def test_what_a_link_leads_to_is_neither_truncated_nor_locked(tmp_path):
    """As another user could leave it in a folder that both may write to."""
    precious = tmp_path / "precious"
    precious.write_text("of someone")
    (tmp_path / "out" / ".here").mkdir(parents=True)
    (tmp_path / "out" / ".here" / "lock").symlink_to(precious)
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / ".here").symlink_to(tmp_path / "out" / ".here")
    for root, name in (("out", "lock"), ("linked", ".here")):
        with (
            pytest.raises(OutputError, match=f"{name} is a link, which things never have"),
            locked(tmp_path / root, ".here", "thing"),
        ):
            pass
    with pytest.raises(StoreError, match="lock is a link"), held(tmp_path / "out" / ".here" / "lock", 1.0):
        pass
    assert holder(tmp_path / "out", ".here") is None
    assert precious.read_text() == "of someone"
    with precious.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def race(folder, barrier, seen):
    """Try for each of the directories at the same moment as the others; hold it until all have tried."""
    for number in range(RACES):
        barrier.wait()
        try:
            with locked(folder / str(number), ".here", "thing"):
                seen.put((number, os.getpid(), "held"))
                barrier.wait()
        except OutputError as error:
            seen.put((number, os.getpid(), str(error)))
            barrier.wait()


def test_fifty_races_have_one_winner_each_and_the_others_name_it(tmp_path):
    """In every other race the lock of a process that died stands there, whose name must not be given."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for number in range(0, RACES, 2):
        (tmp_path / str(number) / ".here").mkdir(parents=True)
        (tmp_path / str(number) / ".here" / "lock").write_text(f"process {ended.pid} on {socket.gethostname()}")
    context = multiprocessing.get_context("fork")
    barrier, seen = context.Barrier(RACERS), context.Queue()
    racers = [context.Process(target=race, args=(tmp_path, barrier, seen)) for _ in range(RACERS)]
    for racer in racers:
        racer.start()
    told = [seen.get(timeout=300) for _ in range(RACES * RACERS)]
    for racer in racers:
        racer.join(timeout=300)
        assert racer.exitcode == 0
    assert sorted(number for number, _, said in told if said == "held") == list(range(RACES))
    winners = {number: process for number, process, said in told if said == "held"}
    for number, _, said in told:
        assert said == "held" or f"in use by process {winners[number]} on {socket.gethostname()}" in said


def test_who_comes_second_waits_for_the_name_of_the_first(tmp_path):
    """Which may have the lock, and the name of one that died still stand in it."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (tmp_path / ".here").mkdir()
    lock = tmp_path / ".here" / "lock"
    lock.write_text(f"process {ended.pid} on {socket.gethostname()}")
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        threading.Timer(0.2, lock.write_text, [f"process {os.getpid()} on {socket.gethostname()}"]).start()
        with (
            pytest.raises(OutputError, match=f"in use by process {os.getpid()} on"),
            locked(tmp_path, ".here", "thing"),
        ):
            pass


def test_the_holder_is_told_from_the_file_alone_and_forgotten_afterwards(tmp_path):
    assert holder(tmp_path, ".here") is None
    with locked(tmp_path / "a", ".here", "thing"):
        found = holder(tmp_path / "a", ".here")
        assert (found.process, found.host, found.ended) == (os.getpid(), socket.gethostname(), False)
    assert holder(tmp_path / "a", ".here") is None


def test_a_holder_that_was_killed_is_none(tmp_path):
    code = "import sys, time; from pathlib import Path; from caml_dask.locks import locked\n"
    code += "with locked(Path(sys.argv[1]), '.here', 'thing'):\n print(flush=True)\n time.sleep(100)"
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    process.stdout.readline()
    assert holder(tmp_path, ".here").process == process.pid
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert holder(tmp_path, ".here") is None
    (tmp_path / ".here" / "lock").write_text(f"process {process.pid} on another-machine")  # without a sign of life
    assert holder(tmp_path, ".here") is None
    with locked(tmp_path, ".here", "thing"):
        assert holder(tmp_path, ".here").process == os.getpid()


def test_who_holds_it_with_others_is_not_taken_for_one_who_died(tmp_path):
    (tmp_path / ".here").mkdir()
    (tmp_path / ".here" / "lock").write_text("process 4711 on another-machine")
    with locked(tmp_path, ".here", "thing", shared=True):
        assert holder(tmp_path, ".here") is None


def test_a_directory_that_holds_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.docx").write_text("")
    with (
        pytest.raises(OutputError, match=r"not empty \(thesis.docx\) and holds no thing"),
        locked(tmp_path, ".h", "thing"),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.docx"]
