"""Schedulers and workers that die: real processes, real kills."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from distributed import Client
from support import done_records, result_tables, same

from caml_dask.errors import WorkersError
from caml_dask.executors import roster
from caml_dask.executors.deployment.settings import load_deployment
from caml_dask.runs.session import execute
from caml_dask.settings import Settings

TILE = 300


def start(table, out, *options, folder=None):
    command = [sys.executable, "-m", "caml_dask", "run", str(table), "--out", str(out)]
    command += ["--max-localizations", str(TILE), "--no-test", *options]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def wait_for_records(process, out, count):
    while len(done_records(out)) < count:
        assert process.poll() is None, process.stdout.read().decode()
        time.sleep(0.005)


@pytest.mark.parametrize(("dies", "said"), [("scheduler", "the scheduler is lost"), ("worker", "no worker for 3 s")])
def test_a_scheduler_or_all_workers_lost_end_the_run_soon_and_it_can_be_resumed(
    outside, table, serial, tmp_path, dies, said
):
    deploy, out = outside.deploy, tmp_path / "out"
    if dies == "worker":
        deploy.write_text(deploy.read_text().replace("wait_s = 30", "wait_s = 3"))
    process = start(table, out, "--deploy", str(deploy))
    wait_for_records(process, out, 6)
    os.killpg(getattr(outside, dies).pid, signal.SIGKILL)
    killed = time.monotonic()
    output = process.communicate(timeout=100)[0].decode()
    assert time.monotonic() - killed < 60
    assert process.returncode == 4
    assert said in output and "continue with --resume" in output and "Traceback" not in output
    before = done_records(out)
    resumed = start(table, out, "--workers", "0", "--resume")
    assert resumed.wait(timeout=200) == 0
    after = done_records(out)
    assert {path: after[path] for path in before} == before
    assert same(result_tables(out), serial)


def test_a_scheduler_that_hangs_ends_the_run_too(outside, table, tmp_path, monkeypatch):
    monkeypatch.setattr(roster, "_ANSWER_S", 6.0)  # longer than a scheduler at work leaves unanswered
    monkeypatch.setattr(roster, "BETWEEN_LOOKS_S", 1.0)
    out = tmp_path / "out"
    ended, stopped = threading.Event(), threading.Event()

    def hang():
        while len(done_records(out)) < 6:
            if ended.wait(0.005):
                return
        outside.scheduler.send_signal(signal.SIGSTOP)
        stopped.set()

    hanging = threading.Thread(target=hang)
    hanging.start()
    begun = time.monotonic()
    try:
        with pytest.raises(WorkersError, match="the scheduler is lost"):
            execute(
                [table], out, Settings(max_localizations=TILE, test=False), deployment=load_deployment(outside.deploy)
            )
    finally:
        ended.set()
        hanging.join()
    assert stopped.is_set(), "the run ended before its scheduler hung"
    assert time.monotonic() - begun < 90


def test_a_worker_that_retires_in_mid_run_changes_nothing(outside, table, serial, tmp_path):
    """As a worker does at the end of its --lifetime; the path of the run is one that workers elsewhere do not know."""
    out = tmp_path / "out"
    process = start(table, "out", "--deploy", str(outside.deploy), folder=tmp_path)
    wait_for_records(process, out, 6)
    with Client(scheduler_file=tmp_path / "scheduler.json") as client:
        first = list(client.scheduler_info()["workers"])
        outside.begin("dask_worker", "--nthreads", "1")
        client.retire_workers(first, close_workers=True)
    output = process.communicate(timeout=200)[0].decode()
    assert process.returncode == 0, output
    assert same(result_tables(out), serial)


def test_a_scheduler_that_is_not_there_is_named(table, tmp_path):
    (tmp_path / "deploy.toml").write_text('kind = "scheduler"\naddress = "tcp://127.0.0.1:9"\nwait_s = 3\n')
    process = start(table, tmp_path / "out", "--deploy", str(tmp_path / "deploy.toml"))
    output = process.communicate(timeout=100)[0].decode()
    assert process.returncode == 4
    assert "no scheduler answers at tcp://127.0.0.1:9" in output and "Traceback" not in output
