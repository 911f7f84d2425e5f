"""One command as several tasks of srun or mpirun: the first runs the analysis, the others are its workers.

The others find the scheduler by the folder of the run's key, which the first makes in the output directory. Only a
folder of this user that no other can open is looked at: a worker does what its scheduler says.
"""

from __future__ import annotations

import logging
import os
import socket
import stat
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from caml_dask.atomic import publish_text
from caml_dask.errors import UsageError, WorkersError
from caml_dask.executors.deployment.clusters import OF_WORKERS
from caml_dask.executors.deployment.security import PRIVATE
from caml_dask.executors.deployment.settings import Allocation, Deployment
from caml_dask.executors.deployment.workers import LOGS, worker_command
from caml_dask.executors.shared_kernels import environment
from caml_dask.groups import begin_log
from caml_dask.io.run_directory import HIDDEN
from caml_dask.seen import awaited, names_in

_log = logging.getLogger("caml_dask")
# Rank and number of tasks, as Open MPI, other MPIs and Slurm tell them. MPIs of Slurm start their own tasks by srun.
_TOLD = (
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
)
_ADDRESS = "scheduler"
_SILENT_S = 60.0  # without a sign of life of the run, after which a task waits no longer
_LOOK_S = 1.0


@dataclass(frozen=True)
class Task:
    """This process as one of several: its number, from 0, and how many there are."""

    rank: int
    of: int


def task_of(environment: Mapping[str, str]) -> Task | None:
    """Which of several tasks a process is, by its environment; None where it is the only one."""
    for rank, count in _TOLD:
        with suppress(KeyError, ValueError):
            task = Task(int(environment[rank]), int(environment[count]))
            return task if task.of > 1 else None
    return None


def deployment_of_tasks(task: Task, chosen: Deployment | None) -> Allocation:
    """The deployment whose workers are the other tasks.

    Raises
    ------
    UsageError : another one was chosen.
    """
    if chosen is None:
        return Allocation()
    if isinstance(chosen, Allocation):
        return chosen
    raise UsageError(
        f'this is one of {task.of} tasks, which work together: start the command once, or choose kind = "allocation"'
    )


def tell_tasks(folder: Path, address: str) -> None:
    """Let the other tasks know where the scheduler is.

    folder : of the run's key
    """
    publish_text(folder / _ADDRESS, address)


def work_for(task: Task, out: Path, allocation: Allocation) -> None:
    """Be a worker of the run in `out` that the first task begins, until that ends.

    Raises
    ------
    WorkersError : it begins none.
    """
    _log.info("task %d of %d: a worker, once the first task asks", task.rank, task.of)
    scratch = out.absolute() / HIDDEN
    before: dict[str, bytes] = {}
    begun, sign = False, time.monotonic()
    while time.monotonic() - sign < _SILENT_S:
        found = _scheduler(scratch)
        if found is not None:
            _work(task, scratch, worker_command(*found, allocation))
            return
        beats = _beats(scratch)
        if beats != before:
            before, sign, begun = beats, time.monotonic(), begun or bool(beats)
        if begun and not beats:
            return
        time.sleep(_LOOK_S)
    if not begun and "manifest.json" not in names_in(scratch):
        raise WorkersError(
            f"the first of {task.of} tasks began no run in {out}: see what it says. If each task is to be a run of its "
            "own, give --workers"
        )


def _work(task: Task, scratch: Path, command: list[str]) -> None:
    given = {**os.environ, **OF_WORKERS, **environment(scratch)}
    log = scratch / LOGS / f"task-{task.rank}.log"
    with begin_log(log) as written:
        subprocess.run(command, env=given, stdout=written, stderr=written, check=False)


def _scheduler(scratch: Path) -> tuple[str, Path] | None:
    """Address and key of a scheduler that listens."""
    for name in sorted(names_in(scratch)):
        folder = scratch / name
        if name.startswith(PRIVATE) and _is_ours(folder) and _ADDRESS in names_in(folder):
            with suppress(OSError, ValueError):  # of a run that ended, or was killed
                address = awaited(folder / _ADDRESS, Path.read_text)
                host, port = address.removeprefix("tls://").rsplit(":", 1)
                socket.create_connection((host, int(port)), timeout=10).close()
                return address, folder
    return None


def _is_ours(folder: Path) -> bool:
    with suppress(OSError):
        found = folder.lstat()
        return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077
    return False


def _beats(scratch: Path) -> dict[str, bytes]:
    """What the files of those say that hold the run: they change while it lives."""
    found = {}
    for name in names_in(scratch):
        if name.endswith(".holder"):
            with suppress(OSError):
                found[name] = (scratch / name).read_bytes()
    return found
