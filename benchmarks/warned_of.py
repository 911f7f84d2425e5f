"""Warnings on fields that deserve them, and on ordinary fields that do not.

    python benchmarks/warned_of.py --results benchmarks/results/warned_of.json

Each warning has a kind of field that deserves it. Ordinary fields are of three kinds, in each of which some of the
warnings could arise: clusters among others, each molecule detected once, as the field network sees them; fields of the
published scenarios, as a network of windows sees them; and molecules that re-blink and drift, merged and corrected.
Stopped, it goes on with the kinds that are not in the results.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from caml_dask import analyze
from caml_dask.simulate import Scenario, draw_cell, simulate

Case = tuple[pd.DataFrame, dict[str, Any]]
Draw = Callable[[np.random.Generator], Case]
WINDOWS = {"network": "XPILJZ"}
UNTESTED = {"test": False}
FRAMES = 20_000


def table(xy_nm: np.ndarray, precision_nm: float, rng: np.random.Generator, frame: np.ndarray | None = None) -> Any:
    """Localizations as a program exports them; frames at random where none are given."""
    n = len(xy_nm)
    frame = rng.integers(FRAMES, size=n) if frame is None else frame
    uncertainty = rng.gamma(8.0, precision_nm / 8.0, n)
    columns = {"frame": frame, "x [nm]": xy_nm[:, 0], "y [nm]": xy_nm[:, 1], "uncertainty [nm]": uncertainty}
    return pd.DataFrame(columns).sort_values("frame", ignore_index=True)


def disc(n: int, radius_nm: float, rng: np.random.Generator) -> np.ndarray:
    """n places in a disc, uniform."""
    angle, radius = 2 * np.pi * rng.random(n), radius_nm * np.sqrt(rng.random(n))
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])


def molecules(
    rng: np.random.Generator, *, clusters: int = 40, members: int = 25, sd_nm: float = 30.0, others: int = 1_000
) -> np.ndarray:
    """Gaussian clusters among others in a disc of 2 um radius."""
    centers = disc(clusters, 1_900, rng)
    inside = (centers[:, None] + rng.normal(0, sd_nm, (clusters, members, 2))).reshape(-1, 2)
    return np.concatenate([inside, disc(others, 2_000, rng)])


def seen_once(rng: np.random.Generator, **of: Any) -> pd.DataFrame:
    """Each molecule detected once, with a precision of 8 nm."""
    return table(molecules(rng, **of), 8.0, rng)


def re_blinking(
    xy_nm: np.ndarray, rng: np.random.Generator, mean: float = 4.0, sd_nm: float = 8.0, drift_nm: float = 0.0
) -> pd.DataFrame:
    """Molecules that are detected a geometric number of times, some frames apart, while the stage drifts."""
    counts = rng.geometric(1 / mean, len(xy_nm))
    which = np.repeat(np.arange(len(xy_nm)), counts)
    later = np.concatenate([np.arange(count) for count in counts]) * rng.integers(1, 12, len(which))
    frame = np.minimum(rng.integers(FRAMES, size=len(xy_nm))[which] + later, FRAMES - 1)
    drifted = drift_nm * np.column_stack([np.sin(3 * frame / FRAMES), frame / FRAMES])
    return table(xy_nm[which] + rng.normal(0, sd_nm, (len(which), 2)) + drifted, sd_nm, rng, frame)


def published(rng: np.random.Generator, **changes: Any) -> pd.DataFrame:
    """A field of the published kind."""
    of = {"points_per_cluster": 20, "r_max_nm": 50.0, "percent_clustered": 50.0, "density_per_um2": 100.0, **changes}
    cell = draw_cell(rng, base_radius_nm=3_000, roughness_nm=900, field_nm=9_000)
    return table(simulate(Scenario(**of), rng, cell=cell).points_nm, 8.0, rng)


def with_column(drawn: pd.DataFrame, name: str, change: Callable[[np.ndarray], np.ndarray]) -> pd.DataFrame:
    """The same table with one column changed."""
    return drawn.assign(**{name: change(drawn[name].to_numpy(copy=True))})


def first_missing(values: np.ndarray) -> np.ndarray:
    """The first tenth of the values NaN."""
    values[: len(values) // 10] = np.nan
    return values


def two_regions(folder: Path) -> str:
    """A file in a folder with two regions of interest, in one of which nothing lies."""
    features = []
    for corner in (-500.0, 50_000.0):
        ring = [[corner + x, corner + y] for x, y in ((0, 0), (1_000, 0), (1_000, 1_000), (0, 0))]
        geometry = {"type": "Polygon", "coordinates": [ring]}
        features.append({"type": "Feature", "properties": {}, "geometry": geometry})
    path = folder / "regions.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return str(path)


def random_disc(n: int, rng: np.random.Generator) -> pd.DataFrame:
    """No cluster."""
    return table(disc(n, 2_000, rng), 8.0, rng)


def two_cells(rng: np.random.Generator) -> pd.DataFrame:
    """Two cells far from one another, with nothing between."""
    far = with_column(seen_once(rng), "x [nm]", lambda nm: nm + 30_000)
    return pd.concat([seen_once(rng), far], ignore_index=True)


def few_clusters(rng: np.random.Generator) -> np.ndarray:
    """Three clusters among others that keep apart from one another, so that chance makes none."""
    lattice = np.stack(np.meshgrid(*[np.linspace(-2_000, 2_000, 71)] * 2), axis=-1).reshape(-1, 2)
    others = lattice + rng.normal(0, 15, lattice.shape)
    return np.concatenate([others, molecules(rng, clusters=3, members=30, sd_nm=15.0, others=0)])


def repeated(rng: np.random.Generator) -> pd.DataFrame:
    """Some rows twice."""
    drawn = seen_once(rng)
    return pd.concat([drawn, drawn.head(9)], ignore_index=True)


DESERVING: dict[str, Draw] = {
    "rows-left-out": lambda rng: (with_column(seen_once(rng), "x [nm]", first_missing), UNTESTED),
    "repeated-coordinates": lambda rng: (repeated(rng), UNTESTED),
    "repeated-detections": lambda rng: (re_blinking(molecules(rng), rng), {}),
    "looks-repeated": lambda rng: (re_blinking(molecules(rng), rng).drop(columns="frame"), UNTESTED),
    "precision-missing": lambda rng: (with_column(seen_once(rng), "uncertainty [nm]", first_missing), {}),
    "precision-unlikely": lambda rng: (with_column(seen_once(rng), "uncertainty [nm]", lambda nm: nm / 1e3), {}),
    "hull-mostly-empty": lambda rng: (two_cells(rng), UNTESTED),
    "no-cell-outline": lambda rng: (random_disc(60, rng), {"cell_mask": "auto", **UNTESTED}),
    "empty-region": lambda rng: (seen_once(rng), {"roi": two_regions, **UNTESTED}),
    "no-area": lambda rng: (with_column(seen_once(rng), "y [nm]", lambda nm: 0 * nm), UNTESTED),
    "not-beyond-randomness": lambda rng: (random_disc(1_500, rng), WINDOWS),
    "not-tested": lambda rng: (with_column(seen_once(rng), "y [nm]", lambda nm: 0 * nm), {}),
    "clusters-dropped": lambda rng: (random_disc(1_500, rng), {"fdr": 0.05, **WINDOWS}),
    "narrower-than-precision": lambda rng: (re_blinking(disc(400, 2_000, rng), rng), WINDOWS),
    "window-saturated": lambda rng: (
        seen_once(rng, clusters=40, members=60, sd_nm=8.0, others=30),
        {**WINDOWS, **UNTESTED},
    ),
    "window-too-wide": lambda rng: (random_disc(200, rng), {**WINDOWS, **UNTESTED}),
    "like-randomness": lambda rng: (random_disc(1_500, rng), {**WINDOWS, **UNTESTED}),
    "few-clustered": lambda rng: (table(few_clusters(rng), 8.0, rng), {**WINDOWS, **UNTESTED}),
    "uneven-background": lambda rng: (seen_once(rng, clusters=5, members=1_000), {**WINDOWS, **UNTESTED}),
    "contrast-untrained": lambda rng: (re_blinking(disc(400, 2_000, rng), rng, sd_nm=1.0), {**WINDOWS, **UNTESTED}),
    "larger-than-trained": lambda rng: (
        seen_once(rng, clusters=20, members=200, sd_nm=60.0, others=4_000),
        {"network": "87B144", **UNTESTED},
    ),
    "smaller-than-trained": lambda rng: (seen_once(rng, clusters=300, members=4, sd_nm=5.0), {**WINDOWS, **UNTESTED}),
    "drift-uncorrected": lambda rng: (random_disc(60, rng), {"drift": "aim", **UNTESTED}),
    "drift-inconsistent": lambda rng: (random_disc(3_000, rng), {"drift": "aim", **UNTESTED}),
    "drift-uncertain": lambda rng: (
        re_blinking(molecules(rng, others=2_000, sd_nm=40.0), rng, drift_nm=150.0),
        {"drift": "aim", **UNTESTED},
    ),
    "nothing-merged": lambda rng: (seen_once(rng), {"merge": "auto", **UNTESTED}),
    "merging-uncertain": lambda rng: (
        re_blinking(disc(6_000, 300, rng), rng, sd_nm=20.0),
        {"merge": "auto", **UNTESTED},
    ),
}
ORDINARY: dict[str, Draw] = {
    "molecules seen once": lambda rng: (seen_once(rng), {}),
    "published scenario, network of windows": lambda rng: (published(rng), WINDOWS),
    "re-blinking and drift, corrected and merged": lambda rng: (
        re_blinking(molecules(rng, clusters=80, members=40, others=2_000), rng, drift_nm=60.0),
        {"drift": "aim", "merge": "auto"},
    ),
}


def warned(field: tuple[str, int, int]) -> list[str]:
    """Identifiers of the warnings that a field earns: by its kind, of `DESERVING` or `ORDINARY`, and two seeds."""
    kind, *seeds = field
    drawn, settings = {**DESERVING, **ORDINARY}[kind](np.random.default_rng(seeds))
    with tempfile.TemporaryDirectory() as folder:
        given = {name: value(Path(folder)) if callable(value) else value for name, value in settings.items()}
        summary = analyze(drawn, n_jobs=1, **given).summary
    return [warning.split(":")[0] for warning in summary["warnings"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, help="JSON to write")
    parser.add_argument("--deserving", type=int, default=10, help="fields of each kind that deserve a warning")
    parser.add_argument("--ordinary", type=int, default=100, help="fields of each ordinary kind")
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    found = json.loads(asked.results.read_text()) if asked.results.exists() else {"deserving": {}, "ordinary": {}}
    with ProcessPoolExecutor(asked.workers) as pool:
        for part, kinds, fields, seed in (
            ("deserving", DESERVING, asked.deserving, 1),
            ("ordinary", ORDINARY, asked.ordinary, 2),
        ):
            for kind in [kind for kind in kinds if kind not in found[part]]:
                names = pool.map(warned, [(kind, seed, i) for i in range(fields)])
                found[part][kind] = {
                    "fields": fields,
                    "warned_of": Counter(name for some in names for name in set(some)),
                }
                print(kind, found[part][kind], flush=True)
                asked.results.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
