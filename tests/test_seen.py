"""Machines that remember what they did not find: no name is looked up before another machine makes it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from late_names import Machine
from support import result_tables, same

from caml_dask import seen
from caml_dask.runs.job_array import finish, plan, run_share
from caml_dask.runs.session import execute
from caml_dask.screening.status import status_of
from caml_dask.seen import awaited, names_in, stands
from caml_dask.settings import Settings

LONG_S = 600.0
TILED = Settings("XPILJZ", 300, test=False)


@pytest.fixture(scope="module")
def wanted(table, tmp_path_factory):
    """The tables of a run in one process on one tile."""
    out = tmp_path_factory.mktemp("wanted") / "out"
    execute([table], out, Settings("XPILJZ", test=False), workers=0)
    return result_tables(out)


@pytest.fixture
def two(tmp_path):
    """Two machines that see tmp_path, and the names that exist and were taken for missing."""
    hidden = []
    return [Machine(tmp_path, LONG_S, hidden.append) for _ in range(2)], hidden


def test_the_double_hides_what_was_looked_up_too_early(two, tmp_path):
    (one, other), hidden = two
    name = tmp_path / "folder" / "name"
    with one:
        assert not name.exists()
    with other:
        name.parent.mkdir()
        name.write_text("x")
        assert name.exists()
    with one:
        assert not name.exists() and not name.parent.is_dir()
        assert hidden == [str(name.parent)] * 2
        name.parent.mkdir(exist_ok=True)
        assert name.exists()


def test_arrays_alternate_between_machines_that_status_watches_from(two, table, wanted, tmp_path):
    machines, hidden = two
    out = tmp_path / "out"
    with machines[0]:
        stages = plan([table], out, TILED, resume=False, overwrite=False)
    for number, stage in enumerate(stages):
        for machine in machines:
            with machine:
                assert status_of(out)["failed"] == 0
        for index in range(2):
            with machines[(number + index) % 2]:
                assert run_share(out, stage, index, 2) == 0
    with machines[1]:
        assert finish(out).exit_code == 0
    assert same(result_tables(out), wanted)
    assert hidden == []


def test_a_run_that_lost_files_is_resumed_on_another_machine(two, table, wanted, tmp_path):
    machines, hidden = two
    out = tmp_path / "out"
    with machines[0]:
        stages = plan([table], out, TILED, resume=False, overwrite=False)
        for stage in stages[:6]:
            assert run_share(out, stage, 0, 1) == 0
        assert finish(out).exit_code == 4
    for path in sorted((out / ".run" / "0001_field" / "labels").rglob("*.arrow"))[:2]:
        path.unlink()
    with machines[1]:
        assert plan([table], out, TILED, resume=True, overwrite=False) == stages
        assert run_share(out, stages[4], 0, 2) + run_share(out, stages[4], 1, 2) == 0
    for stage in stages:
        with machines[0]:
            assert run_share(out, stage, 0, 2) == 0
        with machines[1]:
            assert run_share(out, stage, 1, 2) == 0
    with machines[0]:
        assert finish(out).exit_code == 0
    assert same(result_tables(out), wanted)
    assert hidden == []


def test_a_driver_and_its_workers_are_machines_of_their_own(table, wanted, tmp_path):
    journal, out = tmp_path / "journal", tmp_path / "out"
    place = {"CAML_LATE_ROOT": str(tmp_path), "CAML_LATE_JOURNAL": str(journal)}
    command = [sys.executable, str(Path(__file__).parent / "late_names.py"), "run", str(table), "--out", str(out)]
    command += ["--network", "XPILJZ", "--no-test", "--max-localizations", "300", "--workers", "2"]
    for options in ([], ["--resume"]):
        done = subprocess.run([*command, *options], env=os.environ | place, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert same(result_tables(out), wanted)
        (out / "0001_field" / "clusters.parquet").write_bytes(b"damaged")  # and made again, where it is resumed
    assert not journal.exists() or journal.read_text() == ""


def test_what_is_hidden_is_waited_for_and_said(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(seen, "_SAID_AFTER_S", 0.1)
    machine, path = Machine(tmp_path, 1.5, lambda _: None), tmp_path / "folder" / "name"
    with machine:
        assert not path.exists() and names_in(path.parent) == set()
    path.parent.mkdir()
    path.write_text("x")
    with machine, caplog.at_level(logging.WARNING, "caml_dask"):
        begun = time.monotonic()
        assert not path.exists()
        assert stands(path, tmp_path) and awaited(path, Path.read_text) == "x"
        assert 0.5 < time.monotonic() - begun < 20.0
    assert "this machine does not see it yet" in caplog.text


def test_what_is_not_there_is_not_waited_for_long(tmp_path, monkeypatch):
    monkeypatch.setattr(seen, "_GRACE_S", 0.5)
    begun = time.monotonic()
    with pytest.raises(FileNotFoundError):
        awaited(tmp_path / "nowhere" / "name", Path.read_text)
    assert 0.5 <= time.monotonic() - begun < 10.0
    threading.Timer(0.2, (tmp_path / "late").write_text, ["x"]).start()
    monkeypatch.setattr(seen, "_GRACE_S", 20.0)
    assert awaited(tmp_path / "late", Path.read_text) == "x"
    assert not stands(tmp_path / "nowhere" / "name", tmp_path) and names_in(tmp_path / "late") == set()
