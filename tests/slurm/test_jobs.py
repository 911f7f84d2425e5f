"""Runs on a real Slurm: the tables of a run in one process, jobs that end in the middle, and closed doors."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from doors import refuses_strangers, serves_pages
from support import done_records, result_tables, same

from caml_dask.executors.deployment import scaling
from caml_dask.executors.deployment.clusters import deployed
from caml_dask.executors.deployment.settings import load_deployment
from caml_dask.locks import held
from caml_dask.runs.session import execute
from caml_dask.settings import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
TILE = 300
FEW_STAGES = "XPILJZ"
"""A network of few stages: each of them is an array of jobs that begin with the packages' import."""


def shell(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.fixture(scope="module", autouse=True)
def slurm(tmp_path_factory):
    """A queue that no test beside this one uses: what stands in it is counted and cancelled, before and after."""
    if shutil.which("sbatch") is None:
        pytest.skip("no Slurm here: install slurm-wlm and munge, then tests/slurm/start_slurm.sh starts one")
    try:
        cluster = shell("scontrol", "show", "config")
    except (subprocess.SubprocessError, OSError):
        pytest.skip("Slurm does not answer: tests/slurm/start_slurm.sh starts it")
    if not re.search(r"ClusterName *= camltest", cluster):
        pytest.skip("this Slurm has jobs of others: tests/slurm/start_slurm.sh starts one for the tests alone")
    folder = tmp_path_factory.getbasetemp()
    with held((folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "queue", wait_s=1800):
        shell("scancel", "--me")
        wait_for_an_empty_queue()
        yield
        shell("scancel", "--me")


def interface():
    """A network of this machine other than loopback, where there is one: jobs then listen as on a real cluster."""
    for name, addresses in psutil.net_if_addrs().items():
        for address in addresses:
            if address.family == socket.AF_INET and not address.address.startswith("127."):
                return name, address.address
    return "lo", "127.0.0.1"


def deployment(tmp_path, **changes):
    """deploy/slurm.toml as it is, but for one job, a shorter wait, and the network of this machine."""
    text = (DEPLOY / "slurm.toml").read_text()
    for key, value in {"jobs": 1, "wait_s": 240, "cores": 1, "memory": '"1GB"', **changes}.items():
        text, found = re.subn(rf"(?m)^{key} = .*$", f"{key} = {value}", text)
        assert found == 1
    path = tmp_path / "slurm.toml"
    path.write_text(text + f'interface = "{interface()[0]}"\nlog_directory = "{tmp_path / "logs"}"\n')
    return path


def start(table, out, deploy):
    command = [sys.executable, "-m", "caml_dask", "run", str(table), "--out", str(out), "--deploy", str(deploy)]
    command += ["--max-localizations", str(TILE), "--no-test"]
    return subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def wait_for_records(process, out, count):
    while len(done_records(out)) < count:
        assert process.poll() is None, process.stdout.read().decode()
        time.sleep(0.02)


def finished(process):
    output = process.communicate(timeout=300)[0].decode()
    assert process.returncode == 0, output
    return output


def test_jobs_give_the_tables_of_a_local_run_and_open_no_doors(table, serial, tmp_path):
    out = tmp_path / "out"
    process = start(table, out, deployment(tmp_path))
    wait_for_records(process, out, 3)
    key = str(out / ".run" / ".tls-")
    workers = [p for p in psutil.process_iter(["cmdline"]) if key in " ".join(p.info["cmdline"] or ())]
    family = [psutil.Process(process.pid), *workers, *(child for p in workers for child in p.children(recursive=True))]
    doors = {c.laddr[:2] for p in family for c in p.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    address = interface()[1]
    assert {ip for ip, _ in doors} <= {"127.0.0.1", address}
    comms = {door for door in doors if door[0] == address}
    certificates = next((out / ".run").glob(".tls-*"))
    assert certificates.stat().st_mode & 0o077 == 0
    for door in comms if address != "127.0.0.1" else ():
        assert refuses_strangers(door)
        assert not serves_pages(door)
    finished(process)
    assert workers
    assert same(result_tables(out), serial)
    assert not list((out / ".run").glob(".tls-*"))


def test_a_job_cancelled_in_the_middle_changes_nothing(table, serial, tmp_path):
    out = tmp_path / "out"
    process = start(table, out, deployment(tmp_path))
    wait_for_records(process, out, 8)
    before = done_records(out)
    jobs = shell("squeue", "--me", "--noheader", "--format=%i").split()
    assert len(jobs) == 1
    shell("scancel", *jobs)
    output = finished(process)
    assert "a worker was lost and is replaced" in output
    assert same(result_tables(out), serial)
    after = done_records(out)
    assert {path: after[path] for path in before} == before


def test_a_driver_that_is_told_to_end_leaves_nothing_in_the_queue(table, tmp_path):
    """As systemd, or Slurm for a driver that is a job itself, tells it."""
    out = tmp_path / "out"
    process = start(table, out, deployment(tmp_path, jobs=10))
    wait_for_records(process, out, 1)
    process.terminate()
    output = process.communicate(timeout=120)[0].decode()
    assert process.returncode == 130
    assert "SIGTERM: the jobs of slurm are withdrawn" in output
    assert "interrupted by SIGTERM" in output and "continue with --resume" in output and "Traceback" not in output
    assert shell("squeue", "--me", "--noheader", "--states=PD,R") == ""
    assert not list((out / ".run").glob(".tls-*"))


def test_a_job_that_slurm_refuses_is_told_of(table, tmp_path):
    process = start(table, tmp_path / "out", deployment(tmp_path, queue='"nowhere"'))
    output = process.communicate(timeout=120)[0].decode()
    assert process.returncode == 4
    assert "slurm refuses the job" in output and "nvalid partition" in output
    assert "Traceback" not in output


def test_jobs_that_die_at_once_end_the_run_soon_and_tell_why(table, tmp_path):
    deploy = deployment(tmp_path, jobs=2)
    deploy.write_text(deploy.read_text() + """job_script_prologue = ['echo "no module named caml"', "exit 1"]\n""")
    begun = time.monotonic()
    process = start(table, tmp_path / "out", deploy)
    output = process.communicate(timeout=120)[0].decode()
    assert process.returncode == 4
    assert "ended before a worker came" in output and "no module named caml" in output
    assert str(tmp_path / "logs") in output and "Traceback" not in output
    assert time.monotonic() - begun < 90
    assert shell("squeue", "--me", "--noheader", "--states=PD,R") == ""


def test_a_job_that_fails_after_others_had_workers_is_submitted_again(table, serial, tmp_path):
    """The first job is cancelled at work, and the one that takes its place fails as on a broken node."""
    out, deploy, counted = tmp_path / "out", deployment(tmp_path), tmp_path / "started"
    second = f"echo >> {counted}; if [ $(wc -l < {counted}) -eq 2 ]; then echo broken node; exit 1; fi"
    deploy.write_text(deploy.read_text() + f"job_script_prologue = ['{second}']\n")
    process = start(table, out, deploy)
    wait_for_records(process, out, 3)
    shell("scancel", *shell("squeue", "--me", "--noheader", "--format=%i").split())
    output = finished(process)
    assert re.search(r"job \d+ of slurm ended before a worker came: .*broken node; submitted again", output)
    assert len(counted.read_text()) == 3
    assert same(result_tables(out), serial)


def test_a_job_that_is_cancelled_before_its_worker_came_is_submitted_again(table, serial, tmp_path):
    deploy = deployment(tmp_path)
    flag = tmp_path / "started"
    first = f"if [ ! -e {flag} ]; then touch {flag}; exec sleep 300; fi"  # nothing comes after it
    deploy.write_text(deploy.read_text() + f"job_script_prologue = ['{first}']\n")
    process = start(table, tmp_path / "out", deploy)
    end = time.monotonic() + 200
    while not flag.exists():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.2)
    shell("scancel", *shell("squeue", "--me", "--noheader", "--states=R", "--format=%i").split())
    output = finished(process)
    assert same(result_tables(tmp_path / "out"), serial)
    assert re.search(r"job \d+ of slurm ended before a worker came.*; submitted again", output)
    assert (tmp_path / "out" / ".run" / "kernels").stat().st_mode & 0o777 == 0o700


def test_a_job_whose_machine_can_do_no_unit_is_replaced_and_fails_no_image(table, serial, tmp_path):
    """The first job finds a package of the same name, as on a node with another installation."""
    (tmp_path / "other" / "caml_dask").mkdir(parents=True)
    (tmp_path / "other" / "caml_dask" / "__init__.py").write_text("raise ImportError('of another kind')")
    flag, deploy = tmp_path / "started", deployment(tmp_path)
    first = f"if [ ! -e {flag} ]; then touch {flag}; cd {tmp_path}; export PYTHONPATH={tmp_path / 'other'}; fi"
    deploy.write_text(deploy.read_text() + f"job_script_prologue = ['{first}']\n")
    output = finished(start(table, tmp_path / "out", deploy))
    assert output.count("cannot begin its units (ImportError: of another kind)") == 1
    assert "was lost" not in output and "Traceback" not in output
    assert same(result_tables(tmp_path / "out"), serial)


def test_jobs_that_never_start_end_the_run_in_bounded_time(table, tmp_path):
    deploy = deployment(tmp_path, wait_s=5)
    held = deploy.read_text() + 'job_extra_directives = ["--hold"]\n'
    deploy.write_text(held)
    process = start(table, tmp_path / "out", deploy)
    output = process.communicate(timeout=120)[0].decode()
    assert process.returncode == 4
    assert "no worker came within 5 s" in output
    assert shell("squeue", "--me", "--noheader") == ""


def test_the_doctor_asks_a_worker(table, tmp_path):
    deploy = deployment(tmp_path, memory='"2GB"')
    command = [sys.executable, "-m", "caml_dask", "doctor", str(table), "--deploy", str(deploy), "--ask"]
    done = subprocess.run([*command, "--out", str(tmp_path / "out")], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"ok       {socket.gethostname()} has caml_dask" in done.stdout
    assert "ok       packages are the same on both sides" in done.stdout
    assert shell("squeue", "--me", "--noheader", "--states=PD,R") == ""


COMMAND = [sys.executable, "-m", "caml_dask"]
IN_A_JOB = """#!/bin/bash
#SBATCH --ntasks=2 --mem=4G --output={folder}/job.log
set -e
{run} --out {folder}/launched --deploy {folder}/allocation.toml
srun --overcommit --ntasks=3 {run} --out {folder}/tasks
"""


def test_inside_an_allocation_srun_starts_workers_or_tasks_that_work_together(table, serial, tmp_path):
    (tmp_path / "allocation.toml").write_text('kind = "allocation"\nmemory = "1GB"\n')
    run = shlex.join([*COMMAND, "run", str(table), "--max-localizations", str(TILE), "--no-test"])
    (tmp_path / "job.sh").write_text(IN_A_JOB.format(folder=tmp_path, run=run))
    job = subprocess.run(["sbatch", "--wait", tmp_path / "job.sh"], capture_output=True, timeout=400, check=False)
    log = (tmp_path / "job.log").read_text()
    assert job.returncode == 0 and "Traceback" not in log, log
    assert log.count("1 of 1 images done") == 2 and "task 2 of 3: a worker" in log
    for out, workers in (("launched", "allocation.log"), ("tasks", "task-1.log")):
        assert same(result_tables(tmp_path / out), serial)
        assert "End worker" in (tmp_path / out / ".run" / "jobs" / workers).read_text()
        assert not list((tmp_path / out / ".run").glob(".tls-*"))


HANGS = f"""#!/bin/sh
case "$*" in "unit classify 0 "*) exec sleep 600 ;; esac
exec {shlex.join(COMMAND)} "$@"
"""
"""The command on a node where the first task of an array hangs before its first unit."""


def submit_arrays(table, out, tasks, command=COMMAND):
    environment = {
        **os.environ,
        "TASKS": str(tasks),
        "OPTIONS": f"--network {FEW_STAGES} --no-test --max-localizations {TILE}",
        "SBATCH_MEM_PER_NODE": "1G",
        "CAML_DASK": shlex.join(command),
    }
    subprocess.run([DEPLOY / "slurm_array.sh", out, table], env=environment, timeout=120, check=True)


def wait_for_an_empty_queue():
    end = time.monotonic() + 500
    while shell("squeue", "--me", "--noheader"):
        assert time.monotonic() < end
        time.sleep(0.5)


def running(name):
    return shell("squeue", "--me", "--noheader", "--array", "--states=R", f"--name={name}", "--format=%i").split()


def test_job_arrays_do_the_same_without_a_scheduler_though_a_task_is_cancelled(table, tmp_path):
    out, hangs = tmp_path / "out", tmp_path / "hangs"
    hangs.write_text(HANGS)
    hangs.chmod(0o755)
    submit_arrays(table, out, 2, [str(hangs)])
    end = time.monotonic() + 500
    while not (hanging := [task for task in running("caml-classify") if task.endswith("_1")]):
        assert time.monotonic() < end
        time.sleep(0.5)
    shell("scancel", *hanging)
    wait_for_an_empty_queue()
    told = (out / ".run" / "jobs" / "caml-finish.log").read_text()
    assert "units of classify are not done: submit its array again" in told
    before = done_records(out)
    submit_arrays(table, out, 1)
    wait_for_an_empty_queue()
    assert "1 of 1 images done" in (out / ".run" / "jobs" / "caml-finish.log").read_text()
    execute([table], tmp_path / "serial", Settings(FEW_STAGES, test=False), workers=0)
    assert same(result_tables(out), result_tables(tmp_path / "serial"))
    after = done_records(out)
    assert {path: after[path] for path in before} == before


def test_jobs_come_as_units_wait_and_go_when_none_does_and_nothing_is_lost(tmp_path, monkeypatch):
    """What a worker made that has retired is there; what it had not begun is done by the one that stays."""
    monkeypatch.setattr(scaling, "GIVEN_BACK_S", 0.0)
    found = load_deployment(deployment(tmp_path, jobs=3))
    (tmp_path / "scratch").mkdir()
    with deployed(replace(found, least_jobs=1), tmp_path / "scratch", wanted=1) as workers:
        count = lambda: len(shell("squeue", "--me", "--noheader", "--format=%i").split())  # noqa: E731
        assert count() == 1
        workers.want(9)
        workers.client.wait_for_workers(3, timeout=120)
        futures = workers.client.map(lambda n: [time.sleep(0.05), n][1], range(30))
        workers.client.gather(futures[:20])
        workers.want(1)
        until = time.monotonic() + 60
        while (left := len(workers.client.scheduler_info(n_workers=-1)["workers"])) > 1 or count() > 1:
            assert time.monotonic() < until, (left, count())
            time.sleep(0.5)
        assert workers.client.gather(futures) == list(range(30))
