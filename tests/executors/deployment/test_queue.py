"""Whether jobs have left a queue, by what each batch system's command prints."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from caml_dask.executors.deployment.queue import has_ended, last_words

SAYS = {
    ("slurm", "squeue", "123", 0): False,
    ("slurm", "squeue", "", 0): True,
    ("slurm", "squeue", "slurm_load_jobs error: Invalid job id specified", 1): True,
    ("slurm", "squeue", "slurm_load_jobs error: Unable to contact slurm controller", 1): False,
    ("pbs", "qstat", "Job id  Name  User\n123.pbs  dask-worker  me  0 Q regular", 0): False,
    ("pbs", "qstat", "qstat: Unknown Job Id 123.pbs", 153): True,
    ("pbs", "qstat", "qstat: 123.pbs Job has finished, use -x or -H to obtain information", 35): True,
    ("lsf", "bjobs", "PEND", 0): False,
    ("lsf", "bjobs", "EXIT", 0): True,
    ("lsf", "bjobs", "Job <123> is not found", 255): True,
    ("sge", "qstat", "job_number: 123", 0): False,
    ("sge", "qstat", "Following jobs do not exist: 123", 1): True,
}


@pytest.mark.parametrize(("kind", "command", "text", "rc"), SAYS)
def test_what_each_system_prints(
    kind: str, command: str, text: str, rc: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / command
    stream = 2 if rc else 1
    path.write_text(f"#!/bin/sh\ncat <<'END' >&{stream}\n{text}\nEND\nexit {rc}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert has_ended(kind, "123") == SAYS[kind, command, text, rc]


def test_a_system_that_is_not_there_has_ended_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not has_ended("slurm", "123")


def test_the_end_of_a_log_is_told_without_control_characters(tmp_path: Path) -> None:
    (tmp_path / "dask-worker-12.err").write_text("of another job")
    (tmp_path / "dask-worker-123.err").write_text("\n".join([*map(str, range(9)), "\x1b[31mno such module"]))
    told = last_words(["122", "123.pbs"], str(tmp_path))
    assert "dask-worker-123.err ends with: 5 | 6 | 7 | 8 | " in told and told.endswith("no such module")
    assert "\x1b" not in told and last_words(["99", "2"], str(tmp_path)) == ""
