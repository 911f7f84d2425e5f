"""Seconds and memory of `caml-dask run`, from CSV to all outputs, as inputs grow.

    python benchmarks/scale.py --sizes 1e5 1e6 1e7 --results benchmarks/results/scale.json
    python benchmarks/scale.py --what hot-spot small-images workers --results benchmarks/results/scale.json

`--what`, one or more of

    sizes         one image of each of --sizes localizations
    hot-spot      one image of --n, half of which lie within 1 % of the area, beside one of the usual pattern
    small-images  --images images of --each localizations beside one image of as many in all
    workers       one image of --n by 1 worker, and by 2

Both sides of a comparison are run in turn, --repeats times. Every run is written to --results as it ends; called again,
what stands there is not run again. Inputs are simulated into a temporary folder, and removed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from harness import machine, run_command, stage_walls, worker_seconds, write_square

from caml_dask.settings import network_named

COMPUTING = ("classify", "link", "stitch", "cut", "number", "measure")
WHAT = ("sizes", "hot-spot", "small-images", "workers")


@dataclass(frozen=True)
class Case:
    """One input, and how it is analysed.

    images, each : how many images there are, and localizations of each
    tile : localizations a tile may hold; None leaves that to the command
    """

    what: str
    images: int
    each: int
    hot_spot: bool
    network: str
    workers: int
    tile: int | None

    def write(self, folder: Path) -> list[Path]:
        """Simulate the inputs."""
        paths = [folder / f"image_{i:05d}.csv" for i in range(self.images)]
        for seed, path in enumerate(paths):
            write_square(path, self.each, seed, self.hot_spot)
        return paths

    def run(self, inputs: list[Path], out: Path, options: Sequence[str]) -> dict[str, Any]:
        """Analyse the inputs; what was seen."""
        tile = () if self.tile is None else ("--max-localizations", str(self.tile))
        seen = run_command(inputs, out, self.workers, "--network", self.network, *tile, *options)
        images = json.loads((out / "summary.json").read_text())["images"]
        localizations = sum(image["localizations"] for image in images)
        walls = stage_walls(out, images[0]["image_id"]) if self.images == 1 else {}
        return {
            "localizations": localizations,
            "localizations_per_s": round(localizations / seen.wall_s),
            **asdict(seen),
            "csv_gib": round(sum(path.stat().st_size for path in inputs) / 2**30, 4),
            "tiles": sum(image["tiles"] for image in images),
            "clusters": sum(image["clusters"] for image in images),
            "worker_seconds_by_stage": worker_seconds(images),
            "wall_seconds_by_stage": walls,
            "computing_wall_s": round(sum(walls.get(stage, 0.0) for stage in COMPUTING), 2) if len(walls) > 1 else None,
        }


def cases(what: str, asked: argparse.Namespace) -> list[Case]:
    """The cases of one comparison, to be run in turn."""

    def case(images: int, each: float, hot_spot: bool = False, workers: int = asked.workers) -> Case:
        return Case(what, images, int(each), hot_spot, network_named(asked.network), workers, asked.max_localizations)

    if what == "sizes":
        return [case(1, n) for n in asked.sizes]
    if what == "hot-spot":
        return [case(1, asked.n), case(1, asked.n, hot_spot=True)]
    if what == "small-images":
        return [case(1, asked.images * asked.each), case(asked.images, asked.each)]
    return [case(1, asked.n, workers=1), case(1, asked.n, workers=2)]


def measure(
    wanted: list[Case],
    repeats: int,
    done: list[dict[str, Any]],
    keep: Callable[[list[dict[str, Any]]], None],
    options: Sequence[str],
) -> None:
    """Run the cases in turn, each `repeats` times, but those that are done; `keep` is called after each run."""
    for repeat in range(repeats):
        for case in wanted:
            key = {**asdict(case), "repeat": repeat}
            if any(key.items() <= run.items() for run in done):
                continue
            with tempfile.TemporaryDirectory() as folder:
                inputs = case.write(Path(folder))
                done.append({**key, **case.run(inputs, Path(folder) / "out", options)})
            print(json.dumps(done[-1]), flush=True)
            keep(done)


def _medians(runs: list[dict[str, Any]], what: str, name: str) -> Iterator[tuple[dict[str, Any], float]]:
    """The first run of each case of a comparison, with the median over its repeats."""
    mine = [run for run in runs if run["what"] == what]
    for first in (run for run in mine if run["repeat"] == 0):
        case = {key: first[key] for key in Case.__dataclass_fields__}
        values = [run[name] for run in mine if case.items() <= run.items() and run[name] is not None]
        if values:
            yield first, statistics.median(values)


def _ratio(runs: list[dict[str, Any]], what: str, name: str, side: Callable[[dict[str, Any]], bool]) -> list[float]:
    """Of each network, the median of the side that `side` tells over that of the other."""
    found: dict[str, dict[bool, float]] = {}
    for run, value in _medians(runs, what, name):
        found.setdefault(run["network"], {})[side(run)] = value
    return [round(both[True] / both[False], 3) for both in found.values() if len(both) == 2]


def summarise(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """What the runs say: exponents of time against size by network, and ratios."""
    exponents = {}
    for network in dict.fromkeys(run["network"] for run in runs):
        found = [(r["localizations"], s) for r, s in _medians(runs, "sizes", "wall_s") if r["network"] == network]
        if len(found) > 1:
            n, seconds = np.log(sorted(found)).T
            exponents[network] = {
                "over all sizes": round(float(np.polyfit(n, seconds, 1)[0]), 3),
                "between the two largest": round(float((seconds[-1] - seconds[-2]) / (n[-1] - n[-2])), 3),
            }
    return {
        "exponent_of_wall_time": exponents,
        "hot_spot_to_usual_wall": _ratio(runs, "hot-spot", "wall_s", lambda run: run["hot_spot"]),
        "hot_spot_to_usual_peak_rss": _ratio(runs, "hot-spot", "peak_rss_gib", lambda run: run["hot_spot"]),
        "small_images_to_one_wall": _ratio(runs, "small-images", "wall_s", lambda run: run["images"] > 1),
        "one_worker_to_two_wall": _ratio(runs, "workers", "wall_s", lambda run: run["workers"] == 1),
        "one_worker_to_two_computing_wall": _ratio(
            runs, "workers", "computing_wall_s", lambda run: run["workers"] == 1
        ),
        "workers_lost": sum(run["workers_lost"] for run in runs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", nargs="+", choices=WHAT, default=["sizes"])
    parser.add_argument("--sizes", nargs="+", type=float, default=[1e5, 1e6, 1e7])
    parser.add_argument("--n", type=float, default=1e7, help="localizations of a hot spot's image, and for workers")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--each", type=float, default=1e4, help="localizations of each of the small images")
    parser.add_argument("--network", default="XPILJZ", help="a 2D network, or the folder of one of your own")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--max-localizations", type=int, help="as of the command")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--results", type=Path, help="JSON file that keeps the runs; printed either way")
    parser.add_argument("--smoke", action="store_true", help="everything, with small inputs, in under half a minute")
    asked = parser.parse_args()
    if asked.smoke:
        asked.what, asked.sizes, asked.n, asked.images, asked.each = WHAT, [2e3, 6e3], 6e3, 3, 1e3
        asked.workers, asked.max_localizations = 0, 1500
    stands = asked.results is not None and asked.results.exists()
    runs: list[dict[str, Any]] = json.loads(asked.results.read_text())["runs"] if stands else []

    def keep(done: list[dict[str, Any]]) -> None:
        if asked.results:
            text = json.dumps({"summary": summarise(done), "machine": machine(), "runs": done}, indent=1)
            working = asked.results.with_suffix(".working")
            working.write_text(text + "\n")
            working.replace(asked.results)

    for what in asked.what:
        measure(cases(what, asked), asked.repeats, runs, keep, ("--no-test",) if asked.smoke else ())
    print(json.dumps(summarise(runs), indent=1))


if __name__ == "__main__":
    main()
