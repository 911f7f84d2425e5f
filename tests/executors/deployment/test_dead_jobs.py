"""Jobs that end before a worker of theirs comes: in a queue that is made up, and by a double of sbatch."""

from __future__ import annotations

import asyncio
import sys
from types import SimpleNamespace

import pytest

from caml_dask.errors import WorkersError
from caml_dask.executors.deployment import batch, dead_jobs
from caml_dask.executors.deployment.clusters import deployed
from caml_dask.executors.deployment.dead_jobs import DeadJobs
from caml_dask.executors.deployment.queue import Fate
from caml_dask.executors.deployment.scaling import Scaling
from caml_dask.executors.deployment.settings import Batch


class Queue:
    """Jobs of a batch system and what became of them."""

    def __init__(self, monkeypatch, jobs, logs):
        self.fates, self.answers = {}, True
        self.dead = DeadJobs(Batch("slurm", jobs=jobs), logs)
        monkeypatch.setattr(dead_jobs, "_ASK_S", 0.0)
        monkeypatch.setattr(dead_jobs, "unfinished", lambda kind: self.queued() if self.answers else None)
        monkeypatch.setattr(dead_jobs, "fate_of", lambda kind, job: self.fates[job])

    def queued(self):
        return {job for job, fate in self.fates.items() if fate is Fate.QUEUED}

    def look(self, with_workers=()):
        """What is submitted again after two looks; it leaves the queue for good."""
        again = set()
        for _ in range(2):
            jobs = set(self.fates)
            again |= asyncio.run(self.dead.to_replace(jobs, jobs - set(with_workers)))
            for job in again & jobs:
                del self.fates[job]
        return again


@pytest.fixture
def queue(monkeypatch, tmp_path):
    return lambda jobs: Queue(monkeypatch, jobs, tmp_path)


def test_when_all_jobs_failed_no_worker_will_come(queue, tmp_path, caplog):
    q = queue(2)
    (tmp_path / "dask-worker-8.out").write_text("no such module")
    q.fates = {"7": Fate.QUEUED, "8": Fate.ENDED}
    assert q.look() == set()
    q.dead.check()
    assert ["job 8 of slurm ended before a worker came" in line for line in caplog.messages] == [True]
    q.fates["7"] = Fate.ENDED
    assert q.look() == set()
    with pytest.raises(WorkersError, match="job 7 of slurm ended before a worker came: no log in .* says more"):
        q.dead.check()
    assert len(caplog.messages) == 1, "a job is told of once"


def test_jobs_that_fail_once_workers_have_come_are_submitted_again_so_many_times_in_a_row(queue, caplog):
    q = queue(1)
    q.dead.worker_came()
    for number in map(str, range(3)):
        q.fates = {"w": Fate.QUEUED, number: Fate.ENDED}
        assert q.look(with_workers="w") == {number}
    q.dead.worker_came()
    for number in map(str, range(3, 6)):
        q.fates = {number: Fate.ENDED}
        assert q.look() == {number}
        q.dead.check()
    q.fates = {"6": Fate.ENDED}
    assert q.look() == set() == q.look()
    with pytest.raises(WorkersError, match="job 6 of slurm ended"):
        q.dead.check()
    assert sum("submitted again" in line for line in caplog.messages) == 6


def test_those_that_failed_before_the_first_worker_are_submitted_again_after_it(queue):
    q = queue(2)
    q.fates = {"7": Fate.QUEUED, "8": Fate.ENDED}
    assert q.look() == set()
    q.dead.worker_came()
    assert q.look(with_workers="7") == {"8"}


def test_jobs_that_the_site_stops_are_submitted_again_though_no_worker_ever_came(queue):
    q = queue(1)
    for number in map(str, range(3)):
        q.fates = {number: Fate.STOPPED}
        assert q.look() == {number}
    q.fates = {"3": Fate.STOPPED}
    assert q.look() == set()
    with pytest.raises(WorkersError, match="job 3"):
        q.dead.check()


def test_a_job_is_dead_if_two_looks_miss_it_and_the_system_says_so(queue):
    q = queue(1)
    q.fates = {"7": Fate.ENDED}
    assert asyncio.run(q.dead.to_replace({"7"}, {"7"})) == set()
    q.dead.check()
    q.answers = False
    assert q.look() == set()
    q.dead.check()
    q.answers, q.queued = True, set
    q.fates = {"7": Fate.QUEUED}  # not listed yet, and there
    assert q.look() == set()
    q.dead.check()


def test_a_worker_that_comes_and_is_lost_between_two_looks_counts(queue, monkeypatch):
    monkeypatch.setattr(batch, "_LOOK_S", 0.0)
    plugins, come = [], SimpleNamespace(name="jobs-0-1")
    scheduler = SimpleNamespace(workers={"tls://here": come}, add_plugin=plugins.append)
    cluster = SimpleNamespace(scheduler=scheduler, workers={"jobs-0": SimpleNamespace(job_id="7")}, worker_spec=[0])
    q = queue(1)

    async def keep():
        keeper = asyncio.create_task(batch._keep(cluster, q.dead, Scaling(Batch("slurm"), 1, 1)))
        await asyncio.sleep(0)
        await plugins[0].add_worker(scheduler, "tls://here")
        scheduler.workers.clear()
        await asyncio.sleep(0.01)
        keeper.cancel()

    asyncio.run(keep())
    q.fates = {"8": Fate.ENDED}
    assert q.look() == {"8"}
    q.dead.check()


SUBMITS = """#!{python}
import pathlib, re, subprocess, sys
folder = pathlib.Path({folder!r})
job = len(list(folder.glob("submitted-*"))) + 7
(folder / f"submitted-{{job}}").touch()
named = re.search(r"(?m)^#SBATCH -o (.*)$", script := pathlib.Path(sys.argv[-1]).read_text())[1]
with open(named.replace("%J", str(job)), "w") as log:
    subprocess.run(["/bin/sh", "-c", script], stdout=log, stderr=log, cwd="/")
print("Submitted batch job", job)
"""


def command(folder, name, text):
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)


@pytest.mark.parametrize(("jobs", "submitted"), [(1, 1), (3, 3)])
def test_a_prologue_that_fails_ends_the_wait_with_the_log_of_a_job(jobs, submitted, tmp_path, monkeypatch):
    pytest.importorskip("dask_jobqueue")
    monkeypatch.setattr(dead_jobs, "_ASK_S", 0.5)
    monkeypatch.setattr(batch, "_LOOK_S", 0.2)
    command(tmp_path, "sbatch", SUBMITS.format(python=sys.executable, folder=str(tmp_path)))
    command(tmp_path, "scancel", "#!/bin/sh\nexit 0\n")
    command(tmp_path, "squeue", "#!/bin/sh\ncase $* in *--user*) ;; *) echo FAILED ;; esac\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (tmp_path / "run").mkdir()
    prologue = ["echo module: no such module >&2", "exit 1"]
    cluster = {"cores": 1, "memory": "1GB", "interface": "lo", "job_script_prologue": prologue}
    with (
        pytest.raises(WorkersError, match=r"7.* of slurm ended before a worker came: .*no such module") as told,
        deployed(Batch("slurm", jobs=jobs, wait_s=60.0, cluster=cluster), tmp_path / "run"),
    ):
        pass
    assert str(tmp_path / "run" / "jobs") in str(told.value)
    assert len(list(tmp_path.glob("submitted-*"))) == submitted
