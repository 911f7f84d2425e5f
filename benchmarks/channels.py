"""Two channels: whether p values are even where channels are independent, and figures against a known truth.

Fields of known clusters, of which a share of B's lie on A's. Clusters are those that were drawn, so that this measures
the comparison and no network.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import shapely
from pairs_made import made_pair

from caml_dask.channels.chromatic import shift_of_data
from caml_dask.channels.domain import Domain, Torus
from caml_dask.channels.figures import Measures, measure
from caml_dask.channels.randomized import PLACEMENT, SHIFT, randomize

SIDE_NM, CLUSTERS = 4_000.0, 40
TOGETHER = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
SHIFTS_NM = ((0.0, 0.0), (30.0, -20.0), (-90.0, 60.0))
MEASURES = Measures(reach_nm=300.0, step_nm=20.0)
BOX = shapely.box(0, 0, SIDE_NM, SIDE_NM)


def p_values(fields: int, randomizations: int) -> list[dict[str, object]]:
    """Of each figure and way of randomization: shares of independent pairs with p up to some levels."""
    found: dict[tuple[str, str], list[float]] = {}
    for seed in range(fields):
        pair = made_pair(np.random.default_rng([0, seed]), 0.0, side_nm=SIDE_NM, clusters=CLUSTERS)
        for test, domain in ((SHIFT, Torus(BOX)), (PLACEMENT, Domain(BOX))):
            a, b = (domain.of(channel) for channel in pair)
            options = {"number": randomizations, "seed": seed, "most": 400, "degrees_of": 200}
            for one in randomize(test, a, b, domain, MEASURES, **options).tests:
                found.setdefault((test, one.figure), []).append(one.p_value)
    rows = []
    for (test, figure), values in found.items():
        finite = np.array(values)[np.isfinite(values)]
        shares = {f"p_up_to_{level}": float((finite <= level + 1e-9).mean()) for level in (0.05, 0.1, 0.2, 0.5)}
        rows.append({"test": test, "figure": figure, "pairs": len(finite), **shares})
    return rows


def against_truth(fields: int) -> list[dict[str, object]]:
    """Means over fields of the figures, for shares of clusters that lie together and for shifts, and those found."""
    rows = []
    for together in TOGETHER:
        for shift in SHIFTS_NM:
            figures, errors, certain = [], [], 0
            for seed in range(fields):
                rng = np.random.default_rng([1, seed])
                a, b = made_pair(rng, together, side_nm=SIDE_NM, clusters=CLUSTERS, shift_nm=shift)
                domain = Domain(BOX)
                found = shift_of_data(a, b, domain, largest_nm=200.0, sample=20_000)
                if found.certain:
                    certain += 1
                    errors.append(float(np.hypot(*(found.vector_nm - shift))))
                    b = b.shifted(-found.vector_nm)
                figures.append(measure(domain.of(a), domain.of(b), domain, MEASURES, 10**9, 10**9).figures)
            means = {name: float(np.mean([one[name] for one in figures])) for name in figures[0]}
            rows.append(
                {
                    "together": together,
                    "shift_nm": shift,
                    "fields": fields,
                    "shift_certain": certain / fields,
                    "shift_error_nm": float(np.median(errors)) if errors else None,
                    **{name: round(value, 4) for name, value in means.items()},
                }
            )
    return rows


def main() -> None:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fields", type=int, default=200, help="independent pairs")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results" / "channels.json")
    parser.add_argument("--smoke", action="store_true", help="a few fields: whether it works")
    chosen = parser.parse_args()
    even = p_values(2 if chosen.smoke else chosen.fields, 3 if chosen.smoke else 39)
    truth = against_truth(1 if chosen.smoke else 10)
    found = {"independent": even, "truth": truth}
    chosen.results.parent.mkdir(parents=True, exist_ok=True)
    chosen.results.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
