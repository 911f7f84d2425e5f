"""Training the field network from a command: weights, and a card that says how they were made and what they reach."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from caml_dask.atomic import publish, publish_text
from caml_dask.metrics import class_scores, cluster_scores
from caml_dask.networks.field.clusters import find_clusters
from caml_dask.networks.field.trained import CALLED
from caml_dask.networks.training.field.batches import draw_batch
from caml_dask.networks.training.field.fit import FieldFit, fit
from caml_dask.schema import NO_CLUSTER
from caml_dask.simulate.unknown import KINDS, draw_field

VALIDATION = 1 << 30
"""Added to the seed of fields that no training sees."""
NOTED_BY_HAND = ("looks_at_labelled_fields", "fails")
"""What a card in the folder says of its network that no training can know; kept."""
BINS = np.linspace(0.0, 1.0, 11)


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
        Fields of each sort on which the card's figures are taken.
    command : str
        That began it.

    Returns
    -------
    dict
        The card.
    """
    weights = fit(settings, work, threads=threads, workers=workers)
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
        "results": measure(weights, settings, axes, fields),
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


def measure(weights: Mapping[str, NDArray[np.float32]], settings: FieldFit, axes: int, fields: int) -> dict[str, Any]:
    """How well a network does on fields of the prior that it has not seen, and on fields without clusters.

    Parameters
    ----------
    weights : mapping of str to float32 array
        Of the network.
    settings : FieldFit
        Its training, whose seed the fields must not share.
    axes : int
        2 or 3.
    fields : int
        Fields of molecules, and as many of re-blinking detections.

    Returns
    -------
    dict
        Means over fields of accuracy and adjusted Rand index, by sort; the share of localizations in clusters, in
        percent, by density on random fields; and how often localizations are clustered by how often it was said.
    """
    found: dict[str, Any] = {}
    said: list[NDArray[Any]] = []
    for sort, blinking in (("molecules", 0.0), ("re-blinking", 1.0)):
        scores = []
        for number in range(fields):
            rng = np.random.default_rng([settings.seed + VALIDATION, number, int(blinking)])
            sample = draw_field(rng, axes=axes, blinking=blinking, least=300, most=6_000)
            answer = find_clusters(sample.points_nm, weights=weights)
            truth = sample.truth != NO_CLUSTER
            said.append(np.stack([answer.p_clustered, truth]))
            right = class_scores(truth.astype(np.int64), (answer.p_clustered > CALLED).astype(np.int64))
            scores.append(
                (right.accuracy, cluster_scores(sample.truth, answer.cluster_id).ari if truth.any() else np.nan)
            )
        accuracy, ari = np.array(scores).T
        found[sort] = {"accuracy": round(float(accuracy.mean()), 4), "ari": round(float(np.nanmean(ari)), 4)}
    p, clustered = np.concatenate(said, axis=1)
    at = np.clip(np.digitize(p, BINS) - 1, 0, len(BINS) - 2)
    found["clustered_by_p"] = {
        f"{BINS[b]:.1f}-{BINS[b + 1]:.1f}": round(float(clustered[at == b].mean()), 3) for b in np.unique(at)
    }
    found["percent_in_clusters_on_random_fields"] = {
        str(n): round(100 * float(np.mean([_called(n, axes, seed, weights) for seed in range(5)])), 2)
        for n in (400, 2_000, 10_000)
    }
    return found


def _called(n: int, axes: int, seed: int, weights: Mapping[str, NDArray[np.float32]]) -> float:
    points = np.random.default_rng([VALIDATION, n, seed]).uniform(0, 10_000, (n, axes))
    return float((find_clusters(points, weights=weights).cluster_id != NO_CLUSTER).mean())
