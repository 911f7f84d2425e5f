"""Jobs whose machine can do no unit of the run: they end, and a bounded number of others takes their place."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from caml_dask.errors import WorkersError
from caml_dask.executors.deployment import batch
from caml_dask.executors.deployment.dead_jobs import DeadJobs
from caml_dask.executors.deployment.settings import Batch


class Cluster:
    """Jobs of two workers each, of a batch system that starts every job at once on the same machine."""

    def __init__(self, jobs):
        self.worker_spec = {f"job-{number}": {} for number in range(jobs)}
        self.workers, self.cancelled, self.started, self.retired = {}, [], 0, []
        self.scheduler = SimpleNamespace(workers={}, retire_workers=self.retire)
        self.start()

    async def retire(self, workers, close_workers):
        self.retired += workers
        for worker in workers:
            del self.scheduler.workers[worker]

    def start(self):
        for name in self.worker_spec.keys() - self.workers.keys():
            self.started += 1
            number = str(self.started)
            self.workers[name] = SimpleNamespace(job_id=number, close=self.close(number))
            for process in range(2):
                address = f"tls://{number}:{process}"
                self.scheduler.workers[address] = SimpleNamespace(name=f"{name}-{process}")

    def close(self, number):
        async def close():
            self.cancelled.append(number)

        return close


@pytest.mark.parametrize("jobs", [1, 3])
def test_each_job_goes_with_all_its_workers_and_after_three_more_none_is_left(jobs, tmp_path):
    cluster, dead = Cluster(jobs), DeadJobs(Batch("slurm", jobs=jobs), tmp_path)
    while cluster.workers:
        dead.check()
        workers = list(cluster.scheduler.workers)
        for worker in workers:  # of a job that the first of its workers had withdrawn, the others ask for nothing more
            asyncio.run(batch._withdraw(cluster, dead, worker, f"the worker on {worker} is blind"))
        cluster.start()
    assert cluster.started == jobs + 3 and len(cluster.cancelled) == len(set(cluster.cancelled)) == jobs + 3
    assert len(cluster.retired) == 2 * cluster.started and not cluster.scheduler.workers
    with pytest.raises(WorkersError, match=r"is blind; no job of slurm is left; .*--resume"):
        dead.check()


def test_a_job_of_a_sound_machine_stays(tmp_path):
    cluster, dead = Cluster(12), DeadJobs(Batch("slurm", jobs=12), tmp_path)
    asyncio.run(batch._withdraw(cluster, dead, "tls://1:0", "it is blind"))
    asyncio.run(batch._withdraw(cluster, dead, "tls://nowhere:0", "it is blind"))
    assert cluster.cancelled == ["1"] and len(cluster.workers) == 11  # job-1 is none of job-11's
    dead.check()
