"""A cohort like the T cells of Williamson et al. 2020: two proteins, four conditions, at the published medians.

Cells are simulated such that their measured medians meet the published ones, each condition differing in nothing else;
cells of one condition vary. `caml-dask run` analyses them, `caml-dask report` compares them, and medians and tests are
held beside what was published. With --raw, the tables hold what a microscope would record of the same molecules:
detections that re-blink, each with its precision, on a stage that drifts; drift and re-blinks are then seen to as in
the publication.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import re
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
from drift_correction import FRAMES, true_drift
from numpy.typing import NDArray
from scipy.stats import norm

from caml_dask import analyze, open_run
from caml_dask.report import write_report
from caml_dask.report.families import FOUND_BELOW, Family
from caml_dask.simulate.cells import draw_cell
from caml_dask.simulate.patterns import disc_offsets, draw_centers, draw_non_clustered

SEED = 2020
DONORS = 4  # every donor gives as many images of each condition of each protein
SMOKE_IMAGES, SMOKE_SIZE = 3, 0.5
CELL_NM, ROUGHNESS_NM = 4_000.0, 1_500.0  # smaller than a T cell, some 70 um2, so that the whole takes minutes
SIZE_SIGMA = 0.4  # of the logarithm of points per cluster, within an image
BETWEEN_SIGMA = {"clusters_per_um2": 0.3, "percent_clustered": 0.2, "points": 0.08, "radius_nm": 0.08}
"""How cells of one condition vary: sigma of the logarithm, of the odds for percent. Our choice, the same for all."""
ROUNDS, SMOKE_ROUNDS = (4, 4), (1, 1)  # of calibration, and cells in each
DETECTIONS, DARK_FRAMES, PRECISION_NM = 3.0, 5.0, 10.0  # means, of a molecule, between its detections, of a detection
PREPROCESSING = ("--drift", "aim", "--merge", "50nm,25frames")
MEASURES = ("clusters_per_um2", "percent_clustered", "n_localizations", "area_nm2")


@dataclass(frozen=True)
class Condition:
    """Medians of one condition of one protein; the published ones, and ours where none is at hand.

    assumed : names of those that are ours, the same for both conditions that are held against each other
    """

    protein: str
    name: str
    clusters_per_um2: float
    percent_clustered: float
    n_localizations: float
    area_nm2: float
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """What cells of a condition are drawn from: medians over cells.

    points, radius_nm : of a cluster of median size; larger ones are wider, as dense
    """

    clusters_per_um2: float
    percent_clustered: float
    points: float
    radius_nm: float


REST = ("percent_clustered", "n_localizations")
FIELD = ("clusters_per_um2", "percent_clustered")
CONDITIONS = (
    Condition("Csk", "naive", 4.85, 53, 9, 2322),
    Condition("Csk", "naive, activated", 8.80, 61, 11, 2144),
    Condition("Csk", "pre-stimulated", 6.77, 57, 10, 3093, REST),
    Condition("Csk", "pre-stimulated, activated", 14.37, 57, 10, 1920, REST),
    Condition("PAG", "naive", 10.2, 57, 10, 1551, REST),
    Condition("PAG", "naive, activated", 13.9, 57, 10, 1359, REST),
    Condition("PAG", "pre-stimulated", 2.0, 57, 14, 19504, FIELD),
    Condition("PAG", "pre-stimulated, activated", 2.0, 57, 11, 15669, FIELD),
)
CONTRASTS = (("naive", "naive, activated"), ("pre-stimulated", "pre-stimulated, activated"))


def draw(recipe: Recipe, rng: np.random.Generator, size: float = 1.0) -> NDArray[np.float64]:
    """Localizations of one cell: (n, 2) float64, nm, in random order; of a cell `size` times as wide."""
    cell = draw_cell(rng, base_radius_nm=size * CELL_NM, roughness_nm=size * ROUGHNESS_NM, field_nm=20_000.0)
    wanted = round(cell.area_um2 * recipe.clusters_per_um2)
    centers = draw_centers(wanted, 1.3 * recipe.radius_nm, cell, rng)
    sizes = np.maximum(3, np.rint(recipe.points * np.exp(SIZE_SIGMA * rng.normal(size=len(centers))))).astype(int)
    owner = np.repeat(np.arange(len(centers)), sizes)
    wide = recipe.radius_nm * np.sqrt(sizes / recipe.points)
    members = centers[owner] + disc_offsets(1, len(owner), 1.0, rng) * wide[owner, None]
    others = draw_non_clustered(
        round(len(members) * (100 / recipe.percent_clustered - 1)), centers, 1.3 * recipe.radius_nm, cell, rng
    )
    return rng.permutation(np.concatenate([members, others]))


def detected(molecules_nm: NDArray[np.float64], rng: np.random.Generator) -> pa.Table:
    """What is recorded of molecules, by frame: geometric counts, exponential dark times, gamma precisions."""
    molecule = np.repeat(np.arange(len(molecules_nm)), rng.geometric(1 / DETECTIONS, len(molecules_nm)))
    dark = np.where(np.diff(molecule, prepend=-1) > 0, 0.0, 1 + rng.exponential(DARK_FRAMES - 1, len(molecule)))
    elapsed = np.cumsum(dark)
    since = elapsed - elapsed[np.searchsorted(molecule, molecule)]
    frame = rng.integers(FRAMES, size=len(molecules_nm))[molecule] + since.astype(np.int64)
    sigma = np.maximum(rng.gamma(4.0, PRECISION_NM / 4, len(molecule)), 1.0)
    x, y = (molecules_nm[molecule] + rng.normal(size=(len(molecule), 2)) * sigma[:, None] + true_drift(frame)[:, :2]).T
    columns = {"frame": frame + 1, "x [nm]": x.round(2), "y [nm]": y.round(2), "uncertainty [nm]": sigma.round(2)}
    return pa.table(columns).sort_by("frame")


def varied(recipe: Recipe, n: int, rng: np.random.Generator) -> list[Recipe]:
    """Recipes of n cells of a condition: of what varies each takes another quantile, in an order of its own.

    So the median cell is that of the recipe, which the median of cells drawn at random would miss by some 8 %.
    """
    quantiles = norm.ppf((np.arange(n) + 0.5) / n)
    by = {name: np.exp(sigma * rng.permutation(quantiles)) for name, sigma in BETWEEN_SIGMA.items()}
    odds = recipe.percent_clustered / (100 - recipe.percent_clustered) * by["percent_clustered"]
    return [
        Recipe(
            recipe.clusters_per_um2 * by["clusters_per_um2"][k],
            100 * odds[k] / (1 + odds[k]),
            recipe.points * by["points"][k],
            recipe.radius_nm * by["radius_nm"][k],
        )
        for k in range(n)
    ]


def calibrated(condition: Condition, seed: int, rounds: int, pilots: int, size: float) -> Recipe:
    """The recipe whose cells of a size have, when measured, the medians of a condition."""
    recipe = Recipe(
        condition.clusters_per_um2,
        condition.percent_clustered,
        condition.n_localizations,
        math.sqrt(condition.area_nm2 / math.pi),
    )
    for _ in range(rounds):
        found = measured([draw(recipe, np.random.default_rng([seed, pilot]), size) for pilot in range(pilots)])
        ratio = {name: getattr(condition, name) / found[name] for name in MEASURES}
        recipe = Recipe(
            recipe.clusters_per_um2 * ratio["clusters_per_um2"],
            min(95.0, recipe.percent_clustered * ratio["percent_clustered"]),
            recipe.points * ratio["n_localizations"],
            recipe.radius_nm * math.sqrt(ratio["area_nm2"]),
        )
    return recipe


def measured(cells: list[NDArray[np.float64]]) -> dict[str, float]:
    """What is measured of cells: medians over cells, and over all of their clusters.

    That of points per cluster is one of grouped data, which steps by less than a point.
    """
    found = [analyze(xy_nm, n_jobs=1, test=False) for xy_nm in cells]
    clusters = pd.concat([analysis.clusters for analysis in found])
    return {
        **{name: statistics.median(analysis.summary[name] for analysis in found) for name in MEASURES[:2]},
        "n_localizations": statistics.median_grouped(clusters["n_localizations"].tolist()),
        "area_nm2": float(clusters["area_nm2"].median()),
    }


def write_cohort(folder: Path, images: int, smoke: bool, raw: bool) -> Path:
    """Write the cells as ThunderSTORM CSV, and the table of the cohort, last; what stands is kept."""
    table = folder / "cohort.csv"
    if table.exists():
        return table
    folder.mkdir(parents=True, exist_ok=True)
    rows, size = [], SMOKE_SIZE if smoke else 1.0
    for number, condition in enumerate(CONDITIONS):
        recipe = calibrated(condition, SEED + number, *(SMOKE_ROUNDS if smoke else ROUNDS), size)
        rng = np.random.default_rng([SEED, number])
        for image, cell in enumerate(varied(recipe, images, rng)):
            molecules_nm = draw(cell, rng, size)
            name = re.sub(r"[^a-z]+", "_", f"{condition.protein} {condition.name}".lower())
            file = folder / f"{name}_{image + 1:02d}.csv"
            if raw:
                recorded = detected(molecules_nm, np.random.default_rng([SEED, number, image]))
            else:
                recorded = pa.table(dict(zip(("x [nm]", "y [nm]"), molecules_nm.round(2).T)))
            pa_csv.write_csv(recorded, file)
            rows.append([file.name, condition.name, f"donor {image % DONORS + 1}", condition.protein])
    with table.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([["path", "condition", "replicate", "protein"], *rows])
    return table


def analysed(table: Path, out: Path, options: Sequence[str]) -> Path:
    """Results of the cohort, by `caml-dask run` in one process; those that stand are kept."""
    if not (out / "summary.json").exists():
        cells = sorted(str(path) for path in table.parent.glob("*.csv") if path != table)
        resume = ["--resume"] if out.exists() else []
        command = [
            sys.executable,
            "-m",
            "caml_dask",
            "run",
            *cells,
            "--out",
            str(out),
            "--workers",
            "0",
            *options,
            *resume,
        ]
        subprocess.run(command, check=True)
    return out


def row_of(condition: Condition, measure: str, families: Mapping[str, Family]) -> dict[str, Any]:
    """One median, as published and as measured."""
    family = families[condition.protein]
    images = family.images.comparisons[measure].groups[condition.name]
    clusters = family.clusters.comparisons.get(measure)
    return {
        "protein": condition.protein,
        "condition": condition.name,
        "measure": measure,
        "wanted": getattr(condition, measure),
        "published": measure not in condition.assumed,
        "median_of_images": asdict(images),
        "median_of_clusters": None if clusters is None else asdict(clusters.groups[condition.name]),
    }


def corrected_areas(out: Path, table: Path) -> list[dict[str, Any]]:
    """By condition, the median over images of the median area with the precision taken out."""
    cohort = {Path(row["path"]).stem: row for row in csv.DictReader(table.open(encoding="utf-8"))}
    of: dict[tuple[str, str], list[float]] = {}
    for image in open_run(out).images.values():
        row = cohort[image.image_id.partition("_")[2]]
        area = image.clusters["area_corrected_nm2"].median()
        of.setdefault((row["protein"], row["condition"]), []).append(float(area))
    return [{"protein": p, "condition": c, "median": statistics.median(areas)} for (p, c), areas in of.items()]


def contrast_of(protein: str, pair: tuple[str, str], measure: str, families: Mapping[str, Family]) -> dict[str, Any]:
    """What the tests say of one protein's activation, by unit."""
    family, found = families[protein], {}
    for level in (family.images, family.replicates, family.clusters):
        if level is None or measure not in level.comparisons:
            continue
        for p in level.comparisons[measure].pairs:
            if (p.first, p.second) == pair:
                different = level.differs(measure) and p.p_holm < FOUND_BELOW
                found[level.units] = {**asdict(p), "p_of_all": level.p_adjusted[measure], "found": different}
    return {"protein": protein, "pair": pair, "measure": measure, "by_unit": found}


