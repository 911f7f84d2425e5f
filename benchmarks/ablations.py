"""What the field network owes to each of its parts, and to its size: trainings of equal length, each without one.

    python benchmarks/ablations.py --work DIR --results benchmarks/results/ablations.json

A part is left out by weights that stay zero. All variants draw the same fields, but for the one whose prior does not
re-blink, and start from the same weights; the traits of regions are learned once for all that draw from the whole
prior. "Half" and "double the data" are trainings of half and twice as many steps, as no field is seen twice. Figures
are taken on fields of the whole prior that no training has seen. Stopped, it goes on where it was; a training in
progress too.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import caml_dask
from caml_dask.networks.field.architecture import weight_shapes
from caml_dask.networks.field.graph import ROUNDS, WIDTH
from caml_dask.networks.training.field.figures import measure
from caml_dask.networks.training.field.fit import FieldFit, fit

SEED = 3
SURVEYED = 20_000


@dataclass(frozen=True)
class Variant:
    """A training that differs from the first of `VARIANTS` in one thing."""

    without: list[str] = field(default_factory=list)
    draw: dict[str, Any] = field(default_factory=dict)
    length: float = 1.0
    width: int | None = None


def of_rounds(*names: str) -> list[str]:
    """The names of weights in every round, from "other{}_" and the like."""
    return [name.format(r) for r in range(ROUNDS) for name in names]


POSITIONS = of_rounds("edge{}_head")
LATE = "update{}b", "shared{}", "edge{}_head"
"""What a round changes: a localization's numbers, its region's, and its vectors."""
VARIANTS = {
    "the network as it is": Variant(),
    "without region statistics": Variant(["region1_kernel", "traits", *of_rounds("share{}_", "shared{}_")]),
    "without the traits of regions": Variant(["traits"]),
    "without messages": Variant([*of_rounds("other{}_", "edge{}_kernel"), *POSITIONS, f"other{ROUNDS}_"]),
    "without positions": Variant(POSITIONS),
    "without re-blinking in the prior": Variant(draw={"blinking": 0.0}),
    "two rounds of messages in place of four": Variant([name.format(r) for name in LATE for r in (2, 3)]),
    "32 numbers a localization in place of 48": Variant(width=32),
    "96 numbers a localization in place of 48": Variant(width=96),
    "half the data": Variant(length=0.5),
    "double the data": Variant(length=2.0),
}


def row(name: str, work: Path, steps: int, fields: int, threads: int) -> dict[str, Any]:
    """Train a variant, or go on with it; its figures."""
    variant = VARIANTS[name]
    length = round(steps * variant.length)
    draw = {"axes": 2, **variant.draw}
    settings = FieldFit(SEED, length - length // 4, length // 4, surveyed=SURVEYED, draw=draw, without=variant.without)
    folder = work / name.replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    learned = work / next(iter(VARIANTS)).replace(" ", "-") / f"traits-{SURVEYED}.npz"
    if learned.exists() and not variant.draw and not (folder / learned.name).exists():
        shutil.copy(learned, folder)
    found = measure(fit(settings, folder, threads=threads), SEED, 2, fields)
    seconds = [json.loads(line)["seconds"] for line in (folder / "losses.jsonl").read_text().splitlines()]
    return {
        "variant": name,
        "weights": sum(
            int(np.prod(shape))
            for weight, shape in weight_shapes().items()
            if not weight.startswith(tuple(variant.without))
        ),
        "steps": length,
        "seconds": round(sum(seconds)),
        **{sort: found[sort] for sort in ("molecules", "re-blinking")},
        "percent_in_clusters_on_random_fields": float(
            np.max([*found["percent_in_clusters_on_random_fields"].values()])
        ),
    }


def in_its_width(name: str, work: Path) -> None:
    """Have another process compute the row of a variant, by a copy of the package in which its width stands."""
    copy = work / f"width-{VARIANTS[name].width}"
    package = Path(caml_dask.__file__).parent
    shutil.copytree(package, copy / package.name, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    module = copy / package.name / "networks" / "field" / "graph.py"
    text = module.read_text()
    module.write_text(text.replace(f"\nWIDTH = {WIDTH}\n", f"\nWIDTH = {VARIANTS[name].width}\n"))
    command = [sys.executable, *sys.argv, "--only", name]
    subprocess.run(command, env=os.environ | {"PYTHONPATH": str(copy)}, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the states of the trainings")
    parser.add_argument("--results", type=Path, required=True, help="JSON to write; rows that stand there are kept")
    parser.add_argument("--steps", type=int, default=1_000, help="of most trainings, a quarter of them annealed")
    parser.add_argument("--fields", type=int, default=300, help="of each sort on which figures are taken")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=VARIANTS, help="one variant")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    for name in VARIANTS if asked.only is None else [asked.only]:
        rows = json.loads(asked.results.read_text()) if asked.results.exists() else []
        if name in [found["variant"] for found in rows]:
            continue
        if VARIANTS[name].width not in (None, WIDTH):
            in_its_width(name, asked.work)
            continue
        rows.append(row(name, asked.work, asked.steps, asked.fields, asked.threads))
        asked.results.write_text(json.dumps(rows, indent=1) + "\n")
        print(rows[-1])


if __name__ == "__main__":
    main()
