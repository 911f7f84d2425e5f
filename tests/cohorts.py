"""Small cohorts for the tests of reports: real runs, laid out as a screening leaves them."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from caml_dask.atomic import publish_json, read_json
from caml_dask.runs.session import execute
from caml_dask.settings import Settings
from caml_dask.simulate import Scenario, simulate_square

LOOSE = Scenario(points_per_cluster=20, r_max_nm=50.0, percent_clustered=50.0, density_per_um2=100.0)
TIGHT = Scenario(points_per_cluster=12, r_max_nm=25.0, percent_clustered=60.0, density_per_um2=100.0)


def table(path: Path, scenario: Scenario, seed: int, side_nm: float = 2500.0) -> Path:
    """A ThunderSTORM CSV of a simulated square."""
    rng = np.random.default_rng(seed)
    xy = np.vstack([chunk.xy_nm for chunk in simulate_square(scenario, side_nm, rng)])
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{x},{y}" for x, y in xy.round(2).tolist()]
    path.write_text('"x [nm]","y [nm]"\n' + "\n".join(lines) + "\n")
    return path


def screened(root: Path, items: Sequence[Mapping[str, str]], nights: int = 1, unusual: Sequence[str] = ()) -> Path:
    """Analyse a cohort over some nights and lay it out as screening does.

    items : for each image its path and its factors
    """
    entries, whole = [], {}
    for night, part in enumerate(np.array_split(np.arange(len(items)), nights)):
        folder = f"nights/2026110{night + 1}T021500"
        execute([Path(items[k]["path"]) for k in part], root / folder, Settings(test=False), workers=0)
        whole = read_json(root / folder / "summary.json")
        entry_of = {entry["path"]: entry for entry in whole.pop("images")}
        for k in part:
            entry = entry_of[os.path.realpath(items[k]["path"])]
            factors = {name: value for name, value in items[k].items() if name != "path"}
            place = f"{folder}/{entry['image_id']}" if entry["status"] == "done" else ""
            entries.append({**entry, "folder": place, "factors": factors})
    write(root, {**whole, "images": entries, "unusual": list(unusual), "new": []})
    return root


def write(root: Path, whole: Mapping[str, object]) -> None:
    """Write the summary of a screening."""
    publish_json(root / "summary.json", whole)


def read(root: Path) -> dict:
    """The summary of a screening."""
    return read_json(root / "summary.json")


def rows_of(path: Path) -> list[dict[str, str]]:
    """A table of a report."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
