"""What is made of the words of batch systems, by commands that stand in for theirs on PATH."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from caml_dask.executors.deployment.queue import Fate, end_of, fate_of, last_words, number_of, unfinished

COMMANDS = {"slurm": "squeue", "pbs": "qstat", "lsf": "bjobs", "sge": "qstat"}
SAYS = {
    ("slurm", "RUNNING", 0): Fate.QUEUED,
    ("slurm", "PENDING", 0): Fate.QUEUED,
    ("slurm", "FAILED", 0): Fate.ENDED,
    ("slurm", "NODE_FAIL", 0): Fate.STOPPED,
    ("slurm", "CANCELLED", 0): Fate.STOPPED,
    ("slurm", "slurm_load_jobs error: Invalid job id specified", 1): Fate.ENDED,
    ("slurm", "slurm_load_jobs error: Unable to contact slurm controller", 1): Fate.QUEUED,
    ("slurm", "", 0): Fate.QUEUED,
    ("slurm", "squeue: error: lookup failure for user: not found", 1): Fate.QUEUED,
    ("pbs", "Job id  Name  User\n123.pbs  dask-worker  me  0 Q regular", 0): Fate.QUEUED,
    ("pbs", "Job id  Name  User\n123.pbs  dask-worker  me  0 C regular", 0): Fate.ENDED,
    ("pbs", "qstat: Unknown Job Id 123.pbs", 153): Fate.ENDED,
    ("pbs", "qstat: Unknown Job Id Error 1234.pbs", 153): Fate.QUEUED,
    ("pbs", "qstat: Unknown Job Id 1234.pbs", 153): Fate.QUEUED,
    ("pbs", "qstat: 123.pbs Job has finished, use -x or -H to obtain information", 35): Fate.ENDED,
    ("pbs", "sh: qstat: command not found", 127): Fate.QUEUED,
    ("lsf", "PEND", 0): Fate.QUEUED,
    ("lsf", "EXIT", 0): Fate.ENDED,
    ("lsf", "Job <123> is not found", 255): Fate.ENDED,
    ("lsf", "LSF is down. Host <123> is not found", 255): Fate.QUEUED,
    ("lsf", "Job <1234> is not found", 255): Fate.QUEUED,
    ("sge", "job_number: 123", 0): Fate.QUEUED,
    ("sge", "Following jobs do not exist: \n123", 1): Fate.ENDED,
    ("sge", "Following jobs do not exist or permissions are not sufficient: \n123", 1): Fate.ENDED,
    ("sge", "error: host or queue do not exist: lo", 1): Fate.QUEUED,
}
LISTS = {
    ("slurm", "12\n13_4", 0): {"12", "13"},
    ("slurm", "", 0): set(),
    ("slurm", "", 1): None,
    ("pbs", "server:\n  Req'd\nJob ID User\n------ ----\n12.server me q n 1 1 1gb 01:00 R 00:01", 0): {"12"},
    ("pbs", "pbs_iff: cannot connect to host", 1): None,
    ("sge", "job-ID prior\n-----\n     12 0.5 dask me r 01/01/2026 10:00:00 q 1", 0): {"12"},
    ("lsf", "JOBID USER STAT\n12 me RUN q host", 0): {"12"},
    ("lsf", "No unfinished job found", 255): set(),
}


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Have a batch system's command print something: on stderr if it fails."""

    def made(kind: str, text: str, rc: int) -> None:
        path = tmp_path / COMMANDS[kind]
        path.write_text(f"#!/bin/sh\ncat <<'END' >&{2 if rc else 1}\n{text}\nEND\nexit {rc}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    return made


@pytest.mark.parametrize(("kind", "text", "rc"), SAYS)
def test_what_each_system_says_of_a_job(kind: str, text: str, rc: int, says) -> None:
    says(kind, text, rc)
    assert fate_of(kind, "123.pbs" if kind == "pbs" else "123") is SAYS[kind, text, rc]


@pytest.mark.parametrize(("kind", "text", "rc"), LISTS)
def test_the_queue_as_each_system_lists_it(kind: str, text: str, rc: int, says) -> None:
    says(kind, text, rc)
    assert unfinished(kind) == LISTS[kind, text, rc]


def test_of_a_system_that_is_not_there_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert fate_of("slurm", "123") is Fate.QUEUED
    assert unfinished("slurm") is None


def test_the_end_of_a_log_is_told_without_control_characters(tmp_path: Path) -> None:
    (tmp_path / "dask-worker-12.err").write_text("of another job")
    (tmp_path / "dask-worker-123.err").write_text("\n".join([*map(str, range(9)), "\x1b[31mno such module"]))
    told = last_words(["122", "123.pbs"], tmp_path)
    assert "dask-worker-123.err ends with: 5 | 6 | 7 | 8 | " in told and told.endswith("no such module")
    assert "\x1b" not in told and last_words(["99", "2"], tmp_path) == ""
    (tmp_path / "empty").touch()
    assert end_of(tmp_path / "empty") == ""
    assert number_of("123.pbs") == number_of("123[].pbs") == "123"
