"""Runs inside an allocation: a launcher's workers, and tasks that are workers; scripts stand in for srun."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import psutil
import pytest
from doors import refuses_strangers, serves_pages
from support import done_records, result_tables, same

from caml_dask.errors import UsageError, WorkersError
from caml_dask.executors.deployment import tasks
from caml_dask.executors.deployment.allocation import launcher_of
from caml_dask.executors.deployment.settings import Allocation, Local
from caml_dask.executors.deployment.tasks import Task, deployment_of_tasks, task_of, work_for

TILE = 300


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def start(table, out, *options, **environment):
    command = [
        sys.executable,
        "-m",
        "caml_dask",
        "run",
        str(table),
        "--out",
        str(out),
        "--max-localizations",
        str(TILE),
        "--no-test",
    ]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "OMPI_", "PMI_"))}
    return subprocess.Popen(
        [*command, *options], env={**env, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def deployment(tmp_path, launcher, wait_s=60):
    path = tmp_path / "allocation.toml"
    path.write_text(f'kind = "allocation"\nlauncher = "{launcher}"\ninterface = "lo"\nwait_s = {wait_s}\n')
    return ["--deploy", str(path)]


def workers_of(out):
    return {json.loads(path.read_text())["worker"] for path in done_records(out)}


def test_a_launchers_workers_do_the_run_behind_closed_doors_and_end_with_it(table, serial, tmp_path):
    out, launcher = tmp_path / "out", script(tmp_path / "twice", '"$@" & "$@" & wait')
    process = start(table, out, *deployment(tmp_path, launcher))
    while len(done_records(out)) < 3:
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.02)
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    doors = {c.laddr[:2] for p in family for c in p.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    assert {ip for ip, _ in doors} == {"127.0.0.1"} and not any(map(serves_pages, doors))
    address = next(p.cmdline() for p in family if "distributed.cli.dask_worker" in p.cmdline())
    assert refuses_strangers(("127.0.0.1", int(next(a for a in address if "tls://" in a).rpartition(":")[2])))
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 0, output
    assert same(result_tables(out), serial) and len(workers_of(out)) == 2
    assert not list((out / ".run").glob(".tls-*"))
    assert not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def test_a_launcher_that_fails_ends_the_run_and_its_words_are_told(table, tmp_path):
    launcher = script(tmp_path / "fails", "echo srun: error: no nodes; exit 7")
    process = start(table, tmp_path / "out", *deployment(tmp_path, launcher))
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 4 and "Traceback" not in output
    assert "fails ended with code 7" in output and "allocation.log ends with: srun: error: no nodes" in output


@pytest.mark.parametrize("told", [("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"), ("PMI_RANK", "PMI_SIZE")])
def test_of_several_tasks_the_first_drives_and_the_others_work(table, serial, tmp_path, told):
    out = tmp_path / "out"
    count = 3 if told[0].startswith("SLURM") else 2
    started = [start(table, out, **{told[0]: str(rank), told[1]: str(count)}) for rank in range(count)]
    outputs = [process.communicate(timeout=300)[0] for process in started]
    assert [process.returncode for process in started] == [0] * count, outputs
    assert "1 of 1 images done" in outputs[0] and not any("Traceback" in output for output in outputs)
    assert same(result_tables(out), serial)
    assert len(workers_of(out)) <= count - 1 and os.getpid() not in workers_of(out)


def test_which_of_several_tasks_this_is():
    assert task_of({}) is None
    assert task_of({"SLURM_PROCID": "0", "SLURM_NTASKS": "3"}) is None, "a batch script is no task of a step"
    assert task_of({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"}) is None
    assert task_of({"SLURM_PROCID": "2", "SLURM_STEP_NUM_TASKS": "3"}) == Task(2, 3)
    daemon = {"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2"}
    assert task_of(daemon | {"OMPI_COMM_WORLD_RANK": "5", "OMPI_COMM_WORLD_SIZE": "8"}) == Task(5, 8)


def test_tasks_take_no_other_deployment():
    assert deployment_of_tasks(Task(0, 3), None) == Allocation()
    with pytest.raises(UsageError, match="one of 3 tasks, which work together"):
        deployment_of_tasks(Task(0, 3), Local(2))


def test_a_task_does_not_wait_for_a_run_that_never_begins(tmp_path, monkeypatch):
    monkeypatch.setattr(tasks, "_SILENT_S", 0.5)
    with pytest.raises(WorkersError, match="began no run in .*give --workers"):
        work_for(Task(1, 3), tmp_path, Allocation())


def test_a_task_works_for_no_scheduler_that_another_user_names(tmp_path, monkeypatch):
    """A folder as of a run's key that others can open or that is a link is not looked at."""
    folder = tmp_path / ".tls-x"
    folder.mkdir(mode=0o700)
    tasks.tell_tasks(folder, "tls://127.0.0.1:1")
    monkeypatch.setattr(tasks.socket, "create_connection", lambda *_, **__: tasks.socket.socket())
    assert tasks._scheduler(tmp_path) == ("tls://127.0.0.1:1", folder)
    folder.chmod(0o755)
    assert tasks._scheduler(tmp_path) is None
    folder.chmod(0o700)
    folder.rename(tmp_path / "own")
    folder.symlink_to(tmp_path / "own")
    assert tasks._scheduler(tmp_path) is None


def test_the_launcher_is_that_of_the_batch_system(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("srun", "pbsdsh", "mpirun"):
        script(tmp_path / name, "")
    assert launcher_of(Allocation(), {"SLURM_JOB_ID": "1"})[0] == "srun"
    assert launcher_of(Allocation(), {"PBS_JOBID": "1"}) == ["pbsdsh", "--"]
    assert launcher_of(Allocation(), {}) == ["mpirun"]
    assert launcher_of(Allocation(launcher="mpirun -n 8"), {"SLURM_JOB_ID": "1"}) == ["mpirun", "-n", "8"]
    with pytest.raises(UsageError, match="'aprun' is not found"):
        launcher_of(Allocation(launcher="aprun"), {})
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match="name what starts workers as launcher"):
        launcher_of(Allocation(), {"PBS_JOBID": "1"})
