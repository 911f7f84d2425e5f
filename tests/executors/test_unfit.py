"""Workers that can do no unit of a run: what they are given is done by others, and no image fails of it."""

from __future__ import annotations

import csv
import errno
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from dask_clients import Inline
from support import result_tables, same, simulated_table

from caml_dask.atomic import WORKING
from caml_dask.errors import InputError, WorkersError
from caml_dask.executors import fitness, roster, worker
from caml_dask.executors.dask import DaskExecutor
from caml_dask.executors.fitness import UnfitError, refuse_unfit
from caml_dask.executors.pace import Pace
from caml_dask.io.shared_part import publish_shared_part
from caml_dask.runs.progress import Lines
from caml_dask.runs.session import begun, execute
from caml_dask.settings import Settings

SETTINGS = Settings("XPILJZ", test=False)
IMAGES = 7
BLIND = '''
"""`caml-dask`, of whose worker processes one, or each, does not see the run; they import this file."""
import os
import sys
from pathlib import Path

import caml_dask.executors.fitness as fitness
import caml_dask.executors.roster as roster
from caml_dask.cli import main

EACH = {each}
real, first = fitness.names_in, Path(__file__).with_name("first")
roster._OTHERS_COME_S = 2.0


def names_in(folder):
    try:
        first.touch(exist_ok=False)
        first.write_text(str(os.getpid()))
    except FileExistsError:
        pass
    return set() if EACH or first.read_text() == str(os.getpid()) else real(folder)


fitness.names_in = names_in
if __name__ == "__main__":
    main()
'''


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("input")
    simulated_table(folder / "a.csv", side_nm=1500.0)
    for name in "bcdefg":
        shutil.copy(folder / "a.csv", folder / f"{name}.csv")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def expected(tables, tmp_path_factory):
    out = tmp_path_factory.mktemp("serial") / "out"
    assert execute(tables, out, SETTINGS, workers=0).exit_code == 0
    return result_tables(out)


def run(tables, out, program, *options):
    command = [
        sys.executable,
        *program,
        "run",
        *map(str, tables),
        "--out",
        str(out),
        "--network",
        "XPILJZ",
        "--no-test",
    ]
    return subprocess.run([*command, *options], capture_output=True, text=True, timeout=120)


def statuses(out):
    with (out / "images.csv").open() as file:
        return [row["status"] for row in csv.DictReader(file)]


