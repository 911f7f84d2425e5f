"""How near estimated drift comes to the true one, on simulated fields of several structures, and what it costs."""

from __future__ import annotations

import argparse
import json
import time
from itertools import product
from pathlib import Path

import numpy as np

from caml_dask.drift.estimate import estimate_drift

STRUCTURES = ("rings", "filaments", "clusters", "molecules")
SIDE_NM = 20_000.0
FRAMES = 10_000


def true_drift(frame: np.ndarray) -> np.ndarray:
    """150 nm of smooth drift on each axis, (n, 3) nm."""
    t = frame / FRAMES
    x = 0.7 * t + 0.25 * np.sin(2.6 * np.pi * t) + 0.05 * np.sin(10 * np.pi * t)
    y = -0.6 * t**2 + 0.3 * np.sin(1.6 * np.pi * t + 1) + 0.04 * np.sin(14 * np.pi * t)
    return 150 * np.column_stack([x, y, 0.5 * t - 0.3 * np.sin(2.2 * np.pi * t)])


def drifting(structure: str, n: int, axes: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Localizations of a structure with a precision of 10 nm (z: 20 nm), drifting: points, frames and the truth."""
    rng = np.random.default_rng(seed)
    if structure == "rings":
        centers = rng.uniform(0, SIDE_NM, (n // 800, 1, 2))
        angle = rng.uniform(0, 2 * np.pi, (len(centers), 1)) + np.arange(8) * np.pi / 4
        sites = (centers + 55 * np.stack([np.cos(angle), np.sin(angle)], -1)).reshape(-1, 2)
        points = sites[rng.integers(0, len(sites), n)]
    elif structure == "filaments":
        which, along = rng.integers(0, 6, n), rng.uniform(-SIDE_NM / 2, SIDE_NM / 2, n)
        way, begin = rng.uniform(0, np.pi, 6)[which], rng.uniform(0, SIDE_NM, (6, 2))[which]
        across = 300 * np.sin(along / 2000 + which) + rng.normal(0, 8, n)
        points = begin + np.column_stack(
            [along * np.cos(way) - across * np.sin(way), along * np.sin(way) + across * np.cos(way)]
        )
    elif structure == "molecules":
        points = rng.uniform(0, SIDE_NM, (n // 10, 2))[rng.integers(0, n // 10, n)]
    else:  # clusters of 30 nm, and others anywhere
        centers = rng.uniform(0, SIDE_NM, (n // 200, 2))
        points = centers[rng.integers(0, len(centers), n)] + rng.normal(0, 30, (n, 2))
        loose = rng.random(n) < 0.3
        points[loose] = rng.uniform(0, SIDE_NM, (loose.sum(), 2))
    frame = rng.integers(0, FRAMES, n)
    if axes == 3:
        points = np.column_stack([points, 300 * np.sin(points[:, 0] / 700) + 200 * np.cos(points[:, 1] / 900)])
    drift = true_drift(frame)[:, :axes]
    return points + drift + rng.normal(size=points.shape) * np.array([10, 10, 20])[:axes], frame, drift


def rmse(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """On each axis, in nm; where drift is counted from does not matter."""
    off = found - truth
    return np.sqrt(np.mean((off - off.mean(axis=0)) ** 2, axis=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=float, nargs="+", default=[1e5, 1e6])
    parser.add_argument("--axes", type=int, default=2, choices=(2, 3))
    parser.add_argument("--results", type=Path, required=True, help="JSON to write")
    asked = parser.parse_args()
    rows = []
    for n, structure, method in product(map(int, asked.sizes), STRUCTURES, ("aim", "rcc")):
        points, frame, drift = drifting(structure, n, asked.axes)
        start, cpu = time.perf_counter(), time.process_time()
        curve = estimate_drift(points, frame, method=method)
        spent = time.perf_counter() - start, time.process_time() - cpu
        row = {
            "localizations": n,
            "structure": structure,
            "method": method,
            "rmse_nm": rmse(curve.at(frame), drift).round(3).tolist(),
            "seconds": round(spent[0], 1),
            "cpu_seconds": round(spent[1], 1),
        }
        print(row, flush=True)
        rows.append(row)
    asked.results.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
