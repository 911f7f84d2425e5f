"""Where the units run: worker processes of this machine, a scheduler that stands, or jobs of a batch system."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caml_dask.errors import WorkersError
from caml_dask.executors.deployment import interrupts
from caml_dask.executors.deployment.settings import Allocation, Batch, Deployment, Existing, Local

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

# Workers are processes of one thread; so are the libraries in them. In workers that others started nothing is set: no
# unit uses a library's threads, and numba, once used, fails where NUMBA_NUM_THREADS changes.
ONE_THREAD = dict.fromkeys(
    (
        *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"),
        *("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
    ),
    "1",
)
_CONNECT_S = 30
_LOOK_S = 1.0  # between two looks at whether the user has had enough of waiting
_REPLACING_S = 5.0  # between two looks for workers that are gone for good
_CONFIG = {
    "distributed.scheduler.allowed-failures": 2,  # then a unit is tried again with nothing beside it (DaskExecutor)
    "distributed.scheduler.no-workers-timeout": "60s",
    "distributed.worker.multiprocessing-method": "spawn",
    "distributed.nanny.pre-spawn-environ": ONE_THREAD,
    "distributed.comm.timeouts.connect": f"{_CONNECT_S}s",
}
_NO_PAGES: dict[str, list[str]] = {f"distributed.{of}.http.routes": [] for of in ("worker", "nanny")}
_NONE_OF_SCHEDULER: dict[str, list[str]] = {"distributed.scheduler.http.routes": []}
# Environment of worker processes that a batch system or a launcher starts.
OF_WORKERS = ONE_THREAD | {f"DASK_DISTRIBUTED__{of}__HTTP__ROUTES": "[]" for of in ("WORKER", "NANNY")}


_log = logging.getLogger("caml_dask")


def dask_level() -> int:
    """What of Dask's own log is shown: nothing, unless debugging. Runs say in their words what matters of it."""
    return logging.ERROR if _log.isEnabledFor(logging.DEBUG) else logging.CRITICAL


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _dask_silent_when_lost() -> Iterator[None]:
    """A client that loses its scheduler prints tracebacks, which the run's own message makes needless."""
    from distributed.utils import silence_logging_cmgr

    with silence_logging_cmgr(dask_level()):
        yield


@dataclass(frozen=True)
class Workers:
    """The workers of a deployment.

    client : of their scheduler
    check : called by whoever waits for a worker; raises where none will come, or the user has had enough
    withdraw : of a worker's address and a reason: ends it, and has another come if it may; None where only the
        machines that there are can have any
    want : is told at times for how many threads there is work; None where their number is given
    """

    client: Client
    check: Callable[[], None] = interrupts.check
    withdraw: Callable[[str, str], None] | None = None
    want: Callable[[int], None] | None = None


@contextmanager
def deployed(deployment: Deployment, scratch: Path, dashboard: bool = False, wanted: int = 1) -> Iterator[Workers]:
    """The workers of a deployment, for as long as they are needed, with one at hand.

    Parameters
    ----------
    scratch : a folder of the run that all workers see.
    dashboard : the scheduler serves Dask's pages on 127.0.0.1 of this machine; one that stands does as it was told.
    wanted : threads that the run has work for, as far as is known before it begins.

    Raises
    ------
    UsageError : a deployment that cannot be used.
    WorkersError : a scheduler that does not answer, jobs that are refused or end at once, or no worker within the time
        stated.
    """
    if isinstance(deployment, Local):
        with local_cluster(deployment.workers or cores(), deployment.memory, dashboard) as client:
            yield Workers(client)
    elif isinstance(deployment, Existing):
        with _existing(deployment) as client:
            yield Workers(client)
    elif isinstance(deployment, Allocation):
        with _allocation(deployment, scratch, dashboard) as workers:
            yield workers
    else:
        with _batch(deployment, scratch, dashboard, wanted) as workers:
            yield workers


