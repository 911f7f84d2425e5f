"""Training the field network from a command: weights, and a card that says how they were made and what they reach."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from caml_dask.atomic import publish, publish_text
from caml_dask.networks.training.field.batches import draw_batch
from caml_dask.networks.training.field.figures import calibrated, decided, measure
from caml_dask.networks.training.field.fit import FieldFit, fit
from caml_dask.networks.training.field.traits import measure_traits
from caml_dask.simulate.unknown import KINDS

NOTED_BY_HAND = ("looks_at_labelled_fields", "fails")
"""What a card in the folder says of its network that no training can know; kept."""


def train_field(
    settings: FieldFit, axes: int, out: Path, work: Path, *, threads: int, workers: int, fields: int, command: str
) -> dict[str, Any]:
    """Train, or go on; write weights and card.

    Parameters
    ----------
    settings : FieldFit
        What to train.
    axes : int
        2 or 3.
    out : Path
        Folder for field-2d.safetensors and field-2d.json, or 3d.
    work : Path
        Folder for the states of the training.
    threads, workers : int
        That compute; processes that draw fields.
    fields : int
        Of each sort, molecules and re-blinking: to calibrate the probabilities on, as many others to decide on, and
        as many others for the card's figures.
    command : str
        That began it.

    Returns
    -------
    dict
        The card.
    """
    weights = fit(settings, work, threads=threads, workers=workers)
    weights = decided(calibrated(weights, settings.seed, axes, fields), settings.seed, axes, fields)
    blob = safetensors.numpy.save(weights)
    name = f"field-{axes}d"
    records = [json.loads(line) for line in (work / "losses.jsonl").read_text().splitlines()]
    steps = settings.steady + settings.annealed
    kept = out / f"{name}.json"
    by_hand = json.loads(kept.read_text()) if kept.exists() else {}
    card = {
        "name": name,
        "dimensions": axes,
        "weights": int(sum(array.size for array in weights.values())),
        "weights_sha256": hashlib.sha256(blob).hexdigest(),
        "command": command,
        "settings": asdict(settings),
        "prior": {"kinds": KINDS, "module": "caml_dask.simulate.unknown"},
        "seen": {
            "steps": steps,
            "localizations": int(steps * _mean_batch(settings)),
            "seconds": round(sum(record["seconds"] for record in records)),
        },
        "losses_at_the_end": records[-1],
        "results": measure(weights, settings.seed, axes, fields),
        "traits": measure_traits(weights, settings.seed, settings.surveyed, 12 * fields, settings.draw, work, workers),
        "made_with": {p: version(p) for p in ("tensorflow", "keras", "numpy", "numba")}
        | {"python": platform.python_version()},
        **{noted: by_hand[noted] for noted in NOTED_BY_HAND if noted in by_hand},
    }
    publish(out / f"{name}.safetensors", lambda path: path.write_bytes(blob))
    publish_text(out / f"{name}.json", json.dumps(card, indent=1) + "\n")
    return card


def _mean_batch(settings: FieldFit) -> float:
    sizes = [len(draw_batch(settings.seed, number, settings.localizations, settings.draw).field) for number in range(8)]
    return float(np.mean(sizes))
