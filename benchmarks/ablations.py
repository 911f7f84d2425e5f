"""What the field network owes to each of its parts: trainings of equal length, each without one.

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
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from caml_dask.networks.field.graph import ROUNDS
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


def of_rounds(*names: str) -> list[str]:
    """The names of weights in every round, from "other{}_" and the like."""
    return [name.format(r) for r in range(ROUNDS) for name in names]


POSITIONS = of_rounds("edge{}_head")
VARIANTS = {
    "the network as it is": Variant(),
    "without region statistics": Variant(["region1_kernel", "traits", *of_rounds("share{}_", "shared{}_")]),
    "without the traits of regions": Variant(["traits"]),
    "without messages": Variant([*of_rounds("other{}_", "edge{}_kernel"), *POSITIONS, f"other{ROUNDS}_"]),
    "without positions": Variant(POSITIONS),
    "without re-blinking in the prior": Variant(draw={"blinking": 0.0}),
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
        "steps": length,
        "seconds": round(sum(seconds)),
        **{sort: found[sort] for sort in ("molecules", "re-blinking")},
        "percent_in_clusters_on_random_fields": float(
            np.max([*found["percent_in_clusters_on_random_fields"].values()])
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the states of the trainings")
    parser.add_argument("--results", type=Path, required=True, help="JSON to write; rows that stand there are kept")
    parser.add_argument("--steps", type=int, default=1_000, help="of most trainings, a quarter of them annealed")
    parser.add_argument("--fields", type=int, default=300, help="of each sort on which figures are taken")
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    rows = json.loads(asked.results.read_text()) if asked.results.exists() else []
    for name in VARIANTS:
        if name not in [found["variant"] for found in rows]:
            rows.append(row(name, asked.work, asked.steps, asked.fields, asked.threads))
            asked.results.write_text(json.dumps(rows, indent=1) + "\n")
            print(rows[-1])


if __name__ == "__main__":
    main()
