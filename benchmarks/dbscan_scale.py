"""DBSCAN as a method of ours beside scikit-learn's and that of the package dbscan, on the same localizations.

Squares of 200 localizations per um2, half of them in clusters of 20 of radius 50 nm; and squares in which half of the
localizations lie within 10 nm. Each call runs in a process of its own: seconds of labelling alone, and peak memory over
that before it. `ours` labels an array in memory, in one tile or in tiles of 100,000, and finds nearest distances too.
scikit-learn holds all pairs within eps, and is left out of hot spots for which these would take more than 4 GB.

    export OMP_NUM_THREADS=1 PARLAY_NUM_THREADS=1
    python benchmarks/dbscan_scale.py --sizes 1e5 1e6 --results benchmarks/results/dbscan_scale.json
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from harness import machine

from caml_dask.executors.in_memory import analyse
from caml_dask.executors.kernels import compile_kernels
from caml_dask.io.manifest import Image
from caml_dask.io.readers.in_memory import as_localizations
from caml_dask.io.store import MemoryStore
from caml_dask.methods import DBSCAN
from caml_dask.settings import ColumnMap, Settings
from caml_dask.simulate import Scenario
from caml_dask.simulate.squares import simulate_square
from caml_dask.stages.shared.clusters import clusters_of
from caml_dask.stages.shared.work import Work

METHOD = DBSCAN(eps_nm=30, min_samples=10)
SCENARIO = Scenario(points_per_cluster=20, r_max_nm=50.0, percent_clustered=50.0, density_per_um2=200.0)


def field(n: int, hot_spot: bool) -> np.ndarray:
    """About n localizations in random order, (m, 2) nm."""
    rng = np.random.default_rng(7)
    spread = n // 2 if hot_spot else n
    side_nm = 1000.0 * np.sqrt(spread / SCENARIO.density_per_um2)
    xy = np.vstack([chunk.xy_nm for chunk in simulate_square(SCENARIO, side_nm, rng)])
    if hot_spot:
        xy = np.vstack([xy, rng.uniform(-5, 5, (n - spread, 2)) + side_nm / 2])
    return rng.permutation(xy)


def ours(xy: np.ndarray, tile: int = 10**9) -> np.ndarray:
    settings = Settings(max_localizations=tile, method=METHOD, test=False, any_extent=True)
    work = Work(Image("field"), settings, METHOD, MemoryStore())
    analyse(work, [as_localizations(xy, ColumnMap())], {}, before="occupied")
    found = np.empty(len(xy), np.int64)
    for unit in range(work.partition().n_tiles):
        found[work.store.get("labels", unit)["loc_id"].to_numpy().astype(np.int64)] = clusters_of(work, unit)[0]
    return found


def ours_in_tiles(xy: np.ndarray) -> np.ndarray:
    return ours(xy, 100_000)


def scikit_learn(xy: np.ndarray) -> np.ndarray:
    from sklearn.cluster import DBSCAN as Fitted

    return Fitted(eps=METHOD.eps_nm, min_samples=METHOD.min_samples, algorithm="kd_tree").fit(xy).labels_


def package_dbscan(xy: np.ndarray) -> np.ndarray:
    from dbscan import DBSCAN as fit

    return fit(xy, METHOD.eps_nm, METHOD.min_samples)[0]


MOST_PAIRS = 5e8  # of a hot spot, for scikit-learn
CALLS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "ours": ours,
    "ours in tiles": ours_in_tiles,
    "package dbscan": package_dbscan,
    "scikit-learn": scikit_learn,
}


def _peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure(name: str, n: int, hot_spot: bool) -> dict[str, object]:
    """One call; the first of a few localizations is not counted."""
    xy = field(n, hot_spot)
    CALLS[name](xy[:1000])
    before, start = _peak_gib(), time.perf_counter()
    labels = CALLS[name](xy)
    seconds = time.perf_counter() - start
    return {
        "by": name,
        "hot_spot": hot_spot,
        "localizations": len(xy),
        "seconds": round(seconds, 2),
        "peak_over_before_gib": round(_peak_gib() - before, 3),
        "clusters": len(np.unique(labels[labels >= 0])),
        "noise": int((labels < 0).sum()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="*", type=float, default=[1e5, 1e6])
    parser.add_argument("--hot-spot", nargs="*", type=float, default=[2e4, 1e6], help="sizes")
    parser.add_argument("--results", type=Path, help="JSON file that calls are added to; printed either way")
    parser.add_argument("--smoke", action="store_true", help="small sizes, in seconds")
    options = parser.parse_args()
    sizes, hot = ([2e3], [2e3]) if options.smoke else (options.sizes, options.hot_spot)
    compile_kernels(METHOD.name, measures=False)
    cases = [(int(n), False) for n in sizes] + [(int(n), True) for n in hot]
    stands = options.results is not None and options.results.exists()
    measured = json.loads(options.results.read_text())["measured"] if stands else []
    for n, hot_spot in cases:
        for name in CALLS:
            if name == "scikit-learn" and hot_spot and (n / 2) ** 2 > MOST_PAIRS:
                continue
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                measured.append(pool.apply(measure, (name, n, hot_spot)))
            print(json.dumps(measured[-1]), flush=True)
            if options.results:
                result = {"method": METHOD.as_dict(), "measured": measured, "machine": machine()}
                options.results.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
