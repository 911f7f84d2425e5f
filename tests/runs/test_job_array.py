"""Job arrays without a scheduler: shares of any number, submitted twice, killed, in use."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import pytest
from click.testing import CliRunner
from support import done_records, result_tables, same

from caml_dask.cli import main
from caml_dask.errors import OutputError, UsageError
from caml_dask.io.run_directory import Run, locked
from caml_dask.io.store import DirectoryStore
from caml_dask.pipeline import stages_of
from caml_dask.runs.job_array import finish, plan, run_share
from caml_dask.screening.status import status_of
from caml_dask.settings import Settings

SETTINGS = Settings(max_localizations=300, test=False)


def arrays(out, stages, tasks=3):
    return sum(run_share(out, stage, index, tasks) for stage in stages for index in range(tasks))


def test_arrays_give_the_tables_of_the_serial_executor(table, serial, tmp_path):
    out = tmp_path / "out"
    stages = plan([table], out, SETTINGS, resume=False, overwrite=False)
    assert stages == [stage.name for stage in stages_of(SETTINGS)]
    assert arrays(out, stages) == 0
    before = done_records(out)
    assert finish(out).exit_code == 0
    assert same(result_tables(out), serial)
    assert plan([table], out, SETTINGS, resume=True, overwrite=False) == stages
    assert arrays(out, stages, tasks=2) == 0
    assert done_records(out) == before, "submitted again, in other shares: nothing runs"


def test_a_task_that_died_is_named_and_made_good_by_submitting_again(table, serial, tmp_path):
    out = tmp_path / "out"
    stages = plan([table], out, SETTINGS, resume=False, overwrite=False)
    vote = stages.index("vote")
    arrays(out, stages[:vote])
    run_share(out, "vote", 0, 3)  # tasks 1 and 2 never came to run
    arrays(out, stages[vote + 1 :])
    outcome = finish(out)
    assert outcome.exit_code == 4
    assert "units of vote are not done: submit its array again" in str(outcome.failed["0001_field"])
    before = done_records(out)
    assert arrays(out, stages) == 0
    assert finish(out).exit_code == 0
    assert same(result_tables(out), serial)
    after = done_records(out)
    assert {path: after[path] for path in before} == before


def test_results_that_were_altered_or_removed_are_made_again(table, serial, tmp_path):
    out = tmp_path / "out"
    stages = plan([table], out, SETTINGS, resume=False, overwrite=False)
    arrays(out, stages)
    finish(out)
    folder = out / "0001_field"
    (folder / "clusters.csv").unlink()
    content = bytearray((folder / "clusters.parquet").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "clusters.parquet").write_bytes(content)
    plan([table], out, SETTINGS, resume=True, overwrite=False)
    assert arrays(out, stages) == 0
    assert finish(out).exit_code == 0
    assert (folder / "clusters.csv").exists()
    assert same(result_tables(out), serial)


def test_a_failure_is_forgotten_when_it_is_tried_again(table, tmp_path):
    out = tmp_path / "out"
    plan([table], out, SETTINGS, resume=False, overwrite=False)
    assert finish(out).exit_code == 4
    assert status_of(out)["failed"] == 1
    plan([table], out, SETTINGS, resume=True, overwrite=False)
    assert status_of(out)["failed"] == 0


def test_a_unit_that_another_task_runs_is_left_to_it(table, tmp_path):
    out = tmp_path / "out"
    plan([table], out, SETTINGS, resume=False, overwrite=False)
    run = Run.open(out)
    store = run.store(run.images[0])
    done = []
    other = threading.Thread(target=lambda: done.append(run_share(out, "read", 0, 1)))
    with store.claimed("read", 0):
        other.start()
        time.sleep(1.0)
        assert other.is_alive() and done_records(out) == {}
        store.finish("read", 0, {"rows": -1})
    other.join(timeout=60)
    assert done == [0]
    assert store.done("read", 0)["rows"] == -1
    assert len(done_records(out)) == 1 and not list(out.rglob("*.claim"))


def test_units_that_run_twice_at_once_leave_the_same_bytes(table, serial, tmp_path, monkeypatch):
    """As where locks hold on one node only, and an array is submitted twice."""
    monkeypatch.setattr(DirectoryStore, "claimed", lambda *_: nullcontext())
    out = tmp_path / "out"
    settings = Settings(max_localizations=1000, test=False)
    stages = plan([table], out, settings, resume=False, overwrite=False)
    with ThreadPoolExecutor(2) as pool:
        for stage in stages:
            assert list(pool.map(lambda _, stage=stage: run_share(out, stage, 0, 1), range(2))) == [0, 0]
    assert finish(out).exit_code == 0
    assert same(result_tables(out), serial)


def test_an_image_that_fails_is_named_with_its_reason(table, tmp_path):
    bad, out = tmp_path / "bad.csv", tmp_path / "out"
    bad.write_text("nonsense\n\x00\x01")
    stages = plan([bad, table], out, Settings(test=False), resume=False, overwrite=False)
    assert arrays(out, stages, tasks=3) == 1 + 3 * (len(stages) - 1)  # every task of a later stage names it again
    outcome = finish(out)
    assert outcome.exit_code == 3
    assert str(bad) in str(outcome.failed["0002_bad"])


def test_arrays_and_a_driver_keep_out_of_each_others_way(table, tmp_path):
    out = tmp_path / "out"
    plan([table], out, SETTINGS, resume=False, overwrite=False)
    with locked(out), pytest.raises(OutputError, match="in use by process"):
        run_share(out, "read", 0, 1)
    with locked(out, shared=True):
        assert run_share(out, "read", 0, 1) == 0
        with pytest.raises(OutputError, match="in use"):
            finish(out)


def test_what_is_no_stage_or_task_is_refused(table, tmp_path):
    plan([table], tmp_path / "out", SETTINGS, resume=False, overwrite=False)
    with pytest.raises(UsageError, match="no stage is called 'sort': use one of read, plan"):
        run_share(tmp_path / "out", "sort", 0, 1)
    with pytest.raises(UsageError, match="numbered from 0 to 1"):
        run_share(tmp_path / "out", "read", 2, 2)
    with pytest.raises(OutputError, match="holds no run"):
        run_share(tmp_path / "nothing", "read", 0, 1)
    assert not (tmp_path / "nothing").exists()


def test_the_commands_and_their_exit_codes(table, tmp_path):
    def call(*arguments):
        return CliRunner().invoke(main, [str(argument) for argument in arguments])

    out = tmp_path / "out"
    planned = call("plan", table, "--out", out, "--no-test")
    expected = [stage.name for stage in stages_of(Settings(test=False))]
    assert planned.exit_code == 0 and planned.stdout.split() == expected
    assert call("plan", table, "--out", out).exit_code == 2
    assert call("finish", "--out", out).exit_code == 4
    for stage in planned.stdout.split():
        assert call("unit", stage, 0, "--of", 1, "--out", out).exit_code == 0
    done = call("finish", "--out", out)
    assert done.exit_code == 0 and "1 of 1 images done" in done.stdout
    assert call("unit", "read", 1, "--of", 1, "--out", out).exit_code == 2
