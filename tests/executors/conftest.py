from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest


class Outside(NamedTuple):
    """A scheduler and a worker that others started, a deployment that names them, and what starts further ones."""

    scheduler: subprocess.Popen
    worker: subprocess.Popen
    deploy: Path
    begin: Callable


@pytest.fixture
def outside(tmp_path):
    (tmp_path / "deploy.toml").write_text('kind = "scheduler"\nscheduler_file = "scheduler.json"\nwait_s = 30\n')
    common = ["--scheduler-file", str(tmp_path / "scheduler.json"), "--dashboard-address", "127.0.0.1:0"]
    started = []

    def begin(module, *options, before=""):
        """Start one of Dask's programs, in a process where `before` was executed."""
        with (tmp_path / f"{module}.log").open("w") as log:
            program = f"{before}\nfrom distributed.cli.{module} import main\nmain()"
            command = [sys.executable, "-c", program, *common, "--host", "127.0.0.1", *options]
            started.append(subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True))
        return started[-1]

    scheduler, worker = begin("dask_scheduler", "--port", "0"), begin("dask_worker", "--nthreads", "1")
    yield Outside(scheduler, worker, tmp_path / "deploy.toml", begin)
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
