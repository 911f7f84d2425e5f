"""CAML beside other methods by the size of a field: seconds, memory and accuracy from 1e4 to 1e6 localizations.

Fields: 200 localizations per um2, half of them in clusters of 20 with a radius of 50 nm, the others outside; and dense
complete spatial randomness, 1,000 per um2, on which a method is to find nothing. The other methods take the parameters
that are best on a clustered field of the smallest size with another seed, searched on its truth. Each measurement is a
process of its own that may use one core, calls the method once on a small field first, then up to --repeats times (the
median counts; once only where a call takes longer than 20 s), and is ended at the time limit; a method that was ended
at one size is not tried at larger ones. The Bayesian analysis ends by itself, with its best proposal so far.

    python benchmarks/rivals.py --out benchmarks/results/rivals

Parts are kept under --work; run again, it goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import platform
import resource
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
from contenders import CONTENDERS, Spacing, candidates, contender_named, read, written
from contenders import method as method_named
from contest_figures import draw_times

from caml_dask import __version__
from caml_dask.atomic import publish_text
from caml_dask.baselines import Bayesian, bayesian_search
from caml_dask.executors.items import each
from caml_dask.metrics import cluster_scores
from caml_dask.simulate import Scenario, scenario_named, simulate_square

SCENARIO = Scenario(points_per_cluster=20, r_max_nm=50.0, percent_clustered=50.0, density_per_um2=200.0)
SIZES = (10_000, 30_000, 100_000, 200_000, 500_000, 1_000_000)
RANDOM = scenario_named("csr-d1000")
RANDOM_SIZES = (10_000, 100_000)
LONG_S = 20.0
WARM_UP = 1_500
SMOKE_METHODS = ["CAML XPILJZ", "DBSCAN", "Bayesian"]
DONE, STOPPED, OVER, FAILED = "done", "best so far", "over the limit", "failed"


@dataclass(frozen=True)
class Task:
    """One method on one field.

    settings : as `written`; an empty text asks for a search on a field of another seed.
    """

    method: str
    n: int
    settings: str
    scenario: str
    repeats: int
    limit_s: float
    memory_gib: float
    smoke: bool

    def part(self, work: Path) -> Path:
        name = f"{contender_named(self.method).name.replace(' ', '_')}-{self.n}" + ("" if self.settings else "-search")
        with_settings = hashlib.sha256(self.settings.encode()).hexdigest()[:8]
        asked = f"{self.scenario}-{__version__}-{self.limit_s:g}s-{self.repeats}{'-smoke' if self.smoke else ''}"
        return work / "times" / f"{name}-{asked}-{with_settings}.json"


def field(n: int, seed: int, scenario: Scenario = SCENARIO) -> tuple[np.ndarray, np.ndarray]:
    """About n localizations (n, 2) in nm, in random order, and their true clusters (n,)."""
    side_nm = 1e3 * math.sqrt(n / scenario.density_per_um2)
    chunks = list(simulate_square(scenario, side_nm, np.random.default_rng(seed)))
    xy, truth = (np.concatenate([chunk[k] for chunk in chunks]) for k in (0, 1))
    order = np.random.default_rng(seed + 1).permutation(len(xy))
    return xy[order], truth[order]


def search(method: str, n: int, smoke: bool) -> dict[str, Any]:
    """The best settings of a method's grid, by Rand index, on a field that no time is measured on."""
    xy, truth = field(n, seed=10)
    contender = contender_named(method)
    tried = candidates(contender, Spacing.of(xy), smoke)[1:]
    scores = [cluster_scores(truth, contender.label(xy, s)).ari for s in tried]
    return {"settings": written(tried[int(np.argmax(scores))])}


