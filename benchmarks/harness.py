"""What the benchmarks of the command share: simulated inputs, running it as users start it, and watching it."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import math
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from caml_dask.simulate import Scenario, simulate_square

SCENARIO = Scenario(points_per_cluster=20, r_max_nm=50.0, percent_clustered=50.0, density_per_um2=200.0)
HOT_SHARE, HOT_AREA = 0.5, 0.01  # of the localizations, and of the area they lie in
SAMPLE_S = 0.25
SORTED_BY = {"points": "loc_id", "clusters": "cluster_id", "outlines": "cluster_id"}

_BUCKET_ROWS = 1_000_000
_PER_FRAME = 50
_LOST = "a worker was lost"


def write_square(path: Path, n: int, seed: int = 0, hot_spot: bool = False) -> int:
    """Write about n localizations as ThunderSTORM CSV, in random order, as frames give them; returns how many.

    What is held does not grow with n: the localizations are dealt out to files at random, and each one is shuffled.

    hot_spot : half of the localizations lie within 1 % of the area, in the same pattern ten times finer
    """
    rng = np.random.default_rng(seed)
    writer, written = None, 0
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        buckets = [Path(folder) / str(i) for i in range(max(1, math.ceil(n / _BUCKET_ROWS)))]
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(bucket.open("wb")) for bucket in buckets]
            for xy in _hot_spot(n, rng) if hot_spot else _squares(n, SCENARIO.density_per_um2, rng):
                owner = rng.integers(len(buckets), size=len(xy))
                for i, file in enumerate(files):
                    file.write(xy[owner == i].tobytes())
        for bucket in buckets:
            xy = rng.permutation(np.fromfile(bucket).reshape(-1, 2)).round(2)
            bucket.unlink()
            frame = np.arange(written, written + len(xy)) // _PER_FRAME + 1
            columns = {"frame": frame, "x [nm]": xy[:, 0], "y [nm]": xy[:, 1]}
            table = pa.table({**columns, "intensity [photon]": np.full(len(xy), 800.0)})
            writer = writer or pa_csv.CSVWriter(path, table.schema)
            writer.write_table(table)
            written += len(xy)
    if writer is not None:
        writer.close()
    return written


def _squares(n: int, density_per_um2: float, rng: np.random.Generator) -> Iterator[np.ndarray]:
    side_nm = 1e3 * math.sqrt(n / density_per_um2)
    return (chunk.xy_nm for chunk in simulate_square(SCENARIO, side_nm, rng))


def _hot_spot(n: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    around = round(n * (1 - HOT_SHARE))
    side_nm = 1e3 * math.sqrt(around / SCENARIO.density_per_um2)
    yield from _squares(around, SCENARIO.density_per_um2, rng)
    shrunk = math.sqrt(HOT_AREA)
    for xy in _squares(n - around, SCENARIO.density_per_um2, rng):
        yield xy * shrunk + side_nm * (1 - shrunk) / 2


@dataclass(frozen=True)
class Watched:
    """What was seen of a command while it ran.

    peak_rss_gib : highest sum of the resident memory of all its processes; what they share is counted for each
    peak_at_s : when that was
    workers_lost : workers that ended while they had work, by its log
    """

    wall_s: float
    peak_rss_gib: float
    peak_at_s: float
    workers_lost: int


def run_command(inputs: Sequence[Path], out: Path, workers: int, *options: str) -> Watched:
    """`caml-dask run`, as users start it."""
    command = [sys.executable, "-m", "caml_dask", "run", *map(str, inputs), "--out", str(out), *options]
    return watch([*command, "--workers", str(workers)])


def watch(command: list[str]) -> Watched:
    """Run a command and look at the memory of all its processes every quarter of a second."""
    with tempfile.TemporaryFile() as log:
        start, peak, at = time.perf_counter(), 0, 0.0
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
        root = psutil.Process(process.pid)
        while True:
            held = _resident(root)
            if held > peak:
                peak, at = held, time.perf_counter() - start
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(SAMPLE_S)
                break
        wall = time.perf_counter() - start
        log.seek(0)
        said = log.read().decode(errors="replace")
    if process.returncode:
        raise SystemExit(f"{' '.join(command)[:400]} ended with {process.returncode}:\n{said[-2000:]}")
    return Watched(round(wall, 2), round(peak / 2**30, 3), round(at, 1), said.count(_LOST))


def _resident(root: psutil.Process) -> int:
    held = 0
    with contextlib.suppress(psutil.Error):
        for member in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.Error):  # it ended between being listed and being asked
                held += member.memory_info().rss
    return held


def worker_seconds(images: list[dict[str, Any]]) -> dict[str, float]:
    """Seconds of all units of each stage, added up over the images of a summary."""
    stages = {stage: 0.0 for image in images for stage in image["seconds"]}
    for image in images:
        for stage, seconds in image["seconds"].items():
            stages[stage] += seconds
    return {stage: round(seconds, 2) for stage, seconds in stages.items()}


def stage_walls(out: Path, image_id: str) -> dict[str, float]:
    """Seconds from the end of the stage before to the end of each stage of an image of several tiles, from its records.

    All units of a stage are done before the next one begins.
    """
    ends = {
        folder.name: max(record.stat().st_mtime for record in folder.rglob("*.json"))
        for folder in (out / ".run" / image_id / "done").iterdir()
    }
    order = sorted(ends, key=lambda stage: ends[stage])
    return {stage: round(ends[stage] - ends[before], 2) for before, stage in itertools.pairwise(order)}


def tables_of(out: Path) -> dict[str, str]:
    """A digest of each sorted result table of each image of a run."""
    found = {}
    for image in sorted(entry for entry in out.iterdir() if entry.is_dir() and entry.name != ".run"):
        for name, key in SORTED_BY.items():
            table = pq.read_table(image / f"{name}.parquet").sort_by(key)
            content = repr((table.schema, table.to_pylist()))
            found[f"{image.name}/{name}"] = hashlib.blake2b(content.encode(), digest_size=16).hexdigest()
    return found


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
    }