@contextmanager
def _told_when_interrupted(what: str) -> Iterator[None]:
    """Say what becomes of the workers when the user, or SIGTERM, ends the run; it may take some seconds."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        _log.warning("%s: %s", interrupt.args[0] if interrupt.args else "interrupted", what)
        raise


@contextmanager
def _replacing(cluster: LocalCluster, workers: int) -> Iterator[None]:
    """Dask gives a worker up that died while it started, or that needs long to start again: then begin another."""
    from tornado.ioloop import PeriodicCallback

    keeper = PeriodicCallback(lambda: cluster.scale(workers), 1e3 * _REPLACING_S)
    cluster.loop.add_callback(keeper.start)
    try:
        yield
    finally:
        cluster.loop.add_callback(keeper.stop)


@contextmanager
def local_cluster(workers: int, memory: str | None = None, dashboard: bool = False) -> Iterator[Client]:
    """An embedded cluster of single-threaded worker processes, on loopback alone, under mutual TLS.

    A scheduler runs what it is sent: other users of the machine reach its port, and have not its key, which no file
    holds. Pages on a run's tasks and memory are served only on request.

    What goes wrong in a unit is returned by it, and lost workers are told of: what else Dask logs, such as the
    connections that end with an interrupted run, is shown only when debugging.

    workers : number of worker processes, at least 1
    memory : what each may use, such as "4GiB"; None shares the machine's memory evenly
    dashboard : serve Dask's pages, to anyone on this machine
    """
    import dask
    from distributed import Client, LocalCluster, Security

    from caml_dask.executors.deployment.plugins import LostWorkers

    lost = LostWorkers()
    with dask.config.set(_CONFIG | _routes(dashboard)), interrupts.kept():
        with interrupts.workers_spared():
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                protocol="tls://",
                security=Security.temporary(),
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",  # any free port: several runs share a machine
                scheduler_kwargs={"dashboard": dashboard},
                silence_logs=dask_level(),
                memory_limit=memory or "auto",
            )
        cluster.scheduler.add_plugin(lost)
        with cluster, _replacing(cluster, workers), Client(cluster) as client:
            try:
                with _told_when_interrupted("the workers of this machine end"):
                    yield client
            finally:
                lost.closing = True


@contextmanager
def _existing(deployment: Existing) -> Iterator[Client]:
    import dask
    from distributed import Client, Security

    names = {
        "tls_ca_file": deployment.tls_ca,
        "tls_client_cert": deployment.tls_cert,
        "tls_client_key": deployment.tls_key,
    }
    security = Security(require_encryption=True, **names) if deployment.tls_ca else None
    where = {"address": deployment.address, "scheduler_file": deployment.scheduler_file}
    with dask.config.set(_CONFIG), interrupts.kept(), _dask_silent_when_lost():
        try:
            client = Client(**where, security=security, timeout=min(deployment.wait_s, _CONNECT_S))
        except (OSError, ValueError) as error:
            named = deployment.address or deployment.scheduler_file
            raise WorkersError(f"no scheduler answers at {named}: {error}") from None
        with client:
            _wait_for_a_worker(client, deployment.wait_s)
            yield client


@contextmanager
def _batch(deployment: Batch, scratch: Path, dashboard: bool, wanted: int) -> Iterator[Workers]:
    from caml_dask.executors.deployment.batch import batch_cluster, withdraw
    from caml_dask.executors.shared_kernels import environment

    with (
        _awaited(deployment.wait_s, dashboard),
        batch_cluster(deployment, scratch, OF_WORKERS | environment(scratch), dashboard, wanted) as (
            cluster,
            dead,
            scaling,
        ),
    ):
        _log.info("%d jobs submitted to %s; waiting for the first worker", scaling.jobs, deployment.kind)
        with (
            _told_when_interrupted(f"the jobs of {deployment.kind} are withdrawn"),
            _with_a_worker(cluster, deployment.wait_s, dead.check) as workers,
        ):
            yield replace(workers, withdraw=partial(withdraw, cluster, dead), want=scaling.want)


@contextmanager
def _allocation(deployment: Allocation, scratch: Path, dashboard: bool) -> Iterator[Workers]:
    from caml_dask.executors.deployment.allocation import allocation_cluster
    from caml_dask.executors.shared_kernels import environment

    with (
        _awaited(deployment.wait_s, dashboard),
        allocation_cluster(deployment, scratch, OF_WORKERS | environment(scratch), dashboard) as (cluster, check),
        _told_when_interrupted("the workers of this allocation end"),
        _with_a_worker(cluster, deployment.wait_s, check) as workers,
    ):
        yield workers


def _routes(dashboard: bool) -> dict[str, list[str]]:
    """Pages that Dask is not to serve."""
    return _NO_PAGES if dashboard else _NO_PAGES | _NONE_OF_SCHEDULER


@contextmanager
def _awaited(wait_s: float, dashboard: bool) -> Iterator[None]:
    """How Dask and interrupts behave while workers come and go that are not processes of this machine's."""
    import dask

    waits = {"distributed.scheduler.no-workers-timeout": f"{wait_s}s"}
    with dask.config.set(_CONFIG | waits | _routes(dashboard)), interrupts.kept(), _dask_silent_when_lost():
        yield


@contextmanager
def _with_a_worker(cluster: Any, wait_s: float, check: Callable[[], None]) -> Iterator[Workers]:
    """The workers of a cluster whose scheduler is in this process, once there is one."""
    from distributed import Client

    from caml_dask.executors.deployment.plugins import LostWorkers

    lost = LostWorkers()
    with Client(cluster) as client:
        _wait_for_a_worker(client, wait_s, check)
        cluster.scheduler.add_plugin(lost)
        try:
            yield Workers(client, check)
        finally:
            lost.closing = True


def _wait_for_a_worker(client: Client, wait_s: float, check: Callable[[], None] = interrupts.check) -> None:
    """Wait for the first worker, unless the user, or `check`, has had enough of waiting."""
    until = time.monotonic() + wait_s
    while True:
        check()
        try:
            client.wait_for_workers(1, timeout=min(_LOOK_S, max(0.1, until - time.monotonic())))
            return
        except TimeoutError:
            if time.monotonic() > until:
                raise WorkersError(f"no worker came within {wait_s:g} s: look at the queue, or raise wait_s") from None
