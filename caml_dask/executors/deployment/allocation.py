"""Workers inside the allocation in which the run itself is: one launcher starts them on all allocated nodes."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caml_dask.errors import UsageError, WorkersError
from caml_dask.executors.deployment import interrupts
from caml_dask.executors.deployment.clusters import dask_level
from caml_dask.executors.deployment.queue import end_of
from caml_dask.executors.deployment.security import own_key
from caml_dask.executors.deployment.settings import Allocation
from caml_dask.executors.deployment.tasks import task_of, tell_tasks
from caml_dask.executors.deployment.workers import LOGS, worker_command
from caml_dask.groups import begin_log

if TYPE_CHECKING:
    from distributed import Security, SpecCluster

_log = logging.getLogger("caml_dask")
# What tells that a process is in an allocation, and what starts a process on each of its cores, or chunks, there.
_LAUNCHERS = (("SLURM_JOB_ID", "srun --kill-on-bad-exit=0"), ("PBS_JOBID", "pbsdsh --"), ("", "mpirun"))
_LOG = "allocation.log"
_ENDS_S = 20.0


def launcher_of(allocation: Allocation, environment: Mapping[str, str]) -> list[str]:
    """The command that starts its arguments on all nodes: the one that is named, or that of the batch system.

    Raises
    ------
    UsageError : there is none.
    """
    if allocation.launcher is not None:
        words = shlex.split(allocation.launcher)
        if words and shutil.which(words[0]):
            return words
        raise UsageError(f"launcher = {allocation.launcher!r} is not found on this node")
    for variable, launcher in _LAUNCHERS:
        words = shlex.split(launcher)
        if (not variable or variable in environment) and shutil.which(words[0]):
            return words
    raise UsageError(
        "neither srun, pbsdsh nor mpirun is found in this allocation: name what starts workers as launcher"
    )


@contextmanager
def allocation_cluster(
    allocation: Allocation, scratch: Path, threads: Mapping[str, str], dashboard: bool
) -> Iterator[tuple[SpecCluster, Callable[[], None]]]:
    """A scheduler in this process, with workers that the launcher starts, or that are the other tasks of this command.

    Yields also what raises once no worker will come.

    Parameters
    ----------
    scratch : a folder that all nodes see; holds the workers' key, and what they write.
    threads : environment of the workers.
    dashboard : serve Dask's pages on 127.0.0.1 of this node.

    Raises
    ------
    UsageError : no launcher.
    """
    tasks = task_of(os.environ)
    launcher = None if tasks else launcher_of(allocation, os.environ)
    with own_key(scratch) as (key, security), _scheduler(allocation, security, dashboard) as cluster:
        if launcher is None:
            tell_tasks(key, cluster.scheduler_address)
            yield cluster, interrupts.check
            return
        log = scratch / LOGS / _LOG
        command = [*launcher, *_given(threads), *worker_command(cluster.scheduler_address, key, allocation)]
        with begin_log(log) as written:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=written, stderr=written, start_new_session=True
            )
        try:
            yield cluster, lambda: _check(process, launcher, log)
        finally:
            cluster.close()  # workers end with their scheduler, and the launcher with its workers
            _end(process)


def _scheduler(allocation: Allocation, security: Security, dashboard: bool) -> SpecCluster:
    from distributed import Scheduler, SpecCluster

    options: dict[str, Any] = {"protocol": "tls://", "security": security, "interface": allocation.interface}
    options |= {"dashboard": dashboard, "dashboard_address": "127.0.0.1:0"}
    return SpecCluster({}, {"cls": Scheduler, "options": options}, security=security, silence_logs=dask_level())


def _given(threads: Mapping[str, str]) -> list[str]:
    """A command that sets the workers' environment: not every launcher hands on its own."""
    found = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ} | dict(threads)
    return ["env", *(f"{name}={value}" for name, value in found.items())]


def _check(process: subprocess.Popen[bytes], launcher: list[str], log: Path) -> None:
    interrupts.check()
    code = process.poll()
    if code is not None:
        words = end_of(log) or f"{log} is empty"
        raise WorkersError(f"{shlex.join(launcher)} ended with code {code}, and no worker is left: {words}")


def _end(process: subprocess.Popen[bytes]) -> None:
    for ask in (process.terminate, process.kill):
        with suppress(subprocess.TimeoutExpired):
            process.wait(_ENDS_S)
            return
        ask()
    process.wait()
