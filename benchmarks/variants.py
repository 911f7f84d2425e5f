"""The sensitivity analyses of Williamson et al. 2020: windows, sizes of the clusters trained on, positions as input.

Trains variants of XPILJZ, all on equally many samples, and holds each against its own test set and, where its window is
XPILJZ's, against that of all clusters.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import replace
from pathlib import Path

import safetensors.numpy

from caml_dask.networks.registry import variant
from caml_dask.networks.spec import NetworkSpec
from caml_dask.networks.training.card import measure_set
from caml_dask.networks.training.sets import TrainingSets, compile_part, missing_parts, read_parts
from caml_dask.networks.training.train import sets_of
from caml_dask.runs.laboratory import compile_and_train

VARIANTS = (
    variant("XPILJZ"),
    variant("XPILJZ", window=50),
    variant("XPILJZ", window=200),
    variant("XPILJZ", clusters="small"),
    variant("XPILJZ", clusters="large"),
    variant("XPILJZ", relative_xy=True),
)
SMOKE_SCENARIOS = 60  # every 60th of a grid in a smoke test


def sets_for(entry: NetworkSpec, samples: int, smoke: bool) -> TrainingSets:
    """What a variant is trained and tested on."""
    sets = sets_of(entry, samples)
    return replace(sets, scenarios=sets.scenarios[::SMOKE_SCENARIOS]) if smoke else sets


def row_of(entry: NetworkSpec, samples: int, smoke: bool, work: Path, workers: int) -> dict[str, object]:
    """Train one variant; its figures."""
    sets = sets_for(entry, samples, smoke)
    settings = replace(entry.settings, epochs=1) if smoke else entry.settings
    card = compile_and_train(
        entry, sets, work / "weights", work, settings, workers=workers, restarts=1, folds=0, command="variants.py"
    )
    test = card["results"]["test"]
    row: dict[str, object] = {
        "variant": entry.name,
        "window": entry.n_neighbors,
        "clusters": entry.clusters,
        "input": entry.input_form,
        "samples": samples,
        "accuracy": test["accuracy"],
        "recall_mixed_fields": test["mixed_fields"]["recall"],
        "accuracy_on_all_clusters": "",
    }
    if entry.n_neighbors == VARIANTS[0].n_neighbors and not entry.relative_xy:
        whole = sets_for(VARIANTS[0], samples, smoke)
        for part in missing_parts(whole, work):
            compile_part(whole, part, work)
        weights = safetensors.numpy.load_file(work / "weights" / f"{entry.name}.safetensors")
        row["accuracy_on_all_clusters"] = measure_set(entry, weights, read_parts(whole, "test", work), whole)[
            "accuracy"
        ]
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="where sets and checkpoints are kept")
    parser.add_argument("--results", type=Path, required=True, help="CSV to write")
    parser.add_argument("--samples", type=int, default=100_000, help="training samples")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--smoke", action="store_true", help="few samples of few scenarios, three variants")
    asked = parser.parse_args()
    samples = 300 if asked.smoke else asked.samples
    variants = (*VARIANTS[:2], VARIANTS[-1]) if asked.smoke else VARIANTS
    rows = [row_of(entry, samples, asked.smoke, asked.work, asked.workers) for entry in variants]
    with asked.results.open("w", newline="") as stream:
        table = csv.DictWriter(stream, rows[0].keys(), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    for row in rows:
        print(*row.values())


if __name__ == "__main__":
    main()
