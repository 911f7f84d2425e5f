"""What a run costs beside the analysis itself: driver and scheduler, by images, units and work in flight.

    python benchmarks/driver.py --label now --results benchmarks/results/driver.json
    PYTHONPATH=OTHER_CHECKOUT python benchmarks/driver.py --label before --results benchmarks/results/driver.json

Workers of an embedded cluster do units that compute nothing and leave true done records, so what is measured is the
process that holds the driver and Dask's scheduler: its seconds of CPU, and how much its memory grows. `--what`, one or
more of

    images   runs of so many images of one tile (--images)
    tiles    one image of so many tiles (--tiles), in all stages
    begin    tables of 120 localizations (--begun): from the inputs to the manifest, and the summary at the end

Each case has a process of its own. Called again, cases that stand in --results are not run again.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
from harness import machine

import caml_dask.executors.dask as executor
from caml_dask.executors.deployment.clusters import local_cluster
from caml_dask.io.manifest import Image, describe, numbered
from caml_dask.io.run_directory import Run, locked, prepare
from caml_dask.networks.trained import load_for
from caml_dask.pipeline import FIRST, LAST, stage_of, stages_of
from caml_dask.runs.progress import Lines
from caml_dask.runs.session import begun, write_summary
from caml_dask.schema import arrow_schema
from caml_dask.settings import Settings
from caml_dask.stages.tables import BOXES, CUTS, FACTS

WHAT = {"images": [3000], "tiles": [1000, 4000], "begin": [3000]}
SETTINGS = Settings("XPILJZ", test=False)
_SAMPLE_S = 0.1
_TILES = "CAML_SIMULATED_TILES"  # in the environment of the workers: tiles of each image
_FIGURE = {"median": 123.456789012345, "q25": 101.234567890123, "q75": 167.890123456789, "n": 5}
_SIZES = ("n_localizations", "area_nm2", "perimeter_nm", "circularity", "elongation", "mean_nn_nm", "density_per_um2")


def simulated(run: Run, key: tuple[int, str, int]) -> dict[str, Any]:
    """A unit that computes nothing: its record, and the tables by which the driver counts units and rows."""
    index, name, unit = key
    image, tiles = run.images[index], int(os.environ[_TILES])
    store = run.store(image)
    with store.claimed(name, unit):
        record: dict[str, Any] = {"rows": 1, "seconds": 0.001, "worker": f"simulated:{os.getpid()}"}
        if tiles == 1:
            seconds = {stage.name: 0.001 for stage in stages_of(run.settings)}
            record |= {"fused": True, "seconds_by_stage": seconds}
        elif name == FIRST.name:
            facts = {"rows": tiles, "nonfinite": 0, "finite": tiles, "chunks": 1, "bounds_nm": [0.0, 0.0, tiles, 1.0]}
            facts |= {"coordinates": ["x_nm", "y_nm"], "carried": [], "where": []}
            store.put(FACTS.name, 0, pa.Table.from_pylist([facts], arrow_schema(FACTS.columns)))
        elif name == "plan":
            _put_partition(store.put, tiles)
        if stage_of(run.settings, name).per in ("image", "chunk"):
            record["rows"] = tiles
        if tiles == 1 or name == LAST.name:
            record["summary"] = _summary(image, run.settings.finder, tiles)
        return store.finish(LAST.name if record.get("fused") else name, unit, record)


def _put_partition(put: Callable[[str, int, pa.Table], None], tiles: int) -> None:
    edges = np.arange(tiles + 1.0)
    columns = {"x0_nm": edges[:-1], "y0_nm": np.zeros(tiles), "x1_nm": edges[1:], "y1_nm": np.ones(tiles)}
    put(BOXES.name, 0, pa.table(columns))
    chain = np.arange(tiles - 1)
    above = np.append(chain[1:], ~(tiles - 1))
    tree = {"axis": np.zeros(tiles - 1, int), "at_nm": edges[1:-1], "below": ~chain, "above": above}
    put(CUTS.name, 0, pa.table(tree))


def _summary(image: Image, finder: str, tiles: int) -> dict[str, Any]:
    """As long as those of true images."""
    names = ("rows", "localizations", "duplicates", "labelled_clustered", "in_clusters", "clusters", "window_saturated")
    return {
        **{"image_id": image.image_id, "network": finder, "method": None, "chunks": 1, "tiles": tiles},
        **dict.fromkeys(names, tiles),
        **{"percent_clustered": 54.166666666666664, "clusters_per_um2": 1.343029138804738, "area_um2": 3.7229274150000},
        "medians": dict.fromkeys(_SIZES, _FIGURE),
        "warnings": [f"simulated: {'nothing was computed of this image; ' * 5}"],
    }


executor.run_unit = simulated
with suppress(ModuleNotFoundError):  # where what workers do has a module of its own
    importlib.import_module("caml_dask.executors.worker").run_unit = simulated


def in_flight(tiles: int, images: int, workers: int) -> dict[str, Any]:
    """Images of some tiles on workers that compute nothing: CPU and memory of driver and scheduler."""
    os.environ[_TILES] = str(tiles)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        named = numbered([Image("", Path(folder) / f"image_{i}.csv") for i in range(images)])
        manifest = describe(SETTINGS, named, load_for(SETTINGS).identity)
        with locked(out), local_cluster(workers) as client, Lines(run := prepare(out, manifest, False, False)) as watch:
            client.wait_for_workers(workers)
            units = _Counted(watch)
            with _memory() as grown:
                cpu, wall = time.process_time(), time.perf_counter()
                executor.DaskExecutor(client).execute(run, units)
                cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        if watch.failed:
            raise SystemExit(str(next(iter(watch.failed.values()))))
    return {
        "units": units.done,
        "driver_cpu_s": round(cpu, 2),
        "wall_s": round(wall, 2),
        "driver_ms_a_unit": round(1e3 * cpu / units.done, 3),
        "driver_ms_an_image": round(1e3 * cpu / images, 3),
        **grown,
    }


class _Counted:
    """An observer that counts the units of another."""

    def __init__(self, watch: Lines) -> None:
        self.done, self._watch = 0, watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._watch, name)

    def unit_done(self, image: Image, record: dict[str, Any]) -> None:
        """Count it, and hand it on."""
        self.done += 1
        self._watch.unit_done(image, record)


@contextmanager
def _memory() -> Iterator[dict[str, Any]]:
    """How much the resident memory of this process grows at most while the context lasts, in MiB."""
    own, found, ended = psutil.Process(), dict[str, Any](), threading.Event()
    before = peak = own.memory_info().rss

    def look() -> None:
        nonlocal peak
        while not ended.wait(_SAMPLE_S):
            peak = max(peak, own.memory_info().rss)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield found
    finally:
        ended.set()
        looking.join()
        found["grown_mib"] = round((max(peak, own.memory_info().rss) - before) / 2**20, 1)


def beginning(images: int) -> dict[str, Any]:
    """From tables to a manifest, and from records to a summary."""
    os.environ[_TILES] = "1"
    with tempfile.TemporaryDirectory() as folder:
        xy = np.random.default_rng(0).uniform(0, 2000, (120, 2)).round(1)
        rows = "".join(f"{frame},{x},{y},800.0\n" for frame, (x, y) in enumerate(xy.tolist()))
        tables = [Path(folder) / f"image_{i:06d}.csv" for i in range(images)]
        for i, table in enumerate(tables):
            table.write_text(f'"frame","x [nm]","y [nm]","intensity [photon]"\n{rows}{i},1.0,2.0,3.0\n')
        start = time.perf_counter()
        with begun(tables, Path(folder) / "out", SETTINGS, resume=False, overwrite=False) as run:
            began = time.perf_counter() - start
            for index in range(images):
                run.store(run.images[index]).begin()
                simulated(run, (index, FIRST.name, 0))
            start = time.perf_counter()
            write_summary(run, {})
            summary = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return {
        "begun_ms_an_image": round(1e3 * began / images, 3),
        "summary_ms_an_image": round(1e3 * summary / images, 3),
        "peak_rss_mib": round(peak, 1),
    }


def measured(what: str, count: int, workers: int) -> dict[str, Any]:
    """One case, in this process."""
    if what == "begin":
        return beginning(count)
    return in_flight(1, count, workers) if what == "images" else in_flight(count, 1, workers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", nargs="+", choices=WHAT, default=[*WHAT])
    parser.add_argument("--images", nargs="+", type=float, default=WHAT["images"])
    parser.add_argument("--tiles", nargs="+", type=float, default=WHAT["tiles"])
    parser.add_argument("--begun", nargs="+", type=float, default=WHAT["begin"])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--label", default="now", help="what the package that is measured is called in the results")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--results", type=Path, help="JSON file that keeps the cases; printed either way")
    parser.add_argument("--smoke", action="store_true", help="everything, with few units, in under half a minute")
    parser.add_argument("--case", nargs=2, metavar=("WHAT", "COUNT"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.case:
        print(json.dumps(measured(asked.case[0], int(asked.case[1]), asked.workers)))
        return
    if asked.smoke:
        asked.images, asked.tiles, asked.begun = [40], [20], [30]
    stands = asked.results is not None and asked.results.exists()
    done: list[dict[str, Any]] = json.loads(asked.results.read_text())["cases"] if stands else []
    counts = {"images": asked.images, "tiles": asked.tiles, "begin": asked.begun}
    for repeat in range(asked.repeats):
        for what, count in ((one, int(count)) for one in asked.what for count in counts[one]):
            key = {"label": asked.label, "what": what, "count": count, "workers": asked.workers, "repeat": repeat}
            if any(key.items() <= each.items() for each in done):
                continue
            command = [sys.executable, __file__, "--case", what, str(count), "--workers", str(asked.workers)]
            found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            done.append({**key, **json.loads(found.splitlines()[-1])})
            print(json.dumps(done[-1]), flush=True)
            if asked.results:
                working = asked.results.with_suffix(".working")
                working.write_text(json.dumps({"machine": machine(), "cases": done}, indent=1) + "\n")
                working.replace(asked.results)


if __name__ == "__main__":
    main()
