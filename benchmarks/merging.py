"""How well detections are merged to molecules, and what merging does to clusters.

The first on fields whose molecules are known: FOLDER holds a folder for each structure, with tables of x, y, frame and
molecule. The second on simulated fields of known clusters, whose molecules blink as those of FOLDER do: the number of
detections and the dark times of each are those of a molecule of FOLDER, drawn at random. Tables given with --real, of
x, y, frame and precision in nm, are analyzed before and after merging; with --only-real the other figures stay.
Detections in 3D are simulated: scattered molecules, a third of them in small clusters, and dense clusters of eighty;
with --only-volumes the other figures stay.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from caml_dask import CAML, analyze, merge_detections
from caml_dask.errors import CamlError
from caml_dask.metrics import cluster_scores
from caml_dask.simulate import Scenario, draw_cell, simulate

PUBLISHED = "50nm,25frames"
RADII_NM = (10, 15, 20, 25, 30, 40, 50, 60, 80)
GAPS_FRAMES = (1, 3, 10, 25, 50, 100, 250, 1_000)
VOLUME_PAIRS = tuple(product((40, 60, 80, 110, 150), (3, 10, 25, 50, 100)))
VOLUMES = (("scattered", 0.0, 1), ("small clusters", 0.3, 5), ("dense clusters", 0.8, 80))
NETWORKS = ("XPILJZ", "87B144", "field-2d")
PRECISION_NM = 12.0
RADIUS_NM = 1_800.0  # of a cell
SCENARIOS = (
    Scenario(points_per_cluster=20, r_max_nm=75.0, percent_clustered=50.0, density_per_um2=100.0),
    Scenario(points_per_cluster=50, r_max_nm=75.0, percent_clustered=30.0, density_per_um2=200.0),
    Scenario(points_per_cluster=1, r_max_nm=75.0, percent_clustered=0.0, density_per_um2=100.0),
)


def read_field(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coordinates in nm, frames, and the molecule of each detection."""
    table = pd.read_csv(path)
    return table[["x [nm]", "y [nm]"]].to_numpy(), table["frame"].to_numpy(), table["molecule"].to_numpy()


def merged_to_known(folder: Path, pairs: list[tuple[int, int]]) -> list[dict[str, object]]:
    """A row for each field and rule."""
    rows: list[dict[str, object]] = []
    for path in sorted(folder.glob("*/*.csv")):
        rows += by_rule(path.parent.name, path.stem, read_field(path), pairs)
    return rows


def by_rule(
    structure: str, name: str, field: tuple[np.ndarray, np.ndarray, np.ndarray], pairs: list[tuple[int, int]]
) -> Iterator[dict[str, object]]:
    """A row for each rule: how well detections are dealt to molecules, and how many of these are counted."""
    points, frame, molecule = field
    fixed = [f"{radius}nm,{gap}frames" for radius, gap in pairs]
    for rule in dict.fromkeys(("auto", PUBLISHED, *fixed)):
        start = time.perf_counter()
        found = merge_detections(points, frame, rule=rule)
        seconds = time.perf_counter() - start
        scores = cluster_scores(molecule, found.molecule)
        expected = np.nan if found.law is None else len(points) * (1 - found.law.returns) / scores.n_true
        yield {
            "structure": structure,
            "field": name,
            "rule": rule,
            "ari": scores.ari,
            "counted": scores.n_found / scores.n_true,
            "expected": expected,
            "seconds": seconds,
        }


