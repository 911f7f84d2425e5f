"""Several units in a task of Dask's: each has a record and a failure of its own, and few tasks are in flight."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from types import SimpleNamespace

import pytest
from dask_clients import DiedError, Inline
from support import result_tables, same, simulated_table

from caml_dask import __version__
from caml_dask.executors import dask as executor
from caml_dask.executors import worker
from caml_dask.executors.dask import DaskExecutor
from caml_dask.executors.pace import Pace
from caml_dask.executors.pending import Due
from caml_dask.io.manifest import Image
from caml_dask.io.run_directory import Run
from caml_dask.pipeline import WINDOW_STAGES
from caml_dask.runs.progress import Lines
from caml_dask.runs.session import begun, execute
from caml_dask.settings import Settings

SETTINGS = Settings("XPILJZ", test=False)
LINK = next(stage for stage in WINDOW_STAGES if stage.name == "link")
IMAGES = 7
BAD, POISON = "0003_c", "0005_e"


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Small images, of which one is no table."""
    folder = tmp_path_factory.mktemp("input")
    simulated_table(folder / "a.csv", side_nm=1500.0)
    for name in "bcdefg":
        shutil.copy(folder / "a.csv", folder / f"{name}.csv")
    (folder / "c.csv").write_text("nonsense\n\x00\x01")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def expected(tables, tmp_path_factory):
    out = tmp_path_factory.mktemp("serial") / "out"
    assert set(execute(tables, out, SETTINGS, workers=0).failed) == {BAD}
    return result_tables(out)


@pytest.fixture
def full(monkeypatch):
    """Batches as large as their number allows, whatever units take."""
    monkeypatch.setattr(Pace, "share", lambda *_: 0.0)


def run_inline(tables, out, client, resume=False):
    """A run on a client without processes; which images failed, and why."""
    with begun(tables, out, SETTINGS, resume=resume, overwrite=False) as run, Lines(run) as watch:
        DaskExecutor(client).execute(run, watch, resume)
    return {name: str(error) for name, error in watch.failed.items()}


def journal(monkeypatch, ends):
    """Count the analyses of each image; those of which `ends` says so end their worker."""
    begun_units, real = Counter(), worker.run_unit

    def run_unit(run, key):
        name = run.images[key[0]].image_id
        if run.store(run.images[key[0]]).done("publish", 0) is None:
            begun_units[name] += 1
            if ends(name, begun_units[name]):
                raise DiedError
        return real(run, key)

    monkeypatch.setattr(worker, "run_unit", run_unit)
    return begun_units


def test_a_unit_that_fails_takes_no_other_of_its_batch_with_it(tables, expected, full, tmp_path):
    client = Inline()
    failed = run_inline(tables, tmp_path / "out", client)
    assert max(client.batches) == 4  # of seven images, two of such batches being in flight at once
    assert set(failed) == {BAD} and str(tables[2]) in failed[BAD]
    assert same(result_tables(tmp_path / "out"), expected)


def test_a_lost_worker_repeats_only_what_has_no_record(tables, expected, full, tmp_path, monkeypatch):
    begun_units = journal(monkeypatch, lambda name, times: name == "0002_b" and times == 1)
    assert set(run_inline(tables, tmp_path / "out", Inline())) == {BAD}
    assert {name: times for name, times in begun_units.items() if name != BAD and times > 1} == {"0002_b": 2}
    assert same(result_tables(tmp_path / "out"), expected)


def test_a_unit_that_ends_all_its_workers_fails_alone_of_its_batch(tables, expected, full, tmp_path, monkeypatch):
    begun_units = journal(monkeypatch, lambda name, times: name == POISON)
    failed = run_inline(tables, tmp_path / "out", Inline())
    assert set(failed) == {BAD, POISON} and "read-0005_e-0 ended its worker each time" in failed[POISON]
    assert begun_units[POISON] == 3 + 3  # in its batch, and alone
    others = {name: times for name, times in begun_units.items() if name not in (BAD, POISON)}
    assert set(others.values()) == {1} and len(others) == IMAGES - 2
    monkeypatch.undo()
    assert set(run_inline(tables, tmp_path / "out", Inline(), resume=True)) == {BAD}
    (tmp_path / "out" / BAD).rmdir()  # looked through for what a killed process left
    assert same(result_tables(tmp_path / "out"), expected)


