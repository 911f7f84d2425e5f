"""Workers as jobs of a batch system, through dask-jobqueue: comms under mutual TLS, dashboards on loopback."""

from __future__ import annotations

import asyncio
import importlib
import shlex
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
from dask.utils import parse_timedelta
from distributed import Status

from caml_dask.errors import UsageError, WorkersError
from caml_dask.executors.deployment.clusters import dask_level
from caml_dask.executors.deployment.dead_jobs import DeadJobs
from caml_dask.executors.deployment.plugins import Arrivals
from caml_dask.executors.deployment.repeated import Repeated
from caml_dask.executors.deployment.scaling import Scaling
from caml_dask.executors.deployment.security import PRIVATE, own_key, reading
from caml_dask.executors.deployment.settings import Batch
from caml_dask.executors.deployment.workers import LOGS
from caml_dask.extras import require

if TYPE_CHECKING:
    from dask_jobqueue.core import Job, JobQueueCluster
    from distributed import Security

_CLASSES = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "lsf": "LSFCluster", "sge": "SGECluster"}
_NOT_OF_THE_JOB = ("scheduler_options", "scheduler_cls", "shared_temp_directory", "silence_logs")
_LOST_S = 20.0  # after its last worker was seen, a job counts as lost
_LOOK_S = 5.0
STAGGER_S = 120.0  # workers end by so much sooner or later than their lifetime, so that not all end at once


@contextmanager
def batch_cluster(
    batch: Batch, scratch: Path, threads: Mapping[str, str], dashboard: bool, wanted: int
) -> Iterator[tuple[JobQueueCluster, DeadJobs, Scaling]]:
    """A scheduler in this process, and its workers as jobs, of which lost ones are submitted anew.

    Parameters
    ----------
    scratch : a folder that all nodes see; holds the workers' key, readable for this user alone, while the cluster runs,
        and what the jobs wrote.
    threads : environment of the jobs: what keeps libraries in a worker to one thread, and where kernels are.
    dashboard : serve Dask's pages on 127.0.0.1 of this machine.
    wanted : threads that the run has work for, as far as is known before it begins.

    Raises
    ------
    UsageError : keywords that dask-jobqueue does not take.
    WorkersError : a job that the batch system refuses.
    """
    logs = Path(site_setting(batch, "log_directory", scratch / LOGS)).absolute()
    options = {**site_setting(batch, "scheduler_options", {}), "dashboard": dashboard}
    logged = replace(batch, cluster={**batch.cluster, "log_directory": str(logs), "scheduler_options": options})
    with own_key(scratch) as (_, security), build(logged, threads, security) as cluster:
        scaling = Scaling(batch, int(site_setting(batch, "cores", 1)), wanted)
        refusal = cluster.sync(_submit, cluster, scaling.jobs)
        dead = DeadJobs(batch, logs)
        keeper = asyncio.run_coroutine_threadsafe(_keep(cluster, dead, scaling), cluster.loop.asyncio_loop)
        try:
            if refusal is not None:
                raise WorkersError(f"{batch.kind} refuses the job: {refusal}")
            yield cluster, dead, scaling
        finally:
            keeper.cancel()
            for job in cluster.workers.values():
                job.status = Status.closed  # dask-jobqueue leaves it, and Dask asks for it when it closes


def build(batch: Batch, threads: Mapping[str, str], security: Security) -> JobQueueCluster:
    """The cluster of a batch system, its scheduler running, without jobs so far."""
    cluster_class = _class(batch)
    command = shlex.split(cluster_class.job_cls.submit_command)[0]
    if shutil.which(command) is None:
        raise WorkersError(f"{command} is not found: run this where jobs of {batch.kind} can be submitted")
    with _said_plainly():
        return cluster_class(**keywords(batch, threads, security))


def job_of(batch: Batch, threads: Mapping[str, str], scratch: Path) -> Job:
    """A job as it will be submitted, but for the scheduler's address, the key's folder, and one of logs by default."""
    security = reading(scratch / f"{PRIVATE}of-this-run")
    with _said_plainly():
        given = keywords(batch, threads, security)
        of_the_job = {key: value for key, value in given.items() if key not in _NOT_OF_THE_JOB}
        return _class(batch).job_cls("tls://ADDRESS-OF-THE-SCHEDULER", name="NAME", protocol="tls://", **of_the_job)


@contextmanager
def _said_plainly() -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(f"dask-jobqueue cannot use the deployment: {error}") from error


def _class(batch: Batch) -> Any:
    require("hpc", f'a deployment of kind "{batch.kind}"')
    return getattr(importlib.import_module("dask_jobqueue"), _CLASSES[batch.kind])


def keywords(batch: Batch, threads: Mapping[str, str], security: Security) -> dict[str, Any]:
    """What dask-jobqueue's class is given: the deployment's keywords over the site's YAML, and what a run adds.

    Every worker process has one thread, unless `processes` is named; libraries in it have one as well.
    """
    of = partial(site_setting, batch)
    lifetime = []
    if batch.lifetime is not None:
        stagger_s = min(STAGGER_S, parse_timedelta(batch.lifetime) / 10)
        lifetime = ["--lifetime", batch.lifetime, "--lifetime-stagger", f"{stagger_s:g}s"]
    added = {
        "processes": of("processes", of("cores", None)),
        "worker_extra_args": [*of("worker_extra_args", []), "--dashboard-address", "127.0.0.1:0", *lifetime],
        "job_script_prologue": [
            *(f"export {k}={shlex.quote(v)}" for k, v in threads.items()),
            *of("job_script_prologue", []),
        ],
        "scheduler_options": {"dashboard_address": "127.0.0.1:0", **of("scheduler_options", {})},
        "security": security,
        "silence_logs": dask_level(),
    }
    return {**batch.cluster, **{key: value for key, value in added.items() if value is not None}}


