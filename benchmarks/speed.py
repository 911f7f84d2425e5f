"""Neighbors beside scipy's k-d tree, analysis beside density clusterers, networks beside Keras, outlines beside GEOS.

Points: 200 localizations per um2, clusters of 20, radius 50 nm, 50 % clustered, in random row order; in 3D a slab 1 um
thick of which the same share lies in balls. Both sides of a pair run in turn in one process, several times, on all
cores; medians and the ratio of the medians are reported. That both sides agree is checked on a small part before.

    pip install ".[benchmark]"
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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import shapely
from scipy.spatial import cKDTree
from sklearn.cluster import DBSCAN

from caml_dask import CAML
from caml_dask.executors.deployment.clusters import cores
from caml_dask.geometry.measure import measure_clusters
from caml_dask.networks.inference.features import norm_self
from caml_dask.networks.trained import load
from caml_dask.networks.training.keras import import_keras
from caml_dask.simulate import Scenario, simulate_square
from caml_dask.spatial.blocks import BlockIndex
from caml_dask.spatial.labelled import LabelledIndex
from caml_dask.spatial.neighbors import nearest_in_batches

SCENARIO = Scenario(points_per_cluster=20, r_max_nm=50.0, percent_clustered=50.0, density_per_um2=200.0)
KERAS_BATCHES = (512, 2048, 8192)
SLOW_S = 20.0  # a rival that takes longer than this is measured once
LONG = ("87B144", "GAXJPR", "3TXKFS")  # networks of 1,000 neighbors
PACKAGES = (
    *("numpy", "scipy", "numba", "scikit-learn", "shapely", "keras", "tensorflow"),
    *("dbscan", "hdbscan", "fast-hdbscan"),
)
SKLEARNS = "scikit-learn's DBSCAN(eps=30, min_samples=5, n_jobs=-1)"
Call = Callable[[], Any]


@dataclass(frozen=True)
class Pair:
    """Two ways to one result.

    name : what is compared, ours first
    ours, theirs : called with nothing
    wanted : how many times faster ours should be, where that was said beforehand
    """

    name: str
    ours: Call
    theirs: Call
    wanted: float | None = None


def field(n: int) -> np.ndarray:
    """About n localizations, (n, 2) float64 in nm, in random order."""
    side_nm = 1e3 * math.sqrt(n / SCENARIO.density_per_um2)
    xy = np.vstack([chunk.xy_nm for chunk in simulate_square(SCENARIO, side_nm, np.random.default_rng(0))])
    return np.random.default_rng(1).permutation(xy)


def slab(n: int) -> np.ndarray:
    """n localizations in 3D, (n, 3) float64 in nm: half uniform, half in normal clusters of 20, sigma 25 nm."""
    rng = np.random.default_rng(3)
    size_nm = np.array([*[1e3 * math.sqrt(n / SCENARIO.density_per_um2)] * 2, 1000.0])
    centers = np.repeat(rng.uniform(size=(n // 40, 3)) * size_nm, 20, axis=0)
    loose = rng.uniform(size=(n - len(centers), 3)) * size_nm
    return rng.permutation(np.vstack([loose, centers + rng.normal(0, 25, centers.shape)]))


def farthest_windows(points: np.ndarray, k: int) -> float:
    """The longest k-th distance, of all k-NN distances computed by us on all cores, the index built anew."""
    index = BlockIndex.build(points)

    def share(rows: np.ndarray) -> float:
        return max(float(part.window_nm.max()) for part in nearest_in_batches(index, k, rows))

    with ThreadPoolExecutor(cores()) as pool:
        return max(pool.map(share, np.array_split(index.order, cores())))


def scipys_windows(points: np.ndarray, k: int) -> float:
    """The same by scipy's k-d tree, as users call it, on all cores."""
    tree, step = cKDTree(points), max(1, 10**8 // k)
    return max(
        float(tree.query(points[i : i + step], k + 1, workers=-1)[0][:, -1].max()) for i in range(0, len(points), step)
    )


def neighbors(name: str, points: np.ndarray, k: int, wanted: float) -> Pair:
    few = points[:20_000]
    agree(farthest_windows(few, k) == scipys_windows(few, k))
    return Pair(
        f"{name}: k-NN distances, k={k} / cKDTree.query(workers=-1)",
        lambda: farthest_windows(points, k),
        lambda: scipys_windows(points, k),
        wanted,
    )


def clusterers(n: int) -> list[Pair]:
    """The whole of `fit_predict` with XPILJZ beside the clusterers users have; those of HDBSCAN on a tenth."""
    import dbscan
    import fast_hdbscan
    import hdbscan

    many, few = field(n), field(n // 10)
    theirs: list[tuple[str, np.ndarray, Callable[[np.ndarray], Any], float | None]] = [
        (SKLEARNS, many, _sklearns, 1.0),
        ("dbscan.DBSCAN(eps=30, min_samples=5)", many, lambda xy: dbscan.DBSCAN(xy, eps=30, min_samples=5), None),
        ("fast_hdbscan.HDBSCAN()", few, fast_hdbscan.HDBSCAN().fit_predict, None),
        ("hdbscan.HDBSCAN(core_dist_n_jobs=-1)", few, hdbscan.HDBSCAN(core_dist_n_jobs=-1).fit_predict, None),
    ]
    for _, _, call, _ in theirs:
        call(many[:2000])
    CAML().fit(few)
    return [
        Pair(
            f"{len(xy)} localizations: CAML('XPILJZ').fit_predict / {name}",
            partial(_caml, xy),
            partial(call, xy),
            wanted,
        )
        for name, xy, call, wanted in theirs
    ]


def field_network(n: int) -> list[Pair]:
    """`fit_predict` with the field network beside DBSCAN, of whose time it may take three, and beside XPILJZ."""
    xy = field(n)
    ours = partial(_caml, xy, "field-2d")
    ours()
    name = f"{len(xy)} localizations: CAML('field-2d').fit_predict"
    return [
        Pair(f"{name} / {SKLEARNS}", ours, partial(_sklearns, xy), 1 / 3),
        Pair(f"{name} / CAML('XPILJZ').fit_predict", ours, partial(_caml, xy), None),
    ]


def _caml(xy: np.ndarray, network: str = "XPILJZ") -> np.ndarray:
    return CAML(network).fit_predict(xy)


def _sklearns(xy: np.ndarray) -> np.ndarray:
    return np.asarray(DBSCAN(eps=30, min_samples=5, n_jobs=-1).fit_predict(xy))


def scoring(name: str, n: int, wanted: float | None) -> Pair:
    """Scores of n rows on all cores beside Keras' predict at the best of some batch sizes."""
    network = load(name)
    spec = network.spec
    rng = np.random.default_rng(4)
    distances = np.sort(rng.random((n, spec.n_neighbors), dtype=np.float32), axis=1)
    import_keras()
    model = spec.build()
    model.set_weights([network.weights[key] for key, _ in spec.shapes])

    def predict(batch: int, rows: int = n) -> np.ndarray:
        return model.predict(norm_self(distances[:rows])[:, :, None], batch_size=batch, verbose=0)

    def ours() -> np.ndarray:
        return network.scores(distances, threads=cores())

    few = min(n, max(KERAS_BATCHES))
    agree(np.abs(ours()[:few] - predict(KERAS_BATCHES[0], few)).max() < 1e-5)
    taken = {}
    for batch in [batch for batch in KERAS_BATCHES if batch <= n] or KERAS_BATCHES[:1]:
        predict(batch, few)
        start = time.perf_counter()
        predict(batch, few)
        taken[batch] = time.perf_counter() - start
    best = min(taken, key=lambda batch: taken[batch])
    return Pair(f"{n} scores of {name} / Keras predict(batch_size={best})", ours, lambda: predict(best), wanted)


def outlines(size: int, clusters: int) -> Pair:
    """Outlines of clusters of `size` localizations; the measures beside GEOS' outlines alone, on one core each."""
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

    agree(abs(ours() / theirs(64) - 1) < 1e-3)
    return Pair(f"{clusters} clusters of {size}: all measures / union_all(buffer).buffer(-b)", ours, theirs, 5.0)


def dense_disc(n: int, reached: int) -> Pair:
    """Components of a disc of n localizations that each reach `reached`: four times as many / four times the same.

    The ratio is the time of four such discs to that of one disc with four times as many: 1 is linear.
    """

    def components(count: int) -> Call:
        rng = np.random.default_rng(5)
        radius, angle = 1e3 * np.sqrt(rng.random(count)), rng.uniform(0, 2 * np.pi, count)
        disc = np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])
        index = LabelledIndex.build(disc, np.ones(count, np.int8))
        reach_nm = np.full(count, 1e3 * math.sqrt(reached / count))
        return lambda: index.components(reach_nm)

    one, four = components(n), components(4 * n)
    agree(not four().any())
    return Pair(
        f"components of a disc of {4 * n}, each reaching {reached} / of four discs of {n}",
        four,
        lambda: [one() for _ in range(4)],
    )


