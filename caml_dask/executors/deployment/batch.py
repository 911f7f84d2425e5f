"""Workers as jobs of a batch system, through dask-jobqueue: comms under mutual TLS, dashboards on loopback."""

from __future__ import annotations

import asyncio
import importlib
import logging
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
from dask.utils import parse_timedelta
from distributed import Status

from caml_dask.errors import UsageError, WorkersError
from caml_dask.executors.deployment.queue import has_ended, last_words
from caml_dask.executors.deployment.security import identity, reading
from caml_dask.executors.deployment.settings import Batch
from caml_dask.extras import require

if TYPE_CHECKING:
    from dask_jobqueue.core import Job, JobQueueCluster
    from distributed import Security

_log = logging.getLogger("caml_dask")
_CLASSES = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "lsf": "LSFCluster", "sge": "SGECluster"}
_NOT_OF_THE_JOB = ("scheduler_options", "scheduler_cls", "shared_temp_directory", "silence_logs")
_LOST_S = 20.0  # after its last worker was seen, a job counts as lost
_LOOK_S = 5.0
_STARTS_S = 30.0  # for so long a job without a worker is not looked for in the queue
_DIES_AGAIN = 3  # times as many jobs as wanted that may end without a worker, before no more are submitted for them
STAGGER_S = 120.0  # workers end by so much sooner or later than their lifetime, so that not all end at once
_PRIVATE = ".tls-"  # folder of the key that a run's workers read


@contextmanager
def batch_cluster(batch: Batch, scratch: Path, threads: Mapping[str, str]) -> Iterator[JobQueueCluster]:
    """A scheduler in this process, and its workers as jobs, of which lost ones are submitted anew.

    Parameters
    ----------
    scratch : a folder that all nodes see; holds the workers' key, readable for this user alone, while the cluster runs.
    threads : environment that keeps libraries in a worker to one thread.

    Raises
    ------
    UsageError : keywords that dask-jobqueue does not take.
    WorkersError : a job that the batch system refuses.
    """
    for stale in scratch.glob(f"{_PRIVATE}*"):  # of a run that was killed
        shutil.rmtree(stale, ignore_errors=True)
    with (
        tempfile.TemporaryDirectory(prefix=_PRIVATE, dir=scratch) as private,
        build(batch, threads, identity(Path(private))) as cluster,
    ):
        refusal = cluster.sync(_submit, cluster, batch.jobs)
        keeper = asyncio.run_coroutine_threadsafe(_keep(cluster, batch), cluster.loop.asyncio_loop)
        try:
            if refusal is not None:
                raise WorkersError(f"{batch.kind} refuses the job: {refusal}")
            yield cluster
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
    """A job as it will be submitted, but for the scheduler's address and the name of the key's folder."""
    security = reading(scratch / f"{_PRIVATE}of-this-run")
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
        "job_script_prologue": [*(f"export {k}={v}" for k, v in threads.items()), *of("job_script_prologue", [])],
        "scheduler_options": {"dashboard_address": "127.0.0.1:0", **of("scheduler_options", {})},
        "security": security,
        "silence_logs": logging.ERROR,
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
        return str(error)
    return None


class EndedJobs:
    """Notices that all jobs have left the queue before any of them had a worker.

    Parameters
    ----------
    cluster : its jobs submitted.
    batch : its deployment.
    """

    def __init__(self, cluster: JobQueueCluster, batch: Batch):
        self._cluster, self._batch = cluster, batch
        self._look = time.monotonic() + _LOOK_S
        self._before: set[str] = set()

    def check(self) -> None:
        """Look at the queue, some seconds after the last look.

        Raises
        ------
        WorkersError : none of the jobs was there at two looks; names the log of one, and what it ends with.
        """
        if time.monotonic() < self._look:
            return
        ids = {job.job_id for job in list(self._cluster.workers.values()) if job.job_id is not None}
        gone = {job_id for job_id in ids if has_ended(self._batch.kind, job_id)}
        if ids and gone == ids == self._before:
            raise WorkersError(_died(self._batch, sorted(gone)))
        self._before = gone
        self._look = time.monotonic() + _LOOK_S


def _died(batch: Batch, job_ids: list[str]) -> str:
    named = f"{', '.join(job_ids[:3])}{', ...' * (len(job_ids) > 3)}"
    told = last_words(job_ids, site_setting(batch, "log_directory"))
    what = f"job {named} of {batch.kind} ended" if len(job_ids) == 1 else f"the jobs {named} of {batch.kind} ended"
    return f"{what} before a worker came: " + (
        told or "look at their output, in log_directory of the deployment's [cluster] or where they were submitted"
    )


async def _keep(cluster: JobQueueCluster, batch: Batch) -> None:
    """Submit anew what was lost: dask-jobqueue itself leaves a job that ended, or whose submission failed, at that."""
    seen: dict[str, float] = {}
    waiting: dict[str, float] = {}
    while True:
        await asyncio.sleep(_LOOK_S)
        await _withdraw_lost(cluster, seen)
        if seen:
            await _withdraw_dead(cluster, batch, seen, waiting)
        if len(cluster.workers) < len(cluster.worker_spec):
            refusal = await _submit(cluster, len(cluster.worker_spec))
            if refusal is not None:
                _log.warning("a job could not be submitted; it is tried again: %s", refusal)


async def _withdraw_lost(cluster: JobQueueCluster, seen: dict[str, float]) -> None:
    """Forget jobs that were not submitted, or had workers and have none any more.

    seen : number of a job in the queue to the time at which a worker of it was last there; filled here
    """
    names = {str(worker.name) for worker in cluster.scheduler.workers.values()}
    now = time.monotonic()
    for name, job in list(cluster.workers.items()):
        if any(worker == name or worker.startswith(f"{name}-") for worker in names):
            seen[job.job_id] = now
        elif job.job_id is None or now - seen.get(job.job_id, now) > _LOST_S:
            del cluster.workers[name]
            job.status = Status.closed
            await job.close()


async def _withdraw_dead(
    cluster: JobQueueCluster, batch: Batch, seen: dict[str, float], waiting: dict[str, float]
) -> None:
    """Forget jobs that left the queue without ever having had a worker, while other jobs have had some.

    seen : as of `_withdraw_lost`
    waiting : number of a job without a worker so far to the time of its first look; filled here, and -1 once it died
    """
    now = time.monotonic()
    for name, job in list(cluster.workers.items()):
        if job.job_id is None or job.job_id in seen or now - waiting.setdefault(job.job_id, now) < _STARTS_S:
            continue
        if list(waiting.values()).count(-1.0) >= _DIES_AGAIN * batch.jobs:
            return
        if await asyncio.to_thread(has_ended, batch.kind, job.job_id):
            waiting[job.job_id] = -1.0
            _log.warning("%s; another is submitted", _died(batch, [job.job_id]))
            del cluster.workers[name]
            job.status = Status.closed
            await job.close()
