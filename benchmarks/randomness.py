"""Whether the test against randomness keeps what it promises, and what it finds.

On noise, p values below 0.05 should come in one field of twenty, and no cluster should be left at a false discovery
rate of 0.05 in most. On clusters of rising contrast, how often the test finds them. On clusters among noise, which
share of the clusters that are kept at a stated rate are none. With --labelled, on simulations that others labelled.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from caml_dask import analyze
from caml_dask.evaluation.labelled import labelled_folders, read_labelled
from caml_dask.schema import NO_CLUSTER

NETWORKS = ("field-2d", "XPILJZ")
RATES = (0.01, 0.05, 0.1, 0.2, 0.5)
CONTRASTS = (1.5, 2.0, 3.0, 5.0, 10.0, 20.0)
DENSITY = 100.0  # localizations per um2
DETECTIONS, PRECISION_NM, DARK_FRAMES, FRAMES = 3.0, 12.0, 20.0, 10_000
PER_CLUSTER, IN_CLUSTERS = 20, 0.3


def noise(n: int, per_um2: float, reblinks: bool, rng: np.random.Generator) -> pd.DataFrame:
    """A square of n localizations at random places, or of about n detections of molecules at random places."""
    side = 1e3 * np.sqrt(n / per_um2)
    if not reblinks:
        return table(rng.uniform(0, side, (n, 2)))
    counts = rng.geometric(1 / DETECTIONS, max(1, round(n / DETECTIONS)))
    molecule = np.repeat(np.arange(len(counts)), counts)
    lags = rng.geometric(1 / DARK_FRAMES, len(molecule))
    lags[np.flatnonzero(np.diff(molecule, prepend=-1))] = 0
    elapsed = np.cumsum(lags)
    frame = rng.integers(FRAMES, size=len(counts))[molecule] + elapsed - elapsed[np.searchsorted(molecule, molecule)]
    uncertainty = PRECISION_NM * rng.gamma(8, 1 / 8, len(molecule))
    xy_nm = (
        rng.uniform(0, side, (len(counts), 2))[molecule] + rng.normal(size=(len(molecule), 2)) * uncertainty[:, None]
    )
    return table(xy_nm).assign(frame=frame, uncertainty_nm=uncertainty)


def table(xy_nm: NDArray[np.float64]) -> pd.DataFrame:
    return pd.DataFrame({"x_nm": xy_nm[:, 0], "y_nm": xy_nm[:, 1]})


def clustered(n: int, contrast: float, rng: np.random.Generator) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """A square with 30 % of n localizations in discs of 20, `contrast` times denser than the rest; the truth."""
    side, clusters = 1e3 * np.sqrt(n / DENSITY), round(IN_CLUSTERS * n / PER_CLUSTER)
    outside = (1 - IN_CLUSTERS) * DENSITY / 1e6  # per nm2; the discs hold as many besides their own
    radius = np.sqrt(PER_CLUSTER / (np.pi * outside * (contrast - 1)))
    centers = rng.uniform(0, side, (clusters, 2))
    angle, distance = (
        rng.uniform(0, 2 * np.pi, clusters * PER_CLUSTER),
        radius * np.sqrt(rng.random(clusters * PER_CLUSTER)),
    )
    truth = np.repeat(np.arange(clusters), PER_CLUSTER)
    members = centers[truth] + distance[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    rest = rng.uniform(0, side, (n - len(members), 2))
    return table(np.vstack([members, rest])), np.append(truth, np.full(len(rest), NO_CLUSTER))


def on_noise(task: tuple[str, int, float, bool, int]) -> dict[str, Any]:
    """A row for a field of noise."""
    network, n, per_um2, reblinks, seed = task
    field = noise(n, per_um2, reblinks, np.random.default_rng([n, int(per_um2), reblinks, seed]))
    found = analyze(field, network, fdr=0.05, n_jobs=1).summary
    test = found["csr_test"]
    return {
        "network": network,
        "localizations": n,
        "per_um2": per_um2,
        "reblinks": reblinks,
        "p_value": test["p_value"],
        "clusters": found["clusters"] + found["clusters_dropped"],
        "left": found["clusters"],
    }


def on_clusters(task: tuple[str, float, int]) -> dict[str, Any]:
    """A row for a field with clusters: p value; clusters and false ones among them at each rate."""
    network, contrast, seed = task
    field, truth = clustered(1_000, contrast, np.random.default_rng([int(10 * contrast), seed]))
    found = analyze(field, network, n_jobs=1)
    row = {"network": network, "contrast": contrast, "p_value": found.summary["csr_test"]["p_value"]}
    of = found.points["cluster_id"].to_numpy()
    # a cluster is false where fewer than half of its members are of true ones
    false = np.array([(truth[of == id] != NO_CLUSTER).mean() < 0.5 for id in found.clusters["cluster_id"]], dtype=bool)
    for rate in RATES:
        kept = found.clusters["q_value"].to_numpy() <= rate
        row |= {f"kept at {rate}": int(kept.sum()), f"false at {rate}": int(np.count_nonzero(false & kept))}
    return row


def on_labelled(path: Path) -> dict[str, Any]:
    """A row for a field that others labelled."""
    field = read_labelled(path)
    found = analyze(field.points_nm, any_extent=True, n_jobs=1).summary
    return {
        "folder": path.parent.name,
        "clustered": float((field.truth != NO_CLUSTER).mean()),
        "p_value": found["csr_test"]["p_value"],
    }


def tasks_of_noise(fields: int, largest: int) -> Iterator[tuple[str, int, float, bool, int]]:
    sizes = [n for n in (400, 1_000, 3_000, 10_000, 100_000) if n <= largest]
    for network, n, reblinks in product(NETWORKS, sizes, (False, True)):
        # the networks do not depend on scale: without re-blinks, nor does the density matter
        for per_um2 in (10.0, 100.0, 1_000.0) if reblinks else (DENSITY,):
            for seed in range(fields if n <= 10_000 else fields // 5):
                yield network, n, per_um2, reblinks, seed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, help="JSON to write")
    parser.add_argument("--labelled", type=Path, metavar="FOLDER", help="folders of fields that others labelled")
    parser.add_argument("--fields", type=int, default=60, help="of each kind; a fifth of the largest")
    parser.add_argument("--largest", type=int, default=100_000, help="localizations of the largest fields of noise")
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()
    with ProcessPoolExecutor(asked.workers) as pool:
        of_noise = pd.DataFrame(pool.map(on_noise, tasks_of_noise(asked.fields, asked.largest)))
        contrasts = product(NETWORKS, CONTRASTS, range(asked.fields))
        of_clusters = pd.DataFrame(pool.map(on_clusters, contrasts))
        folders = [] if asked.labelled is None else labelled_folders(asked.labelled)
        paths = [path for folder in folders for path, dimensions in folder.tables if dimensions == 2]
        of_labelled = pd.DataFrame(pool.map(on_labelled, paths))
    keys = ["network", "localizations", "per_um2", "reblinks"]
    of_noise["below .05"], of_noise["any left"] = of_noise["p_value"] < 0.05, of_noise["left"] > 0
    by_noise = of_noise.groupby(keys, sort=False)[["below .05", "clusters", "any left"]].mean()
    by_noise["fields"] = of_noise.groupby(keys, sort=False).size()
    power = of_clusters.assign(found=of_clusters["p_value"] < 0.05).groupby(["network", "contrast"])["found"].mean()
    rates = [
        {"network": network, "stated": rate, **_realised(of[f"kept at {rate}"].sum(), of[f"false at {rate}"].sum())}
        for (network, of), rate in product(of_clusters.groupby("network"), RATES)
    ]
    found = {"noise": _records(by_noise), "power": _records(power), "rates": rates}
    if len(of_labelled):
        by_folder = (
            of_labelled.assign(found=of_labelled["p_value"] < 0.05).groupby("folder")[["clustered", "found"]].mean()
        )
        found["labelled"] = _records(by_folder)
    asked.results.write_text(json.dumps(found, indent=1) + "\n")
    print(*(pd.DataFrame(rows).to_string() for rows in found.values()), sep="\n\n")


def _realised(kept: int, false: int) -> dict[str, Any]:
    return {"realised": round(float(false / max(1, kept)), 4), "kept": int(kept)}


def _records(frame: pd.DataFrame | pd.Series) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(frame.round(4).reset_index().to_json(orient="records"))
    return rows


if __name__ == "__main__":
    main()
