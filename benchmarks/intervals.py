"""How often the bootstrap's interval of a cluster's area holds the mean area of other draws of the same cluster, and
how well the corrected area of blurred clusters agrees with that of their molecules.

    python benchmarks/intervals.py --results benchmarks/results/intervals.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from caml_dask.geometry.bootstrap import area_intervals
from caml_dask.geometry.measure import Shapes, measure_clusters
from caml_dask.stages.shared.precision import of_precision

SIZES = (10, 30, 100)
PRECISIONS_NM = (10.0, 20.0)


def disc(n: int, rng: np.random.Generator) -> np.ndarray:
    """n places in a disc of radius 50 nm."""
    angle, radius = 2 * np.pi * rng.random(n), 50 * np.sqrt(rng.random(n))
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])


def gaussian(n: int, rng: np.random.Generator) -> np.ndarray:
    """n places with a standard deviation of 30 nm along each axis."""
    return rng.normal(0, 30, (n, 2))


def fiber(n: int, rng: np.random.Generator) -> np.ndarray:
    """n places along 400 nm, with a standard deviation of 10 nm across."""
    return np.column_stack([400 * rng.random(n), rng.normal(0, 10, n)])


KINDS: dict[str, Callable[[int, np.random.Generator], np.ndarray]] = {
    "disc": disc,
    "gaussian": gaussian,
    "fiber": fiber,
}


def measured(clusters: list[np.ndarray]) -> tuple[Shapes, dict[str, Any]]:
    """Measures of clusters far from each other, and what they were measured from."""
    spacing = [cKDTree(xy).query(xy, k=2)[0][:, 1] for xy in clusters]
    of = {
        "xy_nm": np.concatenate(clusters),
        "starts": np.append(0, np.cumsum([len(xy) for xy in clusters])),
        "b_nm": np.array([1.2 * nearest.mean() for nearest in spacing]),
    }
    return measure_clusters(nn_nm=np.concatenate(spacing), **of), of


def row(kind: str, n: int, clusters: int, others: int, resamples: int) -> dict[str, Any]:
    """Coverage of one kind of cluster, and the median ratio of corrected to true area by precision."""
    rng = np.random.default_rng([n, list(KINDS).index(kind)])
    true = [KINDS[kind](n, rng) for _ in range(others)]
    shapes, _ = measured(true)
    mean = shapes.area_nm2.mean()
    seen, of = measured(true[:clusters])
    interval = area_intervals(**of, area_nm2=seen.area_nm2, cluster_id=np.arange(clusters), resamples=resamples)
    held = (interval["area_low_nm2"] <= mean) & (mean <= interval["area_high_nm2"])
    found = {"kind": kind, "members": n, "covered": held.mean(), "width": _width(interval, seen)}
    for sigma in PRECISIONS_NM:
        blurred, of = measured([xy + rng.normal(0, sigma, xy.shape) for xy in true])
        cluster = np.repeat(np.arange(others), n)
        corrected = of_precision(cluster, np.full(len(cluster), sigma), blurred)["area_corrected_nm2"]
        found[f"raw / true, {sigma:g} nm"] = np.median(blurred.area_nm2) / np.median(shapes.area_nm2)
        found[f"corrected / true, {sigma:g} nm"] = np.median(corrected) / np.median(shapes.area_nm2)
    return {name: value if isinstance(value, str | int) else round(float(value), 3) for name, value in found.items()}


def _width(interval: dict[str, np.ndarray], seen: Shapes) -> float:
    return float(np.median((interval["area_high_nm2"] - interval["area_low_nm2"]) / seen.area_nm2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, help="JSON to write")
    parser.add_argument("--clusters", type=int, default=200, help="of each kind that get an interval")
    parser.add_argument("--others", type=int, default=1_000, help="draws of each kind, those among them")
    parser.add_argument("--resamples", type=int, default=100)
    asked = parser.parse_args()
    rows = [row(*case, asked.clusters, asked.others, asked.resamples) for case in product(KINDS, SIZES)]
    asked.results.write_text(json.dumps(rows, indent=1) + "\n")
    for found in rows:
        print(found)


if __name__ == "__main__":
    main()
