"""The command of one worker process, wherever a launcher starts it."""

from __future__ import annotations

import sys
from pathlib import Path

from caml_dask.executors.deployment.settings import Allocation

LOGS = "jobs"
"""Folder in the hidden one of a run of what workers write that are no processes of the run's own."""
_SCHEDULER_GONE_S = 60  # after which a worker without a scheduler ends


def worker_command(address: str, key: Path, allocation: Allocation) -> list[str]:
    """What starts a worker of one thread.

    Parameters
    ----------
    address : of the scheduler.
    key : folder with the PEM files that it asks for.
    """
    options = ["--tls-ca-file", f"{key}/ca.pem", "--tls-cert", f"{key}/cert.pem", "--tls-key", f"{key}/key.pem"]
    options += ["--nthreads", "1", "--memory-limit", allocation.memory or "auto", "--no-dashboard"]
    options += ["--dashboard-address", "127.0.0.1:0", "--death-timeout", str(_SCHEDULER_GONE_S)]
    if allocation.interface is not None:
        options += ["--interface", allocation.interface]
    return [sys.executable, "-m", "distributed.cli.dask_worker", address, *options]
