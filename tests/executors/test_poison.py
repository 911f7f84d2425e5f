"""A unit that ends its worker each time: its image fails, named, and the others finish."""

from __future__ import annotations

import csv
import subprocess
import sys

from support import result_tables, simulated_table

from caml_dask.runs.session import execute
from caml_dask.settings import Settings

TILE = 400
POISONED = '''
"""`caml-dask`, whose workers die of one unit; they import this file, as they are spawned from the driver."""
import os
import signal

import caml_dask.executors.worker as executor
from caml_dask.cli import main

real = executor.run_unit


def run_unit(run, key):
    if run.images[key[0]].image_id == "0003_poison" and key[1:] == ("vote", 1):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(run, key)


executor.run_unit = run_unit
if __name__ == "__main__":
    main()
'''


def test_a_poison_unit_fails_its_image_alone(tmp_path):
    tables = [
        simulated_table(tmp_path / f"{name}.csv", side_nm=3500.0, seed=seed)
        for seed, name in enumerate(("a", "poison", "b"))
    ]
    (tmp_path / "poisoned.py").write_text(POISONED)
    command = [sys.executable, str(tmp_path / "poisoned.py"), "run", *map(str, tables), "--out", str(tmp_path / "out")]
    command += ["--max-localizations", str(TILE), "--workers", "2", "--no-test"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 3, done.stderr
    rows = list(csv.DictReader((tmp_path / "out" / "images.csv").open()))
    assert [(row["image_id"], row["status"]) for row in rows] == [
        ("0001_a", "done"),
        ("0002_b", "done"),
        ("0003_poison", "failed"),
    ]
    assert "vote-0003_poison-1 ended its worker each time it was tried" in rows[2]["reason"]
    lost = done.stderr.count("a worker was lost and is replaced")
    assert 4 <= lost <= 8  # as often as Dask tries a unit, and as often again where it is tried alone
    # Without the poison the run is taken up where it was.
    settings = Settings(max_localizations=TILE, test=False)
    assert execute(tables, tmp_path / "out", settings, workers=0, resume=True).exit_code == 0
    execute(tables, tmp_path / "whole", Settings(test=False), workers=0)
    found, expected = result_tables(tmp_path / "out"), result_tables(tmp_path / "whole")
    assert found.keys() == expected.keys() and all(found[name].equals(expected[name]) for name in found)
