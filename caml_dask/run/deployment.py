"""Where the units run: for now an embedded Dask cluster on this machine."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from caml_dask.run import interrupts

if TYPE_CHECKING:
    from distributed import Client

_log = logging.getLogger("caml_dask")
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
_CONFIG = {
    "distributed.scheduler.allowed-failures": 3,
    "distributed.scheduler.no-workers-timeout": "60s",
    "distributed.worker.multiprocessing-method": "spawn",
    "distributed.nanny.pre-spawn-environ": _ONE_THREAD,
    "distributed.comm.timeouts.connect": "30s",
}


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def local_cluster(workers: int) -> Iterator[Client]:
    """An embedded cluster of single-threaded worker processes, listening on loopback alone.

    What goes wrong in a unit is returned by it, and lost workers are told of: what else Dask logs, such as the
    connections that end with an interrupted run, is shown only when debugging.

    workers : number of worker processes, at least 1
    """
    import dask
    from distributed import Client, LocalCluster

    from caml_dask.run.watch import LostWorkers

    lost = LostWorkers()
    with dask.config.set(_CONFIG), interrupts.kept():
        with interrupts.workers_spared():
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",  # any free port: several runs share a machine
                silence_logs=logging.ERROR if _log.isEnabledFor(logging.DEBUG) else logging.CRITICAL,
            )
        cluster.scheduler.add_plugin(lost)
        with cluster, Client(cluster) as client:
            try:
                yield client
            finally:
                lost.closing = True