def site_setting(batch: Batch, key: str, default: Any = None) -> Any:
    """What dask-jobqueue will take for a keyword: the deployment's, or that of the site's YAML."""
    _class(batch)  # which reads the YAML
    section = f"jobqueue.{batch.cluster.get('config_name', batch.kind)}"
    value = batch.cluster.get(key, dask.config.get(f"{section}.{key.replace('_', '-')}", None))
    return default if value is None else value


async def _submit(cluster: JobQueueCluster, jobs: int) -> str | None:
    """Have so many jobs; what the batch system said where it refused one."""
    while len(cluster.worker_spec) < jobs:
        cluster.worker_spec.update(cluster.new_worker_spec())
    try:
        await cluster
    except (RuntimeError, OSError) as error:
        told = str(error).rpartition("stderr:")[2].strip()  # before it, the script's name, which is never the same
        return told or str(error)
    return None


async def _keep(cluster: JobQueueCluster, dead: DeadJobs, scaling: Scaling) -> None:
    """Have as many jobs as are wanted, and submit anew what was lost: dask-jobqueue itself leaves a job that ended, or
    whose submission failed, at that."""
    seen: dict[str, float] = {}  # number of a job to the time at which a worker of it was last there
    refused = Repeated("a job could not be submitted; it is tried again")
    failed = Repeated("jobs could not be looked after; it is tried again")

    def note(worker: str) -> None:
        for name, job in cluster.workers.items():
            if _is_of(worker, name):
                if job.job_id not in seen:
                    dead.worker_came()
                seen[job.job_id] = time.monotonic()

    cluster.scheduler.add_plugin(Arrivals(note))  # a worker may come and be lost between two looks
    while True:
        await asyncio.sleep(_LOOK_S)
        try:
            await _give_back(cluster, scaling)
            refusal = await _replace(cluster, dead, scaling, seen, note)
        except Exception as error:  # of the batch system's commands: what is lost is looked for again
            failed.warn(str(error))
        else:
            if refusal is not None:
                refused.warn(refusal)


async def _replace(
    cluster: JobQueueCluster, dead: DeadJobs, scaling: Scaling, seen: Mapping[str, float], note: Callable[[str], None]
) -> str | None:
    """Submit anew what one look at the jobs finds lost, and what is missing of those that are wanted; what the batch
    system said where it refused one.

    seen, note : those of :func:`_keep`
    """
    for worker in cluster.scheduler.workers.values():
        note(str(worker.name))
    lost = _lost(cluster, seen)
    jobs = {job.job_id for job in cluster.workers.values() if job.job_id is not None}
    again = await dead.to_replace(jobs, jobs - set(seen))
    for name, job in list(cluster.workers.items()):
        if name in lost or job.job_id in again:
            cluster.workers.pop(name, None)
            job.status = Status.closed
            await job.close()
    wanted = max(scaling.jobs - dead.given_up, len(cluster.worker_spec))
    return await _submit(cluster, wanted) if len(cluster.workers) < wanted else None


async def _give_back(cluster: JobQueueCluster, scaling: Scaling) -> None:
    """End jobs that have nothing to do, where fewer are wanted; what a worker still has goes to others."""
    busy: dict[str, bool | None] = {}
    for name in cluster.worker_spec:
        own = [known for known in cluster.scheduler.workers.values() if _is_of(known.name, name)]
        busy[name] = any(known.processing for known in own) if own else None
    for name in scaling.to_give_back(busy):
        del cluster.worker_spec[name]
        if (job := cluster.workers.pop(name, None)) is not None:
            await _end(cluster, name, job)


def _lost(cluster: JobQueueCluster, seen: Mapping[str, float]) -> set[str]:
    """Names of jobs that were not submitted, or had workers and have none any more."""
    now = time.monotonic()
    return {
        name for name, job in cluster.workers.items() if job.job_id is None or now - seen.get(job.job_id, now) > _LOST_S
    }


def withdraw(cluster: JobQueueCluster, dead: DeadJobs, worker: str, why: str) -> None:
    """Have the job of a worker that can do no units end, soon; another may be submitted in its place.

    worker : address
    why : told if it was the last job
    """
    asyncio.run_coroutine_threadsafe(_withdraw(cluster, dead, worker, why), cluster.loop.asyncio_loop)


async def _withdraw(cluster: JobQueueCluster, dead: DeadJobs, worker: str, why: str) -> None:
    there = cluster.scheduler.workers
    name = next((name for name in cluster.workers if worker in there and _is_of(there[worker].name, name)), None)
    if name is None:  # another worker of the job had it withdrawn
        return
    job = cluster.workers.pop(name)
    if not dead.replaces_unfit():
        del cluster.worker_spec[name]
    try:
        await _end(cluster, name, job)
    finally:
        if not cluster.worker_spec:
            dead.none_left(why)


async def _end(cluster: JobQueueCluster, name: str, job: Job) -> None:
    """Retire the workers of a job, and end it."""
    own = [address for address, known in cluster.scheduler.workers.items() if _is_of(known.name, name)]
    try:
        await cluster.scheduler.retire_workers(own, close_workers=True)
    finally:
        job.status = Status.closed
        await job.close()


def _is_of(worker: object, job: str) -> bool:
    """Whether a worker of a name is one of a job's processes."""
    return str(worker) == job or str(worker).startswith(f"{job}-")
