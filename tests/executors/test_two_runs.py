"""Two runs on one scheduler at once: each leaves what it leaves alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

from distributed import Client
from support import done_records, result_tables, same, simulated_table

from caml_dask.runs.session import execute
from caml_dask.settings import Settings

TILE = 200


def test_two_drivers_on_one_scheduler_leave_the_tables_of_runs_alone(outside, tmp_path):
    """They begin at the same time, for neither has a worker until both are connected; images have the same names."""
    os.killpg(outside.worker.pid, signal.SIGKILL)
    for seed in (1, 2):
        (tmp_path / str(seed)).mkdir()
    inputs = [simulated_table(tmp_path / str(seed) / "field.csv", seed=seed, side_nm=2500.0) for seed in (1, 2)]
    outs = [tmp_path / f"out-{seed}" for seed in (1, 2)]
    command = [sys.executable, "-m", "caml_dask", "run", "--deploy", str(outside.deploy), "--no-test"]
    command += ["--network", "XPILJZ", "--max-localizations", str(TILE)]
    drivers = [
        subprocess.Popen([*command, table, "--out", out], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for table, out in zip(inputs, outs, strict=True)
    ]
    with Client(scheduler_file=tmp_path / "scheduler.json") as client:
        until = time.monotonic() + 60
        while client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.clients)) < 4:  # one is Dask's own
            assert time.monotonic() < until and all(driver.poll() is None for driver in drivers)
            time.sleep(0.1)
        outside.begin("dask_worker", "--nthreads", "1")
        said = [driver.communicate(timeout=200)[0].decode() for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0], said
    found = [[(path.stat().st_mtime, json.loads(path.read_text())) for path in done_records(out)] for out in outs]
    times = [sorted(time for time, _ in records) for records in found]
    assert times[0][0] < times[1][-1] and times[1][0] < times[0][-1], "one ended before the other began"
    assert len({record["worker"] for records in found for _, record in records}) == 1
    for table, out in zip(inputs, outs, strict=True):
        execute([table], out.with_name(f"{out.name}-alone"), Settings("XPILJZ", test=False), workers=0)
        assert same(result_tables(out), result_tables(out.with_name(f"{out.name}-alone")))
