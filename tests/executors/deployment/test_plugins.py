"""Workers that end: those that are lost are told of, and those that retire are not."""

from __future__ import annotations

import logging
import os
import signal
import time

from distributed import get_worker

from caml_dask.executors.deployment.clusters import local_cluster


def test_a_worker_is_called_lost_if_it_was_killed_and_not_if_it_retires_or_the_run_ends(caplog):
    # In here, so that workers need not import them: they may not find the tests.
    def close_gracefully():
        worker = get_worker()
        worker.loop.add_callback(worker.close_gracefully)

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    with local_cluster(3) as client:
        client.wait_for_workers(3)
        first, second, third = client.scheduler_info()["workers"]
        client.retire_workers([first], close_workers=True)
        # As at the end of its lifetime, with a result that nobody has fetched.
        kept = client.submit(close_gracefully, workers=[second])
        until = time.monotonic() + 180
        while set(client.scheduler_info()["workers"]) & {first, second}:
            assert time.monotonic() < until
            time.sleep(0.1)
        assert not told(caplog)
        client.submit(die, workers=[third], retries=0)
        while not told(caplog):
            assert time.monotonic() < until
            time.sleep(0.1)
        del kept
    assert set(told(caplog)) == {"a worker was lost and is replaced; what it was doing is done again"}


def told(caplog):
    warned = (record for record in caplog.records if record.name == "caml_dask" and record.levelno >= logging.WARNING)
    return [record.getMessage() for record in warned]
