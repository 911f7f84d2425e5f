"""What is wrong with a deployment, said before anything is queued: a line a check, and the job that would be queued."""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caml_dask import __version__
from caml_dask.errors import CamlError, UsageError
from caml_dask.executors.deployment.clusters import OF_WORKERS, cores, deployed
from caml_dask.executors.deployment.settings import Allocation, Batch, Deployment, Existing, Local
from caml_dask.holders import SILENT_S
from caml_dask.networks.field.trained import is_field_network
from caml_dask.runs.sharing import sharing
from caml_dask.settings import Settings
from caml_dask.stages.shared.work import tile_size

if TYPE_CHECKING:
    from dask_jobqueue.core import Job
    from distributed import Client

OK, WARNING, PROBLEM = "ok", "warning", "problem"
# Of a worker, measured with XPILJZ and field-2d on tiles of 200,000 and 1,000,000 localizations; half as much again is
# asked for.
_BASE_BYTES, _BYTES_A_LOCALIZATION, _OF_FIELD_NETWORKS, _MARGIN = 450 << 20, 800, 2_700, 1.5
_BYTES_A_ROW = 40  # a short row of text; only whether an input is above 1e8 rows is taken from it
_SHARED_FILE_SYSTEMS = (
    "nfs",
    "lustre",
    "gpfs",
    "beegfs",
    "ceph",
    "panfs",
    "glusterfs",
    "orangefs",
    "afs",
    "9p",
    "fuse",
)
_AT_ONCE_S = 1.0
_VERSIONS = "import caml_dask, distributed; print(caml_dask.__version__, distributed.__version__)"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's: its grade, one of OK, WARNING and PROBLEM, and what was found."""

    grade: str
    text: str

    def __str__(self) -> str:
        return f"{self.grade:<8} {self.text}"


def examine(deployment: Deployment, inputs: Sequence[Path], out: Path, settings: Settings, ask: bool) -> list[Finding]:
    """Everything that can be known of a deployment beforehand.

    Parameters
    ----------
    inputs, out : of the run that is meant; both may stand nowhere yet.
    ask : also submit one job of a batch system, or start the workers of an allocation, and ask its workers; a scheduler
        that stands is always asked.
    """
    paths = [*inputs, out, *(map(Path, deployment.shared) if isinstance(deployment, Batch) else ())]
    found = list(of_this_machine(paths, out, everywhere=not isinstance(deployment, Local)))
    need = needed_bytes(inputs, settings)
    if isinstance(deployment, Local):
        found += memory_of(deployment, need)
    elif isinstance(deployment, Allocation):
        found += _allocation(deployment, need)
    elif isinstance(deployment, Batch):
        found += _batch(deployment, out, need)
    if isinstance(deployment, Existing) or (ask and not any(finding.grade == PROBLEM for finding in found)):
        found += _asked(deployment, paths, out, need)
    return found


