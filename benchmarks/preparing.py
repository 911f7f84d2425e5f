"""What filtering, drift correction, merging and regions cost: `caml-dask run` with each of them beside one without.

    python benchmarks/preparing.py --n 1e6 --results benchmarks/results/preparing.json

Detections of molecules that blink, half of them in clusters; by the default network unless another is named. Seconds
are those of the processors, so that other work on the machine counts little; `times` is the multiple of those without.
Where detections are merged, what follows sees fewer localizations, and costs less: `before_s` are the seconds of the
stages before the tiles are planned. Runs on images of other sizes, and by other networks, that stand in the results
stay.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from harness import SCENARIO, machine, run_command

from caml_dask.pipeline import stages_by
from caml_dask.settings import DEFAULT_NETWORK
from caml_dask.simulate import simulate_square

OPTIONS = {
    "none": (),
    "where": ("--where", "uncertainty_nm < 20 and frame >= 100"),
    "roi": ("--roi", "x=100..1e9,y=100..1e9"),
    "drift": ("--drift", "aim"),
    "merge 50nm,25frames": ("--merge", "50nm,25frames"),
    "merge auto": ("--merge", "auto"),
}
OPTIONS["all, merge auto"] = tuple(chain(*(OPTIONS[name] for name in ("where", "roi", "drift", "merge auto"))))
DETECTIONS = 4.0  # of a molecule
PRECISION_NM = 10.0
DENSITY_PER_UM2 = 60.0  # of molecules


def write_blinking(path: Path, n: int) -> int:
    """Write about n detections as ThunderSTORM CSV in the order of their frames; returns how many."""
    rng = np.random.default_rng(0)
    side_nm = 1e3 * np.sqrt(n / DETECTIONS / DENSITY_PER_UM2)
    places = np.vstack([chunk.xy_nm for chunk in simulate_square(SCENARIO, side_nm, rng)])
    places = places[rng.random(len(places)) < n / DETECTIONS / len(places)]
    molecule = np.repeat(np.arange(len(places)), rng.geometric(1 / DETECTIONS, len(places)))
    first = np.flatnonzero(np.diff(molecule, prepend=-1))
    gaps = 1 + rng.exponential(6.0, len(molecule)).astype(np.int64)
    gaps[first] = rng.exponential(10_000, len(places)).astype(np.int64)
    elapsed = np.cumsum(gaps)
    frame = 1 + elapsed - np.repeat(elapsed[first] - gaps[first], np.diff(np.append(first, len(molecule))))
    points = places[molecule] + rng.normal(0, PRECISION_NM, (len(molecule), 2))
    order = np.argsort(frame, kind="stable")
    columns = {"frame": frame, "x [nm]": points[:, 0].round(2), "y [nm]": points[:, 1].round(2)}
    columns |= {"uncertainty [nm]": np.full(len(frame), PRECISION_NM)}
    pa_csv.write_csv(pa.table({name: values[order] for name, values in columns.items()}), path)
    return len(frame)


def run(path: Path, out: Path, name: str, n: int, network: str, workers: int) -> dict[str, Any]:
    """Analyze the image with one of the options; what was seen."""
    before = os.times()
    seen = run_command([path], out, workers, "--network", network, *OPTIONS[name])
    after = os.times()
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    (image,) = json.loads((out / "summary.json").read_text())["images"]
    later = {stage.name for stage in stages_by(network, None, None, False)} - {"read"}
    return {
        "option": name,
        "n": n,
        "network": network,
        "rows": image["rows"],
        "localizations": image["localizations"],
        "processor_s": round(seconds, 1),
        "before_s": round(sum(s for stage, s in image["seconds"].items() if stage not in later), 1),
        "wall_s": seen.wall_s,
        "peak_rss_gib": seen.peak_rss_gib,
        "seconds_by_stage": image["seconds"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=float, default=1e6)
    parser.add_argument(
        "--options", nargs="+", choices=[*OPTIONS][1:], default=[*OPTIONS][1:], help="those to be tried"
    )
    parser.add_argument("--network", default=DEFAULT_NETWORK)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--results", type=Path, required=True, help="JSON to write")
    asked = parser.parse_args()
    n = int(asked.n)
    stand = json.loads(asked.results.read_text())["runs"] if asked.results.exists() else []
    others = [found for found in stand if (found["n"], found["network"]) != (n, asked.network)]
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.csv"
        write_blinking(path, n)
        for name in ("none", *asked.options):
            found = run(path, Path(folder) / name.replace(" ", "_"), name, n, asked.network, asked.workers)
            beside = runs[0] if runs else found
            found["times"] = round(found["processor_s"] / beside["processor_s"], 2)
            found["times_memory"] = round(found["peak_rss_gib"] / beside["peak_rss_gib"], 2)
            runs.append(found)
            asked.results.write_text(json.dumps({"machine": machine(), "runs": [*others, *runs]}, indent=1) + "\n")
            print({key: value for key, value in found.items() if key != "seconds_by_stage"}, flush=True)


if __name__ == "__main__":
    main()