def told(rows: list[dict[str, Any]], contrasts: list[dict[str, Any]]) -> str:
    """Medians beside the published ones, and what was found, as lines of text."""
    lines = ["median of the images beside the published one; (ours) where none is at hand"]
    for r in rows:
        wanted = f"{r['wanted']:g}" + ("" if r["published"] else " (ours)")
        lines.append(
            f"{r['protein']} {r['condition']:26} {r['measure']:18} {wanted:>13} {r['median_of_images']['median']:10.4g}"
        )
    lines.append("differences on activation: p of the pair after Holm, by unit")
    for c in contrasts:
        by = "; ".join(
            f"{unit}: {'found' if f['found'] else 'none found'} (p {f['p_holm']:.2g}, delta {f['delta']:+.2f})"
            for unit, f in c["by_unit"].items()
        )
        lines.append(f"{c['protein']} {c['pair'][0]:14} {c['measure']:18} {by}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="cells, and results with their report")
    parser.add_argument(
        "--analysed", type=Path, help="results of the cells by `caml-dask screen WORK/cells/cohort.csv`"
    )
    parser.add_argument(
        "--results", type=Path, help="JSON to write; results/tcell.json, or tcell_raw.json, unless given"
    )
    parser.add_argument("--images", type=int, default=20, help="cells of each condition of each protein")
    parser.add_argument("--raw", action="store_true", help="raw detections, that drift and re-blink")
    parser.add_argument("--smoke", action="store_true", help="three small cells of each condition, roughly calibrated")
    options = parser.parse_args()
    images = SMOKE_IMAGES if options.smoke else options.images
    table = write_cohort(options.work / "cells", images, options.smoke, options.raw)
    preprocessing = PREPROCESSING if options.raw else ()
    untested = ("--no-test",) if options.smoke else ()
    out = options.analysed or analysed(table, options.work / "results", (*preprocessing, *untested))
    report = write_report(out, None if options.analysed else table)
    families = {family.within["protein"]: family for family in report.families}
    rows = [row_of(condition, measure, families) for condition in CONDITIONS for measure in MEASURES]
    contrasts = [
        contrast_of(protein, pair, measure, families)
        for protein in families
        for pair in CONTRASTS
        for measure in MEASURES
    ]
    about = {
        "images": len(report.results.images),
        "failed": len(report.results.failed),
        "between_sigma": BETWEEN_SIGMA,
        "preprocessing": " ".join(preprocessing),
    }
    whole: dict[str, Any] = {
        "about": about,
        "versions": report.results.facts["versions"],
        "medians": rows,
        "contrasts": contrasts,
    }
    if options.raw:
        whole["corrected_areas_nm2"] = corrected_areas(out, table)
    results = options.results or Path(__file__).parent / "results" / f"tcell{'_raw' if options.raw else ''}.json"
    results.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    print(told(rows, contrasts))
    print(f"the report is {report.page}")


if __name__ == "__main__":
    main()
