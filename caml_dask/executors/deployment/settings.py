"""Deployments as frozen settings, read from TOML: where the workers of a run come from."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from caml_dask.errors import UsageError

BATCH_KINDS = ("slurm", "pbs", "lsf", "sge")
KINDS = ("local", "scheduler", "allocation", *BATCH_KINDS)
# What a batch cluster is given by this package, so that its comms are encrypted and its jobs counted.
_OURS = ("security", "protocol", "n_workers", "asynchronous", "silence_logs")
_PATHS = ("scheduler_file", "tls_ca", "tls_cert", "tls_key")
_PATHS_OF_CLUSTER = ("log_directory", "shared_temp_directory")  # jobs may start in another folder than the run


@dataclass(frozen=True)
class Local:
    """Worker processes on this machine.

    Parameters
    ----------
    workers : how many; None is one a core.
    memory : what each may use, such as "4GiB"; None shares the machine's memory evenly.
    wait_s : how long the run goes on without any worker, in seconds.
    """

    workers: int | None = None
    memory: str | None = None
    wait_s: float = 60.0

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"workers = {self.workers}: give at least 1, or leave it out for one a core")
        _positive("wait_s", self.wait_s)


@dataclass(frozen=True)
class Existing:
    """A Dask scheduler that runs already, with workers of its own.

    Parameters
    ----------
    address : such as "tls://10.0.0.5:8786"; or
    scheduler_file : the file that `dask scheduler --scheduler-file` wrote.
    tls_ca, tls_cert, tls_key : PEM files that the scheduler's comms ask for; all three, or none.
    wait_s : how long the run waits for a worker, at its start and when all are lost, in seconds.
    """

    address: str | None = None
    scheduler_file: str | None = None
    tls_ca: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    wait_s: float = 300.0

    def __post_init__(self) -> None:
        if (self.address is None) == (self.scheduler_file is None):
            raise UsageError('a deployment of kind "scheduler" names either address or scheduler_file')
        if len({self.tls_ca is None, self.tls_cert is None, self.tls_key is None}) > 1:
            raise UsageError("tls_ca, tls_cert and tls_key go together: name all three PEM files, or none")
        _positive("wait_s", self.wait_s)


@dataclass(frozen=True)
class Allocation:
    """Workers in the allocation of a batch system in which the run itself is.

    Parameters
    ----------
    launcher : command that starts its arguments as often as there are to be workers, such as "srun" or "mpirun -n 64";
        None is srun in an allocation of Slurm, pbsdsh in one of PBS, and mpirun elsewhere.
    memory : what each worker may use, such as "4GiB"; None shares a node's memory among its cores.
    interface : of the network between nodes, such as "ib0".
    wait_s : how long the run waits for a worker, at its start and when all are lost, in seconds.
    """

    launcher: str | None = None
    memory: str | None = None
    interface: str | None = None
    wait_s: float = 300.0

    def __post_init__(self) -> None:
        _positive("wait_s", self.wait_s)


@dataclass(frozen=True)
class Batch:
    """Workers as jobs of a batch system, through dask-jobqueue.

    Parameters
    ----------
    kind : "slurm", "pbs", "lsf" or "sge".
    jobs : jobs kept in the queue or running; a lost one is submitted anew.
    least_jobs : with it, `jobs` is how many there are at most: more than these are asked for as units wait, and given
        back when nothing is left for them to do. None keeps all `jobs` until the run ends.
    wait_s : how long the run waits for a worker, at its start and when all are lost, in seconds.
    lifetime : after which a worker ends of itself, such as "55m": a little less than the walltime.
    shared : paths that every node must see, looked at by `caml-dask doctor`.
    cluster : keywords of dask-jobqueue's cluster class, handed on as they are; what is not named here is as the site's
        own dask-jobqueue YAML has it.
    """

    kind: str
    jobs: int = 1
    least_jobs: int | None = None
    wait_s: float = 3600.0
    lifetime: str | None = None
    shared: list[str] = field(default_factory=list)
    cluster: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise UsageError(f"jobs = {self.jobs}: give at least 1")
        if self.least_jobs is not None and not 1 <= self.least_jobs <= self.jobs:
            raise UsageError(f"least_jobs = {self.least_jobs}: give 1 to jobs, which is {self.jobs}, or leave it out")
        _positive("wait_s", self.wait_s)
        ours = sorted(set(_OURS) & set(self.cluster))
        if ours:
            raise UsageError(f"[cluster] names {', '.join(ours)}, which a run sets itself: leave it out")


Deployment = Local | Existing | Allocation | Batch


def load_deployment(path: Path) -> Deployment:
    """Read a deployment from a TOML file; paths in it are relative to the file, and may hold ~ and $VARIABLES.

    Raises
    ------
    UsageError : a file that cannot be read, a key that is not known, or a value that cannot be used; each named.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: the deployment cannot be read ({error})") from None
    kind = table.get("kind")
    if kind not in KINDS:
        raise UsageError(f"{path}: kind is {kind!r}: use one of {', '.join(KINDS)}")
    made = {"local": Local, "scheduler": Existing, "allocation": Allocation}.get(kind, Batch)
    if kind not in BATCH_KINDS:
        del table["kind"]
    try:
        _check(made, table)
        return made(**_with_paths(table, path.parent))
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def chosen_deployment(path: Path | None, workers: int | None) -> Deployment | None:
    """The deployment of a file; None without one, where the number of workers decides.

    Raises
    ------
    UsageError : both are given, or the file cannot be used.
    """
    if path is None:
        return None
    if workers is not None:
        raise UsageError("--workers and --deploy both say where the run's workers are: give one of them")
    return load_deployment(path)


def _check(made: type, table: dict[str, Any]) -> None:
    """Refuse what the settings do not know, and values of another type."""
    types = get_type_hints(made)
    for key, value in table.items():
        if key not in types:
            known = ", ".join(f.name for f in fields(made))
            raise UsageError(f"{key} is not known here: use {known}")
        wanted = types[key] if types[key] is not float else float | int
        inside = value if isinstance(value, list) else []
        fits = isinstance(value, getattr(wanted, "__origin__", wanted)) and all(isinstance(v, str) for v in inside)
        if isinstance(value, bool) or not fits:
            raise UsageError(f"{key} = {value!r} is of type {type(value).__name__}: give {made.__annotations__[key]}")


def _with_paths(table: dict[str, Any], folder: Path) -> dict[str, Any]:
    def resolved(text: str) -> str:
        return str((folder / os.path.expandvars(os.path.expanduser(text))).absolute())  # noqa: PTH111

    paths: dict[str, Any] = {key: resolved(table[key]) for key in _PATHS if key in table}
    if "shared" in table:
        paths["shared"] = [resolved(path) for path in table["shared"]]
    if "cluster" in table:
        given = table["cluster"]
        named = {key: resolved(given[key]) for key in _PATHS_OF_CLUSTER if isinstance(given.get(key), str)}
        paths["cluster"] = {**given, **named}
    return {**table, **paths}


def _positive(name: str, seconds: float) -> None:
    if not 0 < seconds < float("inf"):
        raise UsageError(f"{name} = {seconds}: give a positive number of seconds")
