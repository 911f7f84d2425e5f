"""Peak memory of all processes of `caml-dask run`, and seconds a stage, against the number of localizations.

Simulated squares (200 localizations per um2, clusters of 20, radius 50 nm, 50 % clustered) are written as
ThunderSTORM CSV in random row order, analysed by the command as users start it, and removed again.

    python benchmarks/memory.py --sizes 5e6 2e7 --results benchmarks/results/memory.json
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from harness import machine, run_command, worker_seconds, write_square


def measure(n: int, workers: int, folder: Path) -> dict[str, Any]:
    """One size: simulate, analyse, watch."""
    table, out = folder / "square.csv", folder / "out"
    written = write_square(table, n)
    seen = run_command([table], out, workers, "--network", "XPILJZ")
    images = json.loads((out / "summary.json").read_text())["images"]
    return {
        "localizations": written,
        "workers": workers,
        "wall_s": seen.wall_s,
        "localizations_per_s": round(written / seen.wall_s),
        "peak_rss_gib": seen.peak_rss_gib,
        "peak_at_s": seen.peak_at_s,
        "workers_lost": seen.workers_lost,
        "csv_gib": round(table.stat().st_size / 2**30, 3),
        "tiles": images[0]["tiles"],
        "clusters": images[0]["clusters"],
        "worker_seconds_by_stage": worker_seconds(images),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", type=float, default=[5e6, 2e7])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--results", type=Path, help="JSON file to write; printed either way")
    parser.add_argument("--smoke", action="store_true", help="two small sizes, in under a minute")
    options = parser.parse_args()
    sizes = [1e4, 2e4] if options.smoke else options.sizes
    measured = []
    for n in sizes:
        with tempfile.TemporaryDirectory() as folder:
            measured.append(measure(int(n), options.workers, Path(folder)))
        print(json.dumps(measured[-1]), flush=True)
    result = {
        "measured": measured,
        "peak_ratio_last_to_first": round(measured[-1]["peak_rss_gib"] / measured[0]["peak_rss_gib"], 3),
        "machine": machine(),
    }
    print(json.dumps({"peak_ratio_last_to_first": result["peak_ratio_last_to_first"]}))
    if options.results:
        options.results.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
