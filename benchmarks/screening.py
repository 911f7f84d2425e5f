"""A screening at its full size: 200 simulated images in four conditions, six of them broken in six ways.

Two conditions are equal, one has a larger share of its localizations in clusters, one has larger clusters; images of a
condition differ in density and percent clustered, as cells do. The command is called as a scheduler calls it: once for
all, once with nothing new, once after one file changed.

    python benchmarks/screening.py --results benchmarks/results/screening.json
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from harness import machine

from caml_dask.atomic import fingerprint
from caml_dask.simulate import Scenario, simulate_square

SIDE_NM = 5_000.0
CONDITIONS = {
    "control": {"points_per_cluster": 20, "r_max_nm": 50.0, "percent_clustered": 50.0},
    "vehicle": {"points_per_cluster": 20, "r_max_nm": 50.0, "percent_clustered": 50.0},
    "activated": {"points_per_cluster": 20, "r_max_nm": 50.0, "percent_clustered": 65.0},
    "inhibited": {"points_per_cluster": 20, "r_max_nm": 65.0, "percent_clustered": 50.0},
}
DENSITY_PER_UM2 = 100.0
SPREAD_OF_DENSITY, SPREAD_OF_PERCENT = 0.10, 4.0  # standard deviations between images: of its share, and in percent


def broken(path: Path) -> dict[str, Callable[[], object]]:
    """Ways in which a file can be broken, and what each makes of `path`."""
    header, row = '"x [nm]","y [nm]"\n', "{},{}\n"
    return {
        "empty": lambda: path.write_text(""),
        "binary": lambda: path.write_bytes(np.random.default_rng(0).bytes(20_000)),
        "too few localizations": lambda: path.write_text(header + "".join(row.format(i, i * i) for i in range(50))),
        "no coordinate columns": lambda: path.write_text(
            "frame,photons\n" + "".join(row.format(i, 9) for i in range(500))
        ),
        "no such file": lambda: path.unlink(missing_ok=True),
        "pixels taken for nm": lambda: path.write_text(
            header + "".join(row.format(*xy) for xy in np.random.default_rng(1).uniform(0, 256, (500, 2)).round(3))
        ),
    }


def write_image(path: Path, condition: str, seed: list[int]) -> None:
    """Simulate one image of a condition."""
    rng = np.random.default_rng(seed)
    about = dict(CONDITIONS[condition])
    about["percent_clustered"] = float(np.clip(rng.normal(about["percent_clustered"], SPREAD_OF_PERCENT), 5, 95))
    density = DENSITY_PER_UM2 * float(np.clip(rng.normal(1, SPREAD_OF_DENSITY), 0.5, 1.5))
    chunks = simulate_square(Scenario(density_per_um2=density, **about), SIDE_NM, rng)
    xy = rng.permutation(np.vstack([chunk.xy_nm for chunk in chunks])).round(2)
    np.savetxt(path, xy, delimiter=",", header='"x [nm]","y [nm]"', comments="", fmt="%.2f")


def write_cohort(folder: Path, images_a_condition: int) -> tuple[Path, dict[str, str]]:
    """Write all images and the cohort's table; which of the files are broken, and how."""
    rows, ways = [], {}
    for number, condition in enumerate(CONDITIONS):
        for k in range(images_a_condition):
            path = folder / f"{condition}_{k:02d}.csv"
            write_image(path, condition, [2020, number, k])
            rows.append({"path": path.name, "condition": condition, "replicate": 1 + k % 3, "day": 1 + k // 10})
    for i, way in enumerate(broken(folder)):
        path = folder / rows[1 + i * (len(rows) // 6)]["path"]
        broken(path)[way]()
        ways[path.name] = way
    with (folder / "cohort.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return folder / "cohort.csv", ways


def call(cohort: Path, out: Path, workers: int) -> dict[str, Any]:
    """One call of the command: its exit code, what it took and what it said was done."""
    command = [sys.executable, "-m", "caml_dask", "screen", str(cohort), "--out", str(out)]
    command += ["--network", "XPILJZ", "--workers", str(workers)]
    start = time.perf_counter()
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    said = next((line for line in ended.stdout.splitlines() if "images done" in line), ended.stderr[-2000:])
    return {"exit_code": ended.returncode, "wall_s": round(time.perf_counter() - start, 2), "said": said}


def result_files(out: Path) -> dict[str, Any]:
    """Every file of a screening but its ledger and lock: when it was written, size and digest."""
    return {
        path.relative_to(out).as_posix(): [path.stat().st_mtime_ns, fingerprint(path)]
        for path in out.rglob("*")
        if path.is_file() and ".screen" not in path.relative_to(out).parts
    }


def measure(folder: Path, images_a_condition: int, workers: int) -> dict[str, Any]:
    """The three calls and what each left."""
    cohort, ways = write_cohort(folder, images_a_condition)
    out = folder / "screening"
    first = call(cohort, out, workers)
    images = json.loads((out / "summary.json").read_text())["images"]
    before = result_files(out)
    second = call(cohort, out, workers)
    after = result_files(out)
    write_image(folder / "control_00.csv", "control", [2021])
    third = call(cohort, out, workers)
    redone = json.loads((out / "summary.json").read_text())["new"]
    third_files = result_files(out)
    return {
        "images": len(images),
        "first_call": first,
        "analysed": sum(image["status"] == "done" for image in images),
        "failed": {
            Path(i["path"]).name: {"broken": ways.get(Path(i["path"]).name), "reason": i["reason"].split(": ", 1)[1]}
            for i in images
            if i["status"] == "failed"
        },
        "broken": len(ways),
        "second_call": second,
        "result_files": len(before),
        "result_files_changed_by_second_call": sum(before.get(name) != state for name, state in after.items())
        + len(before.keys() - after.keys()),
        "third_call_after_one_file_changed": third,
        "redone": redone,
        "result_files_changed_by_third_call": sorted(n for n in before if third_files.get(n) != before[n]),
        "medians": medians(images),
        "machine": machine(),
    }


def medians(images: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Of each condition, over its images, beside what was simulated."""
    found = {}
    for condition, simulated in CONDITIONS.items():
        of = [i for i in images if i["status"] == "done" and i["factors"]["condition"] == condition]
        values = {
            "percent_clustered": [i["percent_clustered"] for i in of],
            "clusters_per_um2": [i["clusters_per_um2"] for i in of],
            "points_per_cluster": [i["medians"]["n_localizations"]["median"] for i in of],
            "area_nm2": [i["medians"]["area_nm2"]["median"] for i in of],
        }
        found[condition] = {"images": len(of), **{name: round(float(np.median(v)), 2) for name, v in values.items()}}
        found[condition] |= {f"simulated_{name}": value for name, value in simulated.items()}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--results", type=Path, help="JSON file to write; printed either way")
    parser.add_argument("--keep", type=Path, help="new directory for the images and the screening, which then stay")
    parser.add_argument("--smoke", action="store_true", help="20 images instead of 200")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=options.keep is None)
    try:
        result = measure(folder, 5 if options.smoke else 50, options.workers)
    finally:
        if options.keep is None:
            shutil.rmtree(folder)
    print(json.dumps(result, indent=1))
    if options.results:
        options.results.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
