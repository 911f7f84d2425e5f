"""Jobs that are asked for as units wait, and given back when nothing is left for them to do."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from dask_clients import Inline
from support import simulated_table

from caml_dask.errors import UsageError
from caml_dask.executors import roster
from caml_dask.executors.dask import DaskExecutor
from caml_dask.executors.deployment import batch, scaling
from caml_dask.executors.deployment.dead_jobs import DeadJobs
from caml_dask.executors.deployment.scaling import Scaling
from caml_dask.executors.deployment.settings import Batch
from caml_dask.runs.session import analyse, begun
from caml_dask.settings import Settings


class Cluster:
    """Jobs of two workers each; those that were submitted wait in the queue until `start`."""

    def __init__(self):
        self.worker_spec, self.workers, self.ended, self._numbers = {}, {}, [], itertools.count()
        self.scheduler = SimpleNamespace(workers={}, retire_workers=self._retire)

    def new_worker_spec(self):
        return {f"job-{next(self._numbers)}": {}}

    def __await__(self):
        for name in self.worker_spec.keys() - self.workers.keys():
            self.workers[name] = SimpleNamespace(job_id=name.removeprefix("job-"), close=self._close(name))
        return iter(())

    def start(self, *jobs):
        for name, process in itertools.product(jobs, range(2)):
            self.scheduler.workers[f"tls://{name}:{process}"] = SimpleNamespace(name=f"{name}-{process}", processing={})

    async def _retire(self, workers, close_workers):
        assert close_workers
        for worker in workers:
            del self.scheduler.workers[worker]

    def _close(self, name):
        async def close():
            self.ended.append(name)

        return close


def look(cluster, dead, scaled):
    """One look of :func:`caml_dask.executors.deployment.batch._keep`."""

    async def once():
        await batch._give_back(cluster, scaled)
        return await batch._replace(cluster, dead, scaled, {}, lambda worker: None)

    assert asyncio.run(once()) is None


@pytest.mark.parametrize(
    ("least", "wanted", "jobs"), [(1, 0, 1), (1, 2, 1), (1, 3, 2), (1, 99, 4), (3, 1, 3), (None, 1, 4), (None, 99, 4)]
)
def test_as_many_jobs_as_the_work_fills_within_the_bounds(least, wanted, jobs):
    assert Scaling(Batch("slurm", jobs=4, least_jobs=least), 2, wanted).jobs == jobs


@pytest.mark.parametrize("least", [0, 5])
def test_bounds_that_cannot_be(least):
    with pytest.raises(UsageError, match=f"least_jobs = {least}: give 1 to jobs, which is 4"):
        Batch("slurm", jobs=4, least_jobs=least)


def test_jobs_come_with_the_work_and_idle_ones_go_when_there_is_little_for_a_while(monkeypatch, tmp_path):
    now = 1000.0
    monkeypatch.setattr(scaling, "time", SimpleNamespace(monotonic=lambda: now))
    deployment = Batch("slurm", jobs=4, least_jobs=1)
    cluster, dead, scaled = Cluster(), DeadJobs(deployment, tmp_path), Scaling(deployment, 2, 1)
    look(cluster, dead, scaled)
    assert list(cluster.workers) == ["job-0"]
    scaled.want(50)
    look(cluster, dead, scaled)
    assert len(cluster.workers) == 4 and not cluster.ended
    cluster.start("job-0", "job-1", "job-2")
    for busy in ("tls://job-0:0", "tls://job-2:1"):
        cluster.scheduler.workers[busy].processing["unit"] = 1.0
    scaled.want(1)
    look(cluster, dead, scaled)
    assert not cluster.ended, "between two stages little waits, too"
    now += scaling.GIVEN_BACK_S + 1
    look(cluster, dead, scaled)
    assert cluster.ended == ["job-3", "job-1"], "the one that waits in the queue first, and none that works"
    cluster.scheduler.workers["tls://job-0:0"].processing.clear()
    look(cluster, dead, scaled)
    assert list(cluster.workers) == list(cluster.worker_spec) == ["job-2"]
    scaled.want(4)
    look(cluster, dead, scaled)
    assert len(cluster.workers) == 2


@pytest.mark.parametrize("jobs", [2, 20])
def test_what_unfit_machines_cost_is_not_asked_for_again(tmp_path, jobs):
    deployment = Batch("slurm", jobs=jobs, least_jobs=1)
    cluster, dead, scaled = Cluster(), DeadJobs(deployment, tmp_path), Scaling(deployment, 2, 4)
    for number in range(5):
        look(cluster, dead, scaled)
        assert len(cluster.workers) == min(2, 5 - number)
        job = next(iter(cluster.workers))
        cluster.start(job)
        asyncio.run(batch._withdraw(cluster, dead, f"tls://{job}:0", "it is blind"))
    look(cluster, dead, scaled)
    assert not cluster.workers and not cluster.worker_spec


def test_the_run_tells_for_how_many_workers_it_has_work(tmp_path, monkeypatch):
    monkeypatch.setattr(roster, "BETWEEN_LOOKS_S", 0.0)
    settings = Settings(network="XPILJZ", test=False, max_localizations=300)
    tables = [simulated_table(tmp_path / f"cell {n}.csv", side_nm=2000.0, seed=n) for n in range(4)]
    wanted = []
    with begun(tables, tmp_path / "out", settings, False, False) as run:
        told = DaskExecutor(Inline(), want=wanted.append)
        monkeypatch.setattr("caml_dask.runs.session.executor", lambda *_: nullcontext(told))
        assert analyse(run).exit_code == 0
    assert wanted[0] == 4 and max(wanted) > 4, "first images, of which each then has several tiles"
    assert wanted[-1] == min(wanted) == 1
