"""Where the units run: for now an embedded Dask cluster on this machine."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
_REPLACING_S = 5.0  # between two looks for workers that are gone for good
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
def _workers_spared_from_interrupts() -> Iterator[None]:
    """Ctrl-C reaches all processes of a terminal; workers started in here leave it to the driver, which stops them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _dask_silent_when_interrupted() -> Iterator[None]:
    """Ctrl-C while Dask's event loop is waited for leaves it a callback that fails: its traceback helps no user."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop_log = logging.getLogger("tornado.application")
    level = loop_log.level

    def interrupt(number: int, frame: FrameType | None) -> None:
        loop_log.setLevel(logging.CRITICAL)  # before it is raised: the callback runs on another thread
        signal.default_int_handler(number, frame)

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        loop_log.setLevel(level)


@contextmanager
def _replacing(cluster: LocalCluster, workers: int) -> Iterator[None]:
    """Dask gives a worker up that died while it started, or that needs long to start again: then begin another."""
    from tornado.ioloop import PeriodicCallback

    keeper = PeriodicCallback(lambda: cluster.scale(workers), 1e3 * _REPLACING_S)
    cluster.loop.add_callback(keeper.start)
    try:
        yield
    finally:
        cluster.loop.add_callback(keeper.stop)


@contextmanager
def local_cluster(workers: int) -> Iterator[Client]:
    """An embedded cluster of single-threaded worker processes, listening on loopback alone.

    workers : number of worker processes, at least 1
    """
    import dask
    from distributed import Client, LocalCluster

    from caml_dask.run.watch import LostWorkers

    lost = LostWorkers()
    with dask.config.set(_CONFIG), _dask_silent_when_interrupted():
        with _workers_spared_from_interrupts():
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",  # any free port: several runs share a machine
                silence_logs=logging.ERROR,
            )
        cluster.scheduler.add_plugin(lost)
        with cluster, _replacing(cluster, workers), Client(cluster) as client:
            try:
                yield client
            finally:
                lost.closing = True
