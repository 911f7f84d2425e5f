"""Kernels that a run compiles for its jobs: found by another process, and in no place where others write."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import caml_dask
from caml_dask.executors.shared_kernels import KERNELS, environment, is_private, share_kernels

COUNTS = """
from numba.core.event import RecordingListener, register
register("numba:compile", compilations := RecordingListener())
from caml_dask.executors.kernels import _missing, compile_kernels
print(_missing("XPILJZ", True))
compile_kernels("XPILJZ")
print(len(compilations.buffer))
"""


def test_a_job_compiles_nothing_that_the_run_compiled(tmp_path: Path) -> None:
    share_kernels("XPILJZ", tmp_path)
    given = environment(tmp_path)
    assert given == {"NUMBA_CACHE_DIR": str(tmp_path / KERNELS)}
    of_job = {**os.environ, **given, "PYTHONPATH": str(Path(caml_dask.__file__).parents[1])}
    command = [sys.executable, "-c", COUNTS]
    done = subprocess.run(command, env=of_job, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.split() == ["[]", "0"]


def test_nobody_else_can_write_where_kernels_are(tmp_path: Path) -> None:
    share_kernels("XPILJZ", tmp_path)
    folder = tmp_path / KERNELS
    assert folder.stat().st_mode & 0o077 == 0
    folder.chmod(0o750)
    assert environment(tmp_path) == {}
    folder.chmod(0o700)
    tmp_path.chmod(0o770)
    assert not is_private(folder), "a member of the group can put another folder in its place"
    tmp_path.chmod(0o1777)
    assert is_private(folder), "a sticky folder, such as /tmp"


@pytest.mark.parametrize("prepared", ["link", "open", "file", "above"])
def test_a_folder_that_another_prepared_is_not_used(tmp_path: Path, prepared: str) -> None:
    folder = tmp_path / "run" / KERNELS
    folder.parent.mkdir()
    if prepared == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "elsewhere")
    elif prepared == "open":
        folder.mkdir()
        folder.chmod(0o777)
    elif prepared == "file":
        folder.touch()
    else:
        folder.parent.chmod(0o777)
    share_kernels("XPILJZ", folder.parent)
    assert environment(folder.parent) == {}
    assert not list((tmp_path / "elsewhere").glob("*"))