def by_structure(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Means over the fields of a structure: by auto, by the published rule, by the pair that is best on the truth."""
    means = pd.DataFrame(rows).groupby(["structure", "rule"])[["ari", "counted", "expected", "seconds"]].mean()
    found = []
    for structure, of in means.groupby(level="structure"):
        rules = of.droplevel("structure")
        best = rules.drop(index="auto")["ari"].idxmax()
        for name, rule in (("auto", "auto"), ("published", PUBLISHED), ("best", best)):
            found.append(
                {"structure": structure, "choice": name, "rule": rule, **rules.loc[rule].dropna().round(3).to_dict()}
            )
    return found


def blinks_of(folder: Path) -> list[np.ndarray]:
    """Frames of the detections of each molecule, from its first."""
    blinks = []
    for path in sorted(folder.glob("*/*.csv")):
        _, frame, molecule = read_field(path)
        blinks += [np.sort(of.to_numpy()) - of.min() for _, of in pd.Series(frame).groupby(molecule)]
    return blinks


def detections(
    molecules_nm: np.ndarray, blinks: list[np.ndarray], frames: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coordinates, frames and molecules of what is detected of molecules that blink as others did."""
    of = [blinks[i] for i in rng.integers(len(blinks), size=len(molecules_nm))]
    first = rng.integers(frames, size=len(of))
    molecule = np.repeat(np.arange(len(of)), [len(each) for each in of])
    points = molecules_nm[molecule] + rng.normal(0, PRECISION_NM, (len(molecule), 2))
    return points, np.concatenate([start + each for start, each in zip(first, of, strict=True)]), molecule


def clusters_by_rule(folder: Path, fields: int, scenarios: tuple[Scenario, ...]) -> Iterator[dict[str, object]]:
    """A row for each simulated field, network and rule."""
    blinks = blinks_of(folder)
    frames = max(int(each[-1]) for each in blinks) * 2
    for number, scenario in enumerate(scenarios):
        for seed in range(fields):
            rng = np.random.default_rng([number, seed])
            cell = draw_cell(rng, base_radius_nm=RADIUS_NM, roughness_nm=0.4 * RADIUS_NM, field_nm=3 * RADIUS_NM)
            field = simulate(scenario, rng, cell=cell)
            points, frame, molecule = detections(field.points_nm, blinks, frames, rng)
            truth = field.truth[molecule]
            merged = {rule: merge_detections(points, frame, rule=rule).molecule for rule in (PUBLISHED, "auto")}
            groups = {"detections": np.arange(len(points)), **merged, "true molecules": molecule}
            for name, network in product(groups, NETWORKS):
                yield {
                    "scenario": number,
                    "seed": seed,
                    "network": network,
                    "of": name,
                    **_clusters(points, groups[name], truth, network),
                }


def _clusters(points: np.ndarray, group: np.ndarray, truth: np.ndarray, network: str) -> dict[str, object]:
    """Clusters of the centers of groups of detections, held against the truth of each detection."""
    members = np.bincount(group)
    at, row = np.flatnonzero(members), np.cumsum(members > 0) - 1
    center = np.stack([np.bincount(group, axis)[at] for axis in points.T], axis=1) / members[at, None]
    try:
        labels = CAML(network=network).fit(center).labels_[row[group]]
    except CamlError:
        return {"ari": None, "counted": None, "percent_clustered": None}  # too few molecules for the network
    scores = cluster_scores(truth, labels)
    return {
        "ari": scores.ari if scores.n_true else None,
        "counted": scores.n_found / scores.n_true if scores.n_true else None,
        "percent_clustered": 100 * float((labels >= 0).mean()),
    }


def volume(clustered: float, each: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coordinates, frames and molecules of detections in 2 x 2 x 0.6 um; some of 1,000 molecules lie in clusters."""
    low, high = np.zeros(3), np.array([2_000.0, 2_000.0, 600.0])
    places = rng.uniform(low, high, (1_000, 3))
    inside = rng.random(1_000) < clustered
    centers = rng.uniform(low, high, (round(1_000 * clustered / each), 3)) if clustered else places
    places[inside] = centers[rng.integers(len(centers), size=inside.sum())] + rng.normal(0, 40, (inside.sum(), 3))
    molecule = np.repeat(np.arange(1_000), rng.geometric(0.25, 1_000))
    dark = np.where(
        rng.random(len(molecule)) < 0.55, rng.exponential(1.5, len(molecule)), rng.exponential(9.0, len(molecule))
    )
    gaps = 1 + dark.astype(int)
    first = np.flatnonzero(np.diff(molecule, prepend=-1))
    gaps[first] = rng.exponential(3_000, 1_000).astype(int)
    elapsed = np.cumsum(gaps)
    frame = elapsed - np.repeat(elapsed[first] - gaps[first], np.bincount(molecule))
    return places[molecule] + rng.normal(size=(len(molecule), 3)) * [20.0, 20.0, 50.0], frame, molecule


def merged_volumes(fields: int, smoke: bool) -> list[dict[str, object]]:
    """Means over simulated fields in 3D, see :func:`by_structure`."""
    rows: list[dict[str, object]] = []
    for name, clustered, each in VOLUMES[:1] if smoke else VOLUMES:
        for seed in range(fields):
            field = volume(clustered, each, np.random.default_rng([each, seed]))
            rows += by_rule(name, str(seed), field, list(VOLUME_PAIRS[::9] if smoke else VOLUME_PAIRS))
    return by_structure(rows)


def before_and_after(path: Path) -> Iterator[dict[str, object]]:
    """A row for a real table as it is and one for it merged by auto, by the default network.

    Of clusters smaller than the precision, many are one molecule.
    """
    table = pd.read_csv(path)
    names = {"x": "x_nm", "y": "y_nm", "uncertainty": "uncertainty_nm"}
    table.columns = [names.get(name.split(" ")[0].removesuffix("_xy"), name) for name in table.columns]
    table = table[["x_nm", "y_nm", "frame", "uncertainty_nm"]]
    precision = float(table["uncertainty_nm"].median())
    for rule in (None, "auto"):
        found = analyze(table, merge=rule)
        radius = found.clusters["radius_of_gyration_nm"]
        merge = found.summary.get("merge") or {}
        yield {
            "table": f"{path.parent.name}/{path.stem}",
            "merge": rule,
            "detections": len(table),
            "localizations": found.summary["localizations"],
            "clusters": len(radius),
            "below_precision": float((radius < precision).mean()) if len(radius) else None,
            "detections_per_molecule": merge.get("detections_per_molecule"),
            "median_precision_nm": precision,
            "precision_times_stated": merge.get("precision_times_stated"),
            "percent_clustered": found.summary["percent_clustered"],
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--known", type=Path, metavar="FOLDER", help="fields whose molecules are known")
    parser.add_argument("--fields", type=int, default=3, help="simulated fields of each scenario")
    parser.add_argument("--results", type=Path, required=True, help="JSON to write")
    parser.add_argument("--real", type=Path, nargs="*", default=[], metavar="TABLE", help="tables without a truth")
    parser.add_argument("--only-real", action="store_true", help="leave the other figures of the results as they are")
    parser.add_argument("--only-volumes", action="store_true", help="leave all figures as they are but those in 3D")
    parser.add_argument("--smoke", action="store_true", help="few pairs, one scenario")
    asked = parser.parse_args()
    if asked.known is None and not asked.only_real and not asked.only_volumes:
        parser.error("give the fields whose molecules are known with --known, or --only-real or --only-volumes")
    if asked.only_volumes:
        found = json.loads(asked.results.read_text()) | {"volumes": merged_volumes(asked.fields, asked.smoke)}
        asked.results.write_text(json.dumps(found, indent=1) + "\n")
        print(pd.DataFrame(found["volumes"]).to_string())
        return
    real = [row for path in asked.real for row in before_and_after(path)]
    if asked.only_real:
        found = json.loads(asked.results.read_text()) | {"real": real}
        asked.results.write_text(json.dumps(found, indent=1) + "\n")
        print(pd.DataFrame(real).to_string())
        return
    pairs = list(product(RADII_NM, GAPS_FRAMES))
    rows = merged_to_known(asked.known, pairs[:: len(pairs) // 3] if asked.smoke else pairs)
    scenarios = SCENARIOS[:1] if asked.smoke else SCENARIOS
    simulated = pd.DataFrame(clusters_by_rule(asked.known, asked.fields, scenarios))
    means = simulated.groupby(["scenario", "network", "of"], sort=False)[["ari", "counted", "percent_clustered"]].mean()
    found = {
        "molecules": by_structure(rows),
        "volumes": merged_volumes(asked.fields, asked.smoke),
        "clusters": json.loads(means.round(3).reset_index().to_json(orient="records")),
        "real": real,
        "fields": [
            {name: value for name, value in row.items() if name != "expected" or row["rule"] == "auto"}
            for row in rows
            if row["rule"] in ("auto", PUBLISHED)
        ],
    }
    asked.results.write_text(json.dumps(found, indent=1) + "\n")
    print(pd.DataFrame(found["molecules"]).to_string(), means.round(3).to_string(), sep="\n\n")


if __name__ == "__main__":
    main()