KILLED = '''
"""`caml-dask` with batches of all that is left, whose worker dies in the fourth image, once."""
import os
import signal
import sys
from pathlib import Path

import caml_dask.executors.dask
import caml_dask.executors.worker as worker
from caml_dask.cli import main

real, died = worker.run_unit, Path(__file__).with_name("died")
caml_dask.executors.dask.Pace.share = lambda *_: 0.0


def run_unit(run, key):
    image = run.images[key[0]].image_id
    with Path(__file__).with_name("journal").open("a") as journal:
        journal.write(f"{os.getpid()} {image} {run.store(run.images[key[0]]).done('publish', 0) is not None}\\n")
    if image == "0004_d" and not died.exists():
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return real(run, key)


worker.run_unit = run_unit
if __name__ == "__main__":
    main()
'''


def test_a_worker_killed_in_a_batch(tables, expected, tmp_path):
    """SIGKILL to a process: its batch is done by another, but for what was recorded."""
    (tmp_path / "killed.py").write_text(KILLED)
    command = [sys.executable, str(tmp_path / "killed.py"), "run", *map(str, tables), "--out", str(tmp_path / "out")]
    command += ["--workers", "1", "--network", "XPILJZ", "--no-test"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 3, done.stderr
    assert done.stderr.count("a worker was lost and is replaced") == 1
    lines = [line.split() for line in (tmp_path / "journal").read_text().splitlines()]
    assert len({process for process, _, _ in lines}) == 2
    done_before = [name for _, name, known in lines if known == "True"]
    assert done_before == ["0001_a", "0002_b"]  # of the batch that was repeated; the third image has no record
    assert same(result_tables(tmp_path / "out"), expected)


def test_a_bounded_number_of_tasks_is_in_flight_whatever_waits(monkeypatch, tmp_path):
    """Many images of one unit, some of a stage with thousands; each is done once, and a task is small."""
    images, tiles, workers = 300, 5_000, 3
    units = [(index, "link", unit) for index in range(2) for unit in range(tiles)]
    done = Counter()

    def simulated(run, key):
        done[run.images[key[0]].image_id, *key[1:]] += 1
        record = {"stage": key[1], "unit": key[2], "rows": 1, "seconds": 0.01}
        return record | {"fused": run.images[key[0]].image_id not in ("0", "1")}

    monkeypatch.setattr(worker, "run_unit", simulated)
    monkeypatch.setattr(worker, "conclude", lambda store: None)
    monkeypatch.setattr(
        executor,
        "barriers",
        lambda run, index: iter([Due(LINK, [key for key in units if key[0] == index], tiles, {})]),
    )
    monkeypatch.setattr(Run, "store", lambda run, image: SimpleNamespace(begin=lambda: True))
    ended = []
    watch = SimpleNamespace(
        stage_started=lambda *_: None,
        unit_done=lambda *_: None,
        image_done=lambda image: ended.append(image.image_id),
    )
    named = tuple(Image(str(index), tmp_path / f"{index}.csv") for index in range(images))
    inputs = {image.source: [10_000, "0" * 32] for image in named}
    manifest = {"settings": SETTINGS.as_dict(), "settings_digest": "", "version": __version__, "inputs": inputs}
    (tmp_path / ".run").mkdir()
    client = Inline(workers)
    DaskExecutor(client).execute(Run(tmp_path, SETTINGS, named, manifest, "0" * 32), watch)
    assert client.most == 2 * workers
    assert sorted(ended, key=int) == [image.image_id for image in named]
    assert set(done.values()) == {1} and len(done) == images + 2 * tiles
    assert max(client.batches) == 64 and len(client.batches) < 0.05 * len(done)
    assert max(client.sizes) < 16_000


def test_small_images_that_wait_are_fewer_batches(tables, tmp_path, monkeypatch):
    monkeypatch.setattr("caml_dask.executors.roster.BETWEEN_LOOKS_S", 0.0)
    wanted = []
    for share in (1.0, 0.5):
        monkeypatch.setattr(Pace, "share", lambda *_, share=share: share)
        told = []
        with begun(tables, tmp_path / str(share), SETTINGS, resume=False, overwrite=False) as run, Lines(run) as watch:
            DaskExecutor(Inline(), want=told.append).execute(run, watch)
        wanted.append(told[0])
    assert wanted == [2 + 5, 2 + 2], "in flight are two of one image, or two of two; the others wait"