def needed_bytes(inputs: Sequence[Path], settings: Settings) -> int:
    """Memory of a worker that the largest tile of the inputs asks for."""
    rows = max((path.stat().st_size // _BYTES_A_ROW for path in inputs if path.is_file()), default=0)
    each = _OF_FIELD_NETWORKS if is_field_network(settings.finder) else _BYTES_A_LOCALIZATION
    return int(_MARGIN * (_BASE_BYTES + each * tile_size(settings, rows)))


def job_script(deployment: Batch, out: Path) -> str:
    """The job that would be submitted, but for the scheduler's address and the name of the key's folder."""
    return str(_job(deployment, out).job_script())


def _job(deployment: Batch, out: Path) -> Job:
    from caml_dask.executors.deployment.batch import job_of

    return job_of(deployment, OF_WORKERS, out.absolute() / ".run")


def of_this_machine(paths: Sequence[Path], out: Path, everywhere: bool) -> Iterator[Finding]:
    """Whether paths exist, and files can be written and locked where `out` is or will be.

    everywhere : all nodes of a cluster must see the paths
    """
    for path in paths:
        if path != out and not path.exists():
            yield Finding(PROBLEM, f"{path} does not exist")
        elif everywhere:
            kind = _file_system(path)
            if kind.startswith(_SHARED_FILE_SYSTEMS):
                yield Finding(OK, f"{path} is on {kind}")
            else:
                yield Finding(WARNING, f"{path} is on {kind}: make sure that all nodes see it under this name")
    standing = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=standing) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield Finding(OK, f"{standing} can be written to, and files there can be locked")
    except OSError as error:
        yield Finding(PROBLEM, f"{standing}: no file can be written and locked there ({error}): choose another --out")


def _file_system(path: Path) -> str:
    """The type of the file system that a path is, or will be, on."""
    place, found = path.absolute(), "an unknown file system"
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return found
    deepest = -1
    for point, kind in mounts:
        if place.is_relative_to(point) and len(point) > deepest:
            deepest, found = len(point), kind
    return found


def _local_share(deployment: Local) -> int:
    import dask.utils
    from distributed.system import MEMORY_LIMIT

    if deployment.memory is not None:
        return int(dask.utils.parse_bytes(deployment.memory))
    return int(MEMORY_LIMIT // (deployment.workers or cores()))


def memory_of(deployment: Local, need: int) -> Iterator[Finding]:
    """Whether each worker of this machine has the memory that the largest tile asks for."""
    return _memory(_local_share(deployment), need)


def _memory(has: int, need: int) -> Iterator[Finding]:
    text = f"a worker has {has / 2**30:.1f} GiB; the largest tile asks for about {need / 2**30:.1f} GiB"
    if has >= need:
        yield Finding(OK, text)
    else:
        yield Finding(PROBLEM, f"{text}: give it more memory, or choose a smaller --max-localizations")


def _allocation(deployment: Allocation, need: int) -> Iterator[Finding]:
    import dask.utils

    from caml_dask.executors.deployment.allocation import launcher_of

    try:
        launcher = launcher_of(deployment, os.environ)
        yield Finding(OK, f"workers are started by {shlex.join(launcher)}, here {shutil.which(launcher[0])}")
    except UsageError as error:
        yield Finding(PROBLEM, f"{error}; examine this in a job")
    if deployment.memory is not None:
        yield from _memory(int(dask.utils.parse_bytes(deployment.memory)), need)


def _batch(deployment: Batch, out: Path, need: int) -> Iterator[Finding]:
    try:
        job = _job(deployment, out)
    except UsageError as error:
        yield Finding(PROBLEM, str(error))
        return
    submit = shlex.split(job.submit_command)[0]
    if shutil.which(submit) is None:
        yield Finding(PROBLEM, f"{submit} is not found: run this where jobs of {deployment.kind} can be submitted")
    else:
        yield Finding(OK, f"{deployment.jobs} jobs of {job.worker_processes} workers go to {shutil.which(submit)}")
    yield from _memory(job.worker_memory // job.worker_processes, need)
    if job.worker_process_threads > 1:
        yield Finding(WARNING, f"a worker has {job.worker_process_threads} cores and uses one: set processes = cores")
    yield from _lifetime(deployment)
    yield from _interface(deployment)
    yield from _python(deployment)


def _lifetime(deployment: Batch) -> Iterator[Finding]:
    from dask.utils import parse_timedelta

    from caml_dask.executors.deployment.batch import STAGGER_S, site_setting

    walltime = _seconds(str(site_setting(deployment, "walltime", "")))
    if deployment.lifetime is None:
        yield Finding(
            WARNING, "no lifetime: at the walltime workers are killed in the middle of a unit, which runs again"
        )
    elif walltime is not None and parse_timedelta(deployment.lifetime) + STAGGER_S >= walltime:
        yield Finding(WARNING, f"lifetime = {deployment.lifetime!r} is not two minutes below the walltime: shorten it")
    else:
        yield Finding(OK, f"workers end of themselves after {deployment.lifetime}")


def _seconds(walltime: str) -> int | None:
    """A walltime written as [days-]hours:minutes:seconds, in seconds; None of one written in another way."""
    days, _, clock = walltime.rpartition("-")
    try:
        hours, minutes, seconds = (int(part) for part in clock.split(":"))
        return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds
    except ValueError:
        return None


def _interface(deployment: Batch) -> Iterator[Finding]:
    from distributed.utils import get_ip, get_ip_interface

    from caml_dask.executors.deployment.batch import site_setting

    options = site_setting(deployment, "scheduler_options", {})
    name, port = options.get("interface", site_setting(deployment, "interface")), options.get("port", 0)
    try:
        address = get_ip_interface(name) if name else get_ip()
        with socket.socket() as door:
            door.bind((address, port))
    except ValueError as error:
        yield Finding(PROBLEM, f"interface = {name!r}: {error}")
        return
    except OSError as error:
        yield Finding(PROBLEM, f"port {port} of {address} cannot be listened at ({error}): name another, or none")
        return
    where = f"tls://{address}, {f'port {port}' if port else 'any free port'}"
    if name:
        yield Finding(OK, f"workers find the scheduler at {where}")
    else:
        yield Finding(WARNING, f"workers find the scheduler at {where}; if nodes do not reach that, name an interface")


def _python(deployment: Batch) -> Iterator[Finding]:
    """Whether the interpreter of the jobs, as this machine sees it, has the package of this version."""
    from caml_dask.executors.deployment.batch import site_setting

    python = site_setting(deployment, "python", sys.executable)
    try:
        done = subprocess.run([*shlex.split(python), "-c", _VERSIONS], capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as error:
        yield Finding(WARNING, f"{python}, which the jobs start, cannot be tried here ({error})")
        return
    found = done.stdout.split()
    if done.returncode == 0 and len(found) == 2 and found[0] == __version__:
        yield Finding(OK, f"{python}, which the jobs start, has caml_dask {__version__} and distributed {found[1]}")
    else:
        said = found[0] if found else (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        yield Finding(PROBLEM, f"{python}, which the jobs start, has not caml_dask {__version__}: {said}")


def _asked(deployment: Deployment, paths: Sequence[Path], out: Path, need: int) -> Iterator[Finding]:
    """What workers say of themselves; one job is submitted where there are none."""
    standing = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    one = replace(deployment, jobs=1, least_jobs=None) if isinstance(deployment, Batch) else deployment
    try:
        with (
            tempfile.TemporaryDirectory(prefix=".caml_dask-", dir=standing, ignore_cleanup_errors=True) as scratch,
            deployed(one, Path(scratch)) as workers,
        ):
            seen = [path.absolute() for path in paths if path != out] + [standing]
            yield from _of_workers(workers.client, seen, need)
            yield from _shared(workers.client, Path(scratch), standing)
    except CamlError as error:
        yield Finding(PROBLEM, str(error))


def _of_workers(client: Client, paths: Sequence[Path], need: int) -> Iterator[Finding]:
    told: Mapping[str, Any] = client.run(_worker_says, [str(path) for path in paths], on_error="return")
    limits = {address: w["memory_limit"] for address, w in client.scheduler_info(n_workers=-1)["workers"].items()}
    for address, says in told.items():
        if isinstance(says, Exception):
            yield Finding(PROBLEM, f"{address} has no caml_dask that works ({says}): install {__version__} there")
            continue
        if says["version"] != __version__:
            yield Finding(PROBLEM, f"{says['host']} has caml_dask {says['version']}; here it is {__version__}")
        else:
            yield Finding(OK, f"{says['host']} has caml_dask {__version__}")
        yield from (Finding(PROBLEM, f"{says['host']} does not see {path}") for path in says["missing"])
        yield from _memory(limits.get(address) or need, need)
    packages = client.get_versions()
    differ = _differing(packages["client"]["packages"], [w["packages"] for w in packages["workers"].values() if w])
    yield (
        Finding(WARNING, f"packages differ: {differ}") if differ else Finding(OK, "packages are the same on both sides")
    )


def _shared(client: Client, scratch: Path, standing: Path) -> Iterator[Finding]:
    """What became of files and locks in a folder, of which the results will be beside.

    standing : the folder that messages name
    """
    for found in sharing(client, scratch):
        host = found.host
        if found.seen_s is None:
            yield Finding(
                PROBLEM, f"a file that {host} makes in {standing} is not seen here: choose an --out that all nodes see"
            )
            continue
        yield Finding(OK, f"a file that {host} makes in {standing} is seen here after {found.seen_s:.1f} s")
        if found.looked_for_s is None or found.looked_for_s > _AT_ONCE_S:
            after = "for a minute or longer" if found.looked_for_s is None else f"for {found.looked_for_s:.0f} s"
            text = f"a name looked up in {standing} before {host} made the file stays unseen {after}: runs look up none"
            yield Finding(OK, text)
        if found.lock_refused:
            yield Finding(OK, f"a lock held here in {standing} is refused on {host}")
        elif found.lock_refused is None:
            yield Finding(PROBLEM, f"{host} can lock no files in {standing}: choose another --out")
        else:
            yield Finding(
                WARNING,
                f"a lock held here in {standing} is granted on {host} too: locks hold on one node only. Two runs are "
                f"still kept apart; after a crash, --resume on another node waits {SILENT_S:g} s",
            )


def _worker_says(paths: Sequence[str]) -> dict[str, Any]:
    import caml_dask

    missing = [path for path in paths if not os.path.exists(path)]  # noqa: PTH110
    return {"host": socket.gethostname(), "version": caml_dask.__version__, "missing": missing}


def _differing(here: Mapping[str, Any], there: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(
        f"{name} {here[name]} here, {other[name]} there"
        for name in sorted(here)
        for other in there[:1]
        if other.get(name) != here[name]
    )