def agree(both: bool) -> None:
    if not both:
        raise SystemExit("the two sides disagree: the comparison means nothing")


def measure(pair: Pair, repeats: int) -> dict[str, Any]:
    """Time both sides in turn; seconds of each, medians and how many times faster ours is."""
    seconds: dict[str, list[float]] = {"ours_s": [], "theirs_s": []}
    for turn in range(repeats):
        for side, call in (("ours_s", pair.ours), ("theirs_s", pair.theirs)):
            start = time.perf_counter()
            call()
            seconds[side].append(round(time.perf_counter() - start, 4))
        if turn == 0 and pair.wanted is None and seconds["theirs_s"][0] > SLOW_S:
            break
    mine, other = (statistics.median(seconds[side]) for side in ("ours_s", "theirs_s"))
    result = {"pair": pair.name, **seconds, "median_ours_s": mine, "median_theirs_s": other}
    return {**result, "ratio": round(other / mine, 2), "wanted": pair.wanted}


def groups(n: int) -> dict[str, Callable[[], list[Pair]]]:
    """What is compared, by the name of `--what`; each is made only when its turn comes: inputs are large."""
    clusters, rows = max(20, n // 1000), n // 5
    return {
        "neighbors": lambda: [neighbors(f"{n} localizations", field(n), 100, 6.0)],
        "clusterers": lambda: clusterers(n),
        "field-network": lambda: field_network(n),
        "scoring": lambda: [
            scoring("XPILJZ", n, None),
            scoring("07VEJJ", rows, 3.0),
            *(scoring(name, rows // 10, 4.0 if name == "87B144" else None) for name in LONG),
        ],
        "outlines": lambda: [outlines(20, clusters), outlines(200, clusters // 5)],
        "disc": lambda: [dense_disc(n // 10, 1000 if n > 10**5 else 100)],
        "neighbors-3d": lambda: [neighbors(f"{n} localizations in 3D", slab(n), 100, 3.0)],
        "neighbors-1000": lambda: [neighbors(f"{n} localizations", field(n), 1000, 5.0)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=float, default=1e6)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--results", type=Path, help="JSON file that keeps the pairs; printed either way")
    parser.add_argument("--smoke", action="store_true", help="2,000 localizations, once")
    parser.add_argument("--what", nargs="+", choices=list(groups(0)), default=list(groups(0)))
    options = parser.parse_args()
    n, repeats = (2_000, 1) if options.smoke else (int(options.n), options.repeats)
    stands = options.results is not None and options.results.exists()
    measured = {pair["pair"]: pair for pair in json.loads(options.results.read_text())["measured"]} if stands else {}
    for what in options.what:
        for pair in groups(n)[what]():
            measured[pair.name] = measure(pair, repeats)
            print(json.dumps(measured[pair.name]), flush=True)
            if options.results:
                options.results.write_text(json.dumps(_report(list(measured.values())), indent=1) + "\n")


def _report(measured: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "measured": measured,
        "machine": {"cores": psutil.cpu_count(), "memory_gib": round(psutil.virtual_memory().total / 2**30, 1)},
        "versions": {name: version(name) for name in PACKAGES},
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    main()
