"""The benchmarks run: they must not rot."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_memory_smoke(tmp_path):
    command = [sys.executable, str(BENCHMARKS / "memory.py"), "--smoke", "--results", str(tmp_path / "memory.json")]
    subprocess.run(command, check=True, capture_output=True)
    measured = json.loads((tmp_path / "memory.json").read_text())["measured"]
    assert [round(m["localizations"], -4) for m in measured] == [50_000, 100_000]
    assert all(m["peak_rss_gib"] > 0.1 and m["worker_seconds_by_stage"]["classify"] > 0 for m in measured)


def test_speed_smoke(tmp_path):
    """Both sides of each pair agree; how fast they are is not tested."""
    command = [sys.executable, str(BENCHMARKS / "speed.py"), "--smoke", "--results", str(tmp_path / "speed.json")]
    subprocess.run(command, check=True, capture_output=True)
    measured = json.loads((tmp_path / "speed.json").read_text())["measured"]
    assert len(measured) == 5
    assert all(m["ratio"] > 0 for m in measured)


def test_variants_smoke(tmp_path):
    where = ["--work", str(tmp_path / "work"), "--results", str(tmp_path / "variants.csv"), "--workers", "0"]
    subprocess.run(
        [sys.executable, str(BENCHMARKS / "variants.py"), "--smoke", *where], check=True, capture_output=True
    )
    rows = list(csv.DictReader((tmp_path / "variants.csv").open()))
    assert [row["window"] for row in rows] == ["100", "50", "200", "100", "100", "100"]
    assert {row["variant"] for row in rows} >= {"XPILJZ-small", "XPILJZ-large", "XPILJZ-xy"}
    assert all(0 < float(row["accuracy"]) <= 1 for row in rows)
