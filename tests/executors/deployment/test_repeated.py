"""Warnings of jobs that are refused again and again."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from caml_dask.executors.deployment import batch, repeated
from caml_dask.executors.deployment.dead_jobs import DeadJobs
from caml_dask.executors.deployment.repeated import Repeated
from caml_dask.executors.deployment.scaling import Scaling
from caml_dask.executors.deployment.settings import Batch


def test_a_reason_is_told_of_once_and_again_after_ten_minutes_with_a_count(monkeypatch, caplog):
    clock = [0.0]
    monkeypatch.setattr(repeated.time, "monotonic", lambda: clock[0])
    warning = Repeated("a job could not be submitted")
    for look in range(361):  # half an hour of looks, 5 s apart; the reason of the second job comes up at times
        clock[0] = 5.0 * look
        warning.warn(f"QOS limit reached for job {look}")
        if look % 100 == 50:
            warning.warn("invalid partition")
    assert caplog.messages == [
        "a job could not be submitted: QOS limit reached for job 0",
        "a job could not be submitted: invalid partition",
        "a job could not be submitted: QOS limit reached for job 120 (120 times since this was said)",
        "a job could not be submitted: QOS limit reached for job 240 (120 times since this was said)",
        "a job could not be submitted: invalid partition (2 times since this was said)",
        "a job could not be submitted: QOS limit reached for job 360 (120 times since this was said)",
    ]


REFUSED = (
    "Command exited with non-zero exit code.\nExit code: 1\nCommand:\nsbatch {}\nstdout:\n\nstderr:\nsbatch: too many\n"
)


class Refusing:
    """A cluster whose jobs are all refused, by a script of another name each time, as dask-jobqueue says it."""

    def __init__(self):
        self.scheduler = SimpleNamespace(workers={}, add_plugin=lambda plugin: None)
        self.workers, self.worker_spec, self.tried = {}, {"job-0": {}}, 0

    def __await__(self):
        self.tried += 1
        raise RuntimeError(REFUSED.format(f"/tmp/tmp{'abcdefgh'[self.tried % 8]}.sh"))
        yield


def test_jobs_that_are_refused_at_every_look_are_told_of_once(monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(batch, "_LOOK_S", 0.0)
    cluster = Refusing()

    async def keep():
        alone = Batch("slurm")
        keeper = asyncio.create_task(batch._keep(cluster, DeadJobs(alone, tmp_path), Scaling(alone, 1, 1)))
        while cluster.tried < 20:
            await asyncio.sleep(0)
        keeper.cancel()

    asyncio.run(keep())
    assert caplog.messages == ["a job could not be submitted; it is tried again: sbatch: too many"]
