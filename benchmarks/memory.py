"""Peak memory of all processes of `caml-dask run`, and seconds a stage, against the number of localizations.

Simulated squares (200 localizations per um2, clusters of 20, radius 50 nm, 50 % clustered) are written as
ThunderSTORM CSV in random row order within strips, analysed by the command as users start it, and removed again.

    python benchmarks/memory.py --sizes 5e6 2e7 --results benchmarks/results/memory.json
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.csv as pa_csv

from caml_dask.simulate import Scenario, simulate_square

SCENARIO = Scenario(points_per_cluster=20, r_max_nm=50.0, percent_clustered=50.0, density_per_um2=200.0)
SAMPLE_S = 0.25


def write_square(path: Path, n: int, seed: int = 0) -> int:
    """Write about n localizations as CSV, strip by strip; returns how many."""
    side_nm = 1e3 * math.sqrt(n / SCENARIO.density_per_um2)
    written = 0
    writer = None
    for chunk in simulate_square(SCENARIO, side_nm, np.random.default_rng(seed)):
        frame = np.arange(written, written + len(chunk.xy_nm)) // 50 + 1
        columns = {"frame": frame, "x [nm]": chunk.xy_nm[:, 0].round(2), "y [nm]": chunk.xy_nm[:, 1].round(2)}
        table = pa.table({**columns, "intensity [photon]": np.full(len(frame), 800.0)})
        writer = writer or pa_csv.CSVWriter(path, table.schema)
        writer.write_table(table)
        written += len(frame)
    if writer is not None:
        writer.close()
    return written


def run_and_watch(command: list[str]) -> tuple[float, float, float]:
    """Run a command; wall seconds, the peak of the resident memory of all its processes in GiB, and when it was."""
    start, peak, at = time.perf_counter(), 0.0, 0.0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    root = psutil.Process(process.pid)
    while process.poll() is None:
        total = 0
        for member in (root, *root.children(recursive=True)):
            try:
                total += member.memory_info().rss
            except psutil.Error:
                continue  # it ended between being listed and being asked
        if total / 2**30 > peak:
            peak, at = total / 2**30, time.perf_counter() - start
        time.sleep(SAMPLE_S)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return time.perf_counter() - start, peak, at


def measure(n: int, workers: int, folder: Path) -> dict[str, Any]:
    """One size: simulate, analyse, watch."""
    table, out = folder / "square.csv", folder / "out"
    written = write_square(table, n)
    command = [sys.executable, "-m", "caml_dask", "run", str(table), "--out", str(out), "--workers", str(workers)]
    seconds, peak, at = run_and_watch(command)
    image = json.loads((out / "summary.json").read_text())["images"][0]
    csv_bytes = table.stat().st_size
    shutil.rmtree(out)
    table.unlink()
    return {
        "localizations": written,
        "workers": workers,
        "wall_s": round(seconds, 1),
        "localizations_per_s": round(written / seconds),
        "peak_rss_gib": round(peak, 3),
        "peak_at_s": round(at, 1),
        "csv_gib": round(csv_bytes / 2**30, 3),
        "tiles": image["tiles"],
        "clusters": image["clusters"],
        "worker_seconds_by_stage": {stage: round(s, 1) for stage, s in image["seconds"].items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", type=float, default=[5e6, 2e7])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--results", type=Path, help="JSON file to write; printed either way")
    parser.add_argument("--smoke", action="store_true", help="two small sizes, in under a minute")
    options = parser.parse_args()
    sizes = [5e4, 1e5] if options.smoke else options.sizes
    measured = []
    for n in sizes:
        with tempfile.TemporaryDirectory() as folder:
            measured.append(measure(int(n), options.workers, Path(folder)))
        print(json.dumps(measured[-1]), flush=True)
    result = {
        "measured": measured,
        "peak_ratio_last_to_first": round(measured[-1]["peak_rss_gib"] / measured[0]["peak_rss_gib"], 3),
        "machine": {"cores": psutil.cpu_count(), "memory_gib": round(psutil.virtual_memory().total / 2**30, 1)},
        "python": platform.python_version(),
    }
    print(json.dumps({"peak_ratio_last_to_first": result["peak_ratio_last_to_first"]}))
    if options.results:
        options.results.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
