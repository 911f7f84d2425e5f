"""The benchmarks run: they must not rot."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

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
    assert len(measured) == 15
    assert all(m["ratio"] > 0 for m in measured)
    assert sum(m["wanted"] is not None for m in measured) == 8


def test_accuracy_smoke(tmp_path):
    """Every method labels simulated and labelled fields; a second run reads what the first one made."""
    folder = tmp_path / "labelled" / "squares"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for k in range(2):
        centers = np.repeat(rng.uniform(200, 1800, (8, 2)), 15, axis=0)
        table = np.vstack([centers + rng.normal(0, 15, centers.shape), rng.uniform(0, 2000, (80, 2))])
        index = np.append(np.repeat(np.arange(1, 9), 15), np.zeros(80))
        pd.DataFrame({"x": table[:, 0], "y": table[:, 1], "index": index}).to_csv(folder / f"{k}.csv", index=False)
    out = tmp_path / "out"
    where = ["--labelled", str(folder.parent), "--work", str(tmp_path / "work"), "--out", str(out), "--workers", "0"]
    command = [sys.executable, str(BENCHMARKS / "accuracy.py"), "--smoke", *where]
    subprocess.run(command, check=True, capture_output=True)
    chosen = pd.read_parquet(out / "accuracy.parquet")
    assert chosen["method"].nunique() == 9
    tuned = chosen[chosen["choice"].isin(["field", "folder"])].pivot_table("ari", ["method", "group"], "choice")
    assert len(tuned) == 5 * 2
    assert (tuned["field"] >= tuned["folder"]).all()
    assert tuned.loc["DBSCAN"].to_numpy().min() > 0.7
    left_out = chosen[chosen["reason"] != ""]
    assert set(left_out["method"]) == {"CAML 87B144"}, "a network of 1,000 neighbors needs larger fields"
    assert {path.name for path in out.glob("*.png")} >= {"field.png", "accuracy_against_time.png", "false_clusters.png"}
    again = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "27 of 27 parts are there already" in again.stdout
    assert pd.read_parquet(out / "accuracy.parquet").equals(chosen)


def test_rivals_smoke(tmp_path):
    where = ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "out"), "--workers", "0"]
    subprocess.run([sys.executable, str(BENCHMARKS / "rivals.py"), "--smoke", *where], check=True, capture_output=True)
    times = pd.read_csv(tmp_path / "out" / "times.csv")
    assert len(times) == 6
    assert (times["status"] == "done").all()
    assert (times["ari"] > 0.7).all()
    assert (tmp_path / "out" / "times.png").stat().st_size > 1000


def test_variants_smoke(tmp_path):
    where = ["--work", str(tmp_path / "work"), "--results", str(tmp_path / "variants.csv"), "--workers", "0"]
    subprocess.run(
        [sys.executable, str(BENCHMARKS / "variants.py"), "--smoke", *where], check=True, capture_output=True
    )
    rows = list(csv.DictReader((tmp_path / "variants.csv").open()))
    assert [row["window"] for row in rows] == ["100", "50", "200", "100", "100", "100"]
    assert {row["variant"] for row in rows} >= {"XPILJZ-small", "XPILJZ-large", "XPILJZ-xy"}
    assert all(0 < float(row["accuracy"]) <= 1 for row in rows)