def test_a_worker_that_does_not_see_the_run_fails_no_image(tables, expected, tmp_path):
    (tmp_path / "blind.py").write_text(BLIND.format(each=False))
    out = tmp_path / "out"
    done = run(tables, out, [str(tmp_path / "blind.py")], "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(f"does not see {out}") == 1 and "it gets no more units" in done.stderr
    assert "Traceback" not in done.stderr and "lost" not in done.stderr
    assert statuses(out) == ["done"] * IMAGES
    assert same(result_tables(out), expected)


def test_if_no_worker_sees_the_run_it_ends_soon_for_that_reason(tables, expected, tmp_path):
    (tmp_path / "blind.py").write_text(BLIND.format(each=True))
    out = tmp_path / "out"
    begun_at = time.monotonic()
    done = run(tables, out, [str(tmp_path / "blind.py")], "--workers", "1")
    assert time.monotonic() - begun_at < 60
    assert done.returncode == 4
    assert "no worker can do units of this run: the worker on" in done.stderr
    assert "continue with --resume" in done.stderr and "Traceback" not in done.stderr
    assert not (out / "images.csv").exists(), "no image has failed"
    resumed = execute(tables, out, SETTINGS, workers=0, resume=True)
    assert resumed.exit_code == 0 and same(result_tables(out), expected)


def test_a_worker_without_the_package_is_named_by_its_machine(outside, tables, expected, tmp_path):
    os.killpg(outside.worker.pid, 9)
    missing = "import sys; sys.modules['caml_dask'] = None"
    outside.begin("dask_worker", "--nthreads", "1", "--no-nanny", before=missing)
    outside.begin("dask_worker", "--nthreads", "1")
    out = tmp_path / "out"
    done = run(tables, out, ["-m", "caml_dask"], "--deploy", str(outside.deploy))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("the worker on 127.0.0.1 cannot begin its units (ModuleNotFoundError") == 1
    assert same(result_tables(out), expected)


class Two(Inline):
    """Two workers, of which the first is given all that it may be given; `at` is the one at work."""

    def __init__(self):
        super().__init__(2)
        self.at, self.given = None, []

    def submit(self, *task, workers=(0, 1), allow_other_workers=True, **named):
        self.at = workers[0]
        self.given.append(self.at)
        return super().submit(*task, **named)


def run_on_two(tables, out, monkeypatch, unfit=(0,), withdraw=None):
    """A run on two workers, some of which lose their view of it in their third unit; the client, and failures."""
    client, real, count = Two(), worker.run_unit, dict.fromkeys((0, 1), 0)

    def run_unit(run, key):
        count[client.at] += 1
        if client.at in unfit and count[client.at] >= 3:
            raise OSError(errno.ESTALE, "Stale file handle")
        return real(run, key)

    def refuse(run):
        if client.at in unfit:
            raise UnfitError("does not see the run any more")

    monkeypatch.setattr(worker, "_own_address", lambda: client.at)
    monkeypatch.setattr(worker, "run_unit", run_unit)
    monkeypatch.setattr(worker, "refuse_unfit", refuse)
    monkeypatch.setattr(Pace, "share", lambda *_: 0.0)
    with begun(tables, out, SETTINGS, resume=False, overwrite=False) as run, Lines(run) as watch:
        DaskExecutor(client, withdraw=withdraw).execute(run, watch)
    return client, watch.failed


def test_a_worker_that_loses_the_run_in_mid_batch_hands_the_batch_on(tables, expected, tmp_path, monkeypatch, caplog):
    withdrawn = []
    client, failed = run_on_two(
        tables, tmp_path / "out", monkeypatch, withdraw=lambda worker, why: withdrawn.append((worker, why))
    )
    assert not failed and set(client.given) == {0, 1} and client.given[-1] == 1
    assert [worker for worker, _ in withdrawn] == [0] and "does not see the run any more" in withdrawn[0][1]
    assert sum("gets no more units" in line for line in caplog.messages) == 1
    assert same(result_tables(tmp_path / "out"), expected)


def test_the_last_worker_that_loses_the_run_ends_it(tables, tmp_path, monkeypatch):
    monkeypatch.setattr(roster, "_OTHERS_COME_S", 0.1)
    monkeypatch.setattr(roster, "_WAITS_S", 0.01)
    with pytest.raises(WorkersError, match="no worker can do units of this run: .* does not see the run any more"):
        run_on_two(tables, tmp_path / "out", monkeypatch, unfit=(0, 1))


@pytest.fixture
def standing(tables, tmp_path):
    with begun(tables[:1], tmp_path / "out", SETTINGS, resume=False, overwrite=False) as run:
        publish_shared_part(run)
        yield run


def fails(error, number):
    def raises(*_, **__):
        raise error(number, os.strerror(number))

    return raises


def test_a_sound_machine_finds_nothing_wrong_and_leaves_nothing(standing):
    refuse_unfit(standing)
    assert not list((standing.root / ".run").glob(WORKING))


def test_what_a_machine_finds_wrong_with_itself(standing, monkeypatch):
    with monkeypatch.context() as patched, pytest.raises(UnfitError, match=r"cannot write to .*Read-only file system"):
        patched.setattr(fitness, "sync", fails(OSError, errno.EROFS))
        refuse_unfit(standing)
    with monkeypatch.context() as patched, pytest.raises(UnfitError, match=r"temporary files .*No space left"):
        patched.setattr(tempfile, "TemporaryFile", fails(OSError, errno.ENOSPC))
        refuse_unfit(standing)
    with monkeypatch.context() as patched, pytest.raises(UnfitError, match=r"not the network that the run began with"):
        patched.setitem(standing.manifest, "network", {"name": "XPILJZ", "weights_sha256": "0"})
        refuse_unfit(standing)
    shared = standing.root / ".run" / "shared.json"
    shared.rename(shared.with_name("gone"))
    with pytest.raises(UnfitError, match="does not see .* any more"):
        refuse_unfit(standing)
    with pytest.raises(UnfitError, match="does not see .*: mount it there"):
        refuse_unfit(standing)
    Path(shared).write_text("{}")
    with pytest.raises(UnfitError, match="cannot read the run"):
        refuse_unfit(standing)


def test_a_shared_disk_that_is_full_is_the_fault_of_no_machine(standing, monkeypatch):
    monkeypatch.setattr(fitness, "sync", fails(OSError, errno.ENOSPC))
    refuse_unfit(standing)


def test_an_image_at_fault_fails_on_a_sound_machine(standing, monkeypatch):
    monkeypatch.setattr(worker, "run_unit", fails(lambda *_: InputError("is no table"), 1))
    which = fitness.which_run(standing)
    parts = [(standing.images[0], None)]
    (outcome,) = worker.run_batch(str(standing.root), which, parts, [(0, "read", 0)])
    assert isinstance(outcome, InputError)
