"""Neighbors beside scipy's k-d tree, the whole analysis beside DBSCAN, outlines beside GEOS: both sides in one run.

Points: 200 localizations per um2, clusters of 20, radius 50 nm, 50 % clustered, in random row order. Each pair is timed
in turn, several times; medians and the ratio of the medians are reported.

    python benchmarks/speed.py --n 1e6 --results benchmarks/results/speed.json
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import shapely
from scipy.spatial import cKDTree
from sklearn.cluster import DBSCAN

from caml_dask import CAML
from caml_dask.blocks import BlockIndex
from caml_dask.measure import measure_clusters
from caml_dask.neighbors import nearest_in_batches
from caml_dask.simulate import Scenario, simulate_square

SCENARIO = Scenario(points_per_cluster=20, r_max_nm=50.0, percent_clustered=50.0, density_per_um2=200.0)


def field(n: int) -> np.ndarray:
    """About n localizations, (n, 2) float64 in nm, in random order."""
    side_nm = 1e3 * math.sqrt(n / SCENARIO.density_per_um2)
    xy = np.vstack([chunk.xy_nm for chunk in simulate_square(SCENARIO, side_nm, np.random.default_rng(0))])
    return np.random.default_rng(1).permutation(xy)


def neighbors(xy: np.ndarray, k: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """Building the index and all k-NN distances: ours on one core, scipy's on all."""

    def ours() -> float:
        return max(float(part.window_nm.max()) for part in nearest_in_batches(BlockIndex.build(xy), k))

    def theirs() -> float:
        tree = cKDTree(xy)
        step = max(1, 10**8 // k)
        blocks = range(0, len(xy), step)
        return max(float(tree.query(xy[i : i + step], k + 1, workers=-1)[0][:, -1].max()) for i in blocks)

    if ours() != theirs():
        raise SystemExit("the two sides disagree: the comparison means nothing")
    return ours, theirs


def outlines(size: int, clusters: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """Outlines of clusters of `size` localizations; the measured shapes beside GEOS' outlines alone."""
    rng = np.random.default_rng(2)
    members = [50 * rng.normal(size=(size, 2)) for _ in range(clusters)]
    nearest_nm = [cKDTree(m).query(m, 2)[0][:, 1] for m in members]
    b_nm = np.array([1.2 * d.mean() for d in nearest_nm])
    xy, starts = np.vstack(members), np.arange(clusters + 1) * size

    def ours() -> float:
        return float(measure_clusters(xy, np.concatenate(nearest_nm), starts, b_nm).area_nm2.sum())

    def theirs(segments: int = 16) -> float:
        discs = (shapely.buffer(shapely.points(m), 2 * b, quad_segs=segments) for m, b in zip(members, b_nm))
        unions = [shapely.union_all(d) for d in discs]
        return float(shapely.area(shapely.buffer(unions, -b_nm, quad_segs=segments)).sum())

    if abs(ours() / theirs(64) - 1) > 1e-3:
        raise SystemExit("the two sides disagree: the comparison means nothing")
    return ours, theirs


def pair(name: str, ours: Callable[[], object], theirs: Callable[[], object], repeats: int) -> dict[str, Any]:
    """Time both sides in turn; seconds of each, medians and how many times faster ours is."""
    seconds: dict[str, list[float]] = {"ours_s": [], "theirs_s": []}
    for _ in range(repeats):
        for side, call in (("ours_s", ours), ("theirs_s", theirs)):
            start = time.perf_counter()
            call()
            seconds[side].append(round(time.perf_counter() - start, 4))
    mine, other = (statistics.median(seconds[side]) for side in ("ours_s", "theirs_s"))
    return {"pair": name, **seconds, "median_ours_s": mine, "median_theirs_s": other, "ratio": round(other / mine, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=float, default=1e6)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--results", type=Path, help="JSON file to write; printed either way")
    parser.add_argument("--smoke", action="store_true", help="20,000 localizations, once")
    options = parser.parse_args()
    n, repeats = (20_000, 1) if options.smoke else (int(options.n), options.repeats)
    xy = field(n)
    few = xy[: max(20_000, n // 10)]
    clusters = max(20, n // 1000)
    CAML().fit(xy[:5000])
    pairs = [
        (f"{n} localizations, k=100: ours on 1 core / cKDTree on all", *neighbors(xy, 100)),
        (f"{len(few)} localizations, k=1000: ours on 1 core / cKDTree on all", *neighbors(few, 1000)),
        (
            f"{n} localizations: CAML().fit_predict on 1 core / DBSCAN(eps=30, min_samples=5, n_jobs=-1)",
            lambda: CAML().fit_predict(xy),
            lambda: DBSCAN(eps=30, min_samples=5, n_jobs=-1).fit_predict(xy),
        ),
        (f"{clusters} clusters of 20: all measures / union_all(buffer).buffer(-b)", *outlines(20, clusters)),
        (
            f"{clusters // 5} clusters of 200: all measures / union_all(buffer).buffer(-b)",
            *outlines(200, clusters // 5),
        ),
    ]
    measured = []
    for name, ours, theirs in pairs:
        measured.append(pair(name, ours, theirs, repeats))
        print(json.dumps(measured[-1]), flush=True)
    result = {
        "measured": measured,
        "machine": {"cores": psutil.cpu_count(), "memory_gib": round(psutil.virtual_memory().total / 2**30, 1)},
        "versions": {name: version(name) for name in ("numpy", "scipy", "numba", "scikit-learn", "shapely")},
        "python": platform.python_version(),
    }
    if options.results:
        options.results.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
