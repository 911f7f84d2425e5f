"""What a batch system says of jobs: whether they are in its queue, and what those that have left it wrote."""

from __future__ import annotations

import getpass
import os
import pwd
import re
import subprocess
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from caml_dask.errors import printable

# Each lists the unfinished jobs of a user, a line each, which begins with the job's number.
_LISTS = {
    "slurm": ("squeue", "--noheader", "--format=%i", "--user"),
    "pbs": ("qstat", "-u"),
    "lsf": ("bjobs", "-u"),
    "sge": ("qstat", "-u"),
}
_NONE_LEFT = "No unfinished job"  # what LSF says, and fails
_ASKS = {
    "slurm": ("squeue", "--noheader", "--states=all", "--format=%T", "--jobs"),
    "pbs": ("qstat",),
    "lsf": ("bjobs", "-noheader", "-o", "stat"),
    "sge": ("qstat", "-j"),
}
# What each says of the one job that it was asked for, of this number, once that has ended. Errors of the command
# itself, such as one that is not found, look alike but for the number.
_ENDED = {
    "slurm": r"^(BOOT_FAIL|CANCELLED|COMPLETED|DEADLINE|FAILED|NODE_FAIL|OUT_OF_MEMORY|PREEMPTED|REVOKED|TIMEOUT)\s*$"
    r"|: Invalid job id specified$",
    "pbs": r"Unknown Job Id:? {0}\b|\b{0}\b\S* Job has finished|^{0}\b.*\s[CFX]\s+\S+\s*$",
    "lsf": r"^(DONE|EXIT)\s*$|Job <{0}> is not found",
    "sge": r"do not exist[^:]*:\s*{0}\b",
}
_BY_THE_SITE = {"slurm": r"^(BOOT_FAIL|CANCELLED|NODE_FAIL|PREEMPTED|REVOKED)\s*$"}
_ANSWERS_S = 20.0
_LINES, _MOST_BYTES = 5, 1 << 14


class Fate(Enum):
    """What became of a job; one that was stopped from outside need not have failed, where the batch system tells."""

    QUEUED = "waits or runs, as far as is known"
    ENDED = "ended"
    STOPPED = "was stopped by the site"


def number_of(job_id: str) -> str:
    """The number with which the name of a job begins, such as 12 of 12.server."""
    found = re.match(r"\d+", job_id)
    return found.group() if found else job_id


def unfinished(kind: str) -> set[str] | None:
    """Numbers of this user's jobs that have not ended; None where the batch system does not say.

    kind : "slurm", "pbs", "lsf" or "sge"
    """
    asked = _ask([*_LISTS[kind], _user()])
    if asked is None or (asked.returncode != 0 and _NONE_LEFT not in asked.stderr):
        return None
    return set(re.findall(r"(?m)^\s*(\d+)", asked.stdout))


def fate_of(kind: str, job_id: str) -> Fate:
    """What the batch system says of one job.

    kind : as of `unfinished`
    """
    asked = _ask([*_ASKS[kind], job_id])
    if asked is None:
        return Fate.QUEUED
    said = f"{asked.stdout}\n{asked.stderr}"
    if kind in _BY_THE_SITE and re.search(_BY_THE_SITE[kind], said, re.MULTILINE):
        return Fate.STOPPED
    ended = re.search(_ENDED[kind].replace("{0}", re.escape(number_of(job_id))), said, re.MULTILINE)
    return Fate.ENDED if ended else Fate.QUEUED


def last_words(job_ids: Sequence[str], logs: Path) -> str:
    """The end of what the first of these jobs that left a log wrote, with the log's name; "" where none did.

    logs : the folder of what jobs write
    """
    for number in map(number_of, job_ids):
        for log in sorted(path for path in logs.glob(f"*{number}*") if number in re.findall(r"\d+", path.name)):
            if told := end_of(log):
                return told
    return ""


def end_of(log: Path) -> str:
    """The last lines of a log with its name, for a message; "" where it is empty."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _MOST_BYTES))
        lines = file.read().decode(errors="replace").strip().splitlines()[-_LINES:]
    return f"{log} ends with: {printable(' | '.join(lines))}" if lines else ""


def _ask(command: list[str]) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_ANSWERS_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None


def _user() -> str:
    """The name by which this process runs, whatever its environment says."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return getpass.getuser()