def measure(task: Task) -> dict[str, Any]:
    """Time a method in this process, which is ended where a call reaches the limit."""
    contender = contender_named(task.method)
    settings = read(contender, task.settings)
    xy, truth = field(task.n, 0, RANDOM if task.scenario == RANDOM.name else SCENARIO)
    warm = replace(settings, time_limit_s=1.0) if isinstance(settings, Bayesian) else settings
    contender.label(field(WARM_UP, seed=20)[0], warm)
    limit = math.ceil(task.memory_gib * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    status, seconds = DONE, []
    while len(seconds) < task.repeats and (not seconds or seconds[0] < LONG_S):
        start = time.perf_counter()
        if isinstance(settings, Bayesian):
            found = bayesian_search(xy, replace(settings, time_limit_s=task.limit_s))
            labels, status = found.labels, DONE if found.finished else STOPPED
        else:
            signal.setitimer(signal.ITIMER_REAL, task.limit_s)
            labels = contender.label(xy, settings)
        seconds.append(time.perf_counter() - start)
        signal.setitimer(signal.ITIMER_REAL, 0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    scores = cluster_scores(truth, labels)
    return {
        "status": status,
        "seconds": statistics.median(seconds),
        "runs": len(seconds),
        "peak_gib": peak / 2 ** (30 if sys.platform == "darwin" else 20),
        "ari": scores.ari,
        "ari_truly_clustered": scores.ari_truly_clustered,
        "true_clusters": scores.n_true,
        "found_clusters": scores.n_found,
    }


def perform(task: Task) -> tuple[Task, dict[str, Any]]:
    """Have a process of one core search or measure; what it says."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    command = [sys.executable, __file__, "--one", json.dumps(asdict(task)), "--out", "-"]
    ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **threads})
    if ended.returncode == 0:
        return task, json.loads(ended.stdout.splitlines()[-1])
    if ended.returncode == -signal.SIGALRM:
        return task, {"status": OVER}
    last = ended.stderr.strip().splitlines()[-1:] or [f"exit status {ended.returncode}"]
    return task, {"status": FAILED, "reason": last[0]}


def run(tasks: Sequence[Task], work: Path, workers: int, what: str) -> dict[str, dict[str, Any]]:
    """Results by method of tasks of one size; those that are there already are read."""
    pending = [task for task in tasks if not task.part(work).exists()]
    for task, result in each(perform, pending, workers, what):
        publish_text(task.part(work), json.dumps(result) + "\n")
    return {task.method: json.loads(task.part(work).read_text()) for task in tasks}


def settings_of(methods: Sequence[str], n: int, make: Callable[..., Task], work: Path, workers: int) -> dict[str, str]:
    """Settings of each method: those that a search finds on a field of n localizations; of no grid, the default."""
    smoke = make("", n, "", SCENARIO.name).smoke
    tried = {m: candidates(contender_named(m), Spacing(1.0, 1.0), smoke) for m in methods}
    searches = [make(m, n, "", SCENARIO.name) for m in methods if len(tried[m]) > 1]
    searched = run(searches, work, workers, "searches")
    failed = {m: result.get("reason", result["status"]) for m, result in searched.items() if "settings" not in result}
    if failed:
        raise SystemExit(f"searches failed: {failed}")
    return {m: searched[m]["settings"] if m in searched else written(tried[m][0]) for m in methods}


def measured(asked: argparse.Namespace, sizes: Sequence[int], random_sizes: Sequence[int]) -> pd.DataFrame:
    """A row for each method, scenario and size; wave after wave of larger fields."""
    make = partial(Task, repeats=asked.repeats, limit_s=asked.limit_s, memory_gib=asked.memory_gib, smoke=asked.smoke)
    settings = settings_of(asked.methods, min(sizes), make, asked.work, asked.workers)
    rows = []
    for scenario, its_sizes in ((SCENARIO.name, sizes), (RANDOM.name, random_sizes)):
        going = list(asked.methods)
        for n in sorted(its_sizes):
            tasks = [make(m, n, settings[m], scenario) for m in going]
            results = run(tasks, asked.work, asked.workers, f"{n} localizations of {scenario}")
            for method in asked.methods:
                result = results.get(method, {"status": "not tried", "reason": "ended at a smaller size"})
                about = {"scenario": scenario, "localizations": n, "settings": settings[method]}
                rows.append({"method": contender_named(method).name, **about, **result})
            going = [m for m in going if results[m]["status"] == DONE]
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="where tables and the figure go")
    parser.add_argument("--work", type=Path, default=Path("build/rivals"), help="where parts are kept")
    parser.add_argument("--sizes", nargs="*", type=float, default=SIZES)
    parser.add_argument(
        "--methods",
        nargs="*",
        type=method_named,
        default=list(CONTENDERS),
        help=f"of {', '.join(CONTENDERS)}; and folders of networks that `caml-dask train` wrote",
    )
    parser.add_argument("--random-sizes", nargs="*", type=float, default=RANDOM_SIZES, help="of random fields")
    parser.add_argument("--repeats", type=int, default=3, help="calls of a measurement")
    parser.add_argument("--limit-s", type=float, default=300.0, help="seconds a method may take for one field")
    parser.add_argument("--memory-gib", type=float, default=16.0, help="address space of a measurement")
    parser.add_argument("--workers", type=int, default=1, help="measurements at a time; more disturb one another")
    parser.add_argument("--smoke", action="store_true", help="three methods on two small sizes")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        task = Task(**json.loads(asked.one))
        print(json.dumps(measure(task) if task.settings else search(task.method, task.n, task.smoke)))
        return
    sizes, random_sizes = ([int(n) for n in some] for some in (asked.sizes, asked.random_sizes))
    if asked.smoke:
        sizes, random_sizes, asked.methods, asked.limit_s = [2_000, 4_000], [2_000], SMOKE_METHODS, 30.0
        asked.repeats = 1
    table = measured(asked, sizes, random_sizes)
    asked.out.mkdir(parents=True, exist_ok=True)
    table.to_parquet(asked.out / "times.parquet", index=False)
    table.to_csv(asked.out / "times.csv", index=False, float_format="%.5g", lineterminator="\n")
    draw_times(table[table["scenario"] == SCENARIO.name], asked.limit_s, asked.out / "times.png")
    about = {
        "caml_dask": __version__,
        "limit_s": asked.limit_s,
        "repeats": asked.repeats,
        "machine": {"cores": psutil.cpu_count(), "memory_gib": round(psutil.virtual_memory().total / 2**30, 1)},
        "versions": {name: version(name) for name in ("numpy", "scipy", "numba", "scikit-learn")},
        "python": platform.python_version(),
    }
    publish_text(asked.out / "times.json", json.dumps(about, indent=1) + "\n")
    columns = ["method", "scenario", "localizations", "status", "seconds", "peak_gib", "ari", "found_clusters"]
    print(table.reindex(columns=columns).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
