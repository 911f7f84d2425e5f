"""What a batch system says of jobs: whether they have left its queue, and what those that did wrote."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from caml_dask.errors import printable

_ASK = {
    "slurm": ("squeue", "--noheader", "--format=%i", "--jobs"),
    "pbs": ("qstat",),
    "lsf": ("bjobs", "-noheader", "-o", "stat"),
    "sge": ("qstat", "-j"),
}
_GONE = re.compile(r"invalid job id|unknown job|has finished|not found|do(es)? not exist|^(DONE|EXIT)\s*$", re.I | re.M)
_ANSWERS_S = 20.0
_LINES, _MOST_BYTES = 5, 1 << 14


def has_ended(kind: str, job_id: str) -> bool:
    """Whether a job is in the queue no more; False where the batch system does not answer.

    kind : "slurm", "pbs", "lsf" or "sge"
    """
    try:
        asked = subprocess.run([*_ASK[kind], job_id], capture_output=True, text=True, timeout=_ANSWERS_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    if asked.returncode == 0 and not asked.stdout.strip():
        return True
    return _GONE.search(asked.stdout + asked.stderr) is not None


def last_words(job_ids: Sequence[str], log_directory: str | None) -> str:
    """The end of what the first of these jobs that left a log wrote, with the log's name; "" where none did.

    log_directory : as dask-jobqueue was given it; None for where jobs were submitted from
    """
    folder = Path(log_directory) if log_directory else Path.cwd()
    for number in (job_id.split(".")[0] for job_id in job_ids):
        for log in sorted(path for path in folder.glob(f"*{number}*") if number in re.findall(r"\d+", path.name)):
            with log.open("rb") as file:
                file.seek(max(0, log.stat().st_size - _MOST_BYTES))
                lines = file.read().decode(errors="replace").strip().splitlines()[-_LINES:]
            if lines:
                return f"{log} ends with: {printable(' | '.join(lines))}"
    return ""
