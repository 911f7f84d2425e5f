"""Telling fibers from round clusters, learned on top of a field network from what that knows of localizations.

The network itself stays as it is: two layers are added to it, which see what its answer is made of.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

import keras
import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from caml_dask.atomic import publish, publish_text
from caml_dask.metrics import confusion, rates
from caml_dask.networks.field.architecture import CONTEXT, FIBER_WIDTH
from caml_dask.networks.field.graph import WIDTH, build_graph
from caml_dask.networks.field.network import Layers
from caml_dask.networks.field.trained import TrainedFieldNetwork
from caml_dask.networks.field.whole import after_rounds, say
from caml_dask.networks.training.field.batches import end_with_parent
from caml_dask.schema import FIBER, NON_CLUSTERED
from caml_dask.settings import FIBER_NETWORK
from caml_dask.simulate.cells import draw_cell
from caml_dask.simulate.fields import simulate
from caml_dask.simulate.grids import fiber_grid
from caml_dask.simulate.unknown import draw_field

EPOCHS = 30
LARGEST_STEP = 2e-3
BATCH = 512
LOCALIZATIONS = 5_000
"""Of a field with fibers of the published kind, about."""
TAKEN = 1_000
"""Localizations of a field that are learned from, or compared."""
_FIRST_FIELD = 1 << 22  # in the seeds of its fields, apart from those of batches and traits

_Array = NDArray[Any]


def train_fibers(
    network: TrainedFieldNetwork, seed: int, fields: int, out: Path, *, workers: int, command: str
) -> dict[str, Any]:
    """Add what tells fibers from round clusters to a field network; write weights and card.

    Parameters
    ----------
    network : TrainedFieldNetwork
        Of two axes.
    seed : int
        Of weights and fields.
    fields : int
        To learn from; a third as many are compared.
    out : Path
        Folder for field-2d-fibers.safetensors and field-2d-fibers.json.
    workers : int
        Processes that draw fields; 0 draws them in this one.
    command : str
        That began it.

    Returns
    -------
    dict
        The card: that of the network, and what is known of the addition.
    """
    begun = perf_counter()
    inputs, is_fiber = _learned_from(network.weights, seed, fields, workers)
    learned = _fit(inputs, is_fiber, seed)
    weights = {**network.weights, **learned}
    blob = safetensors.numpy.save(weights)
    card = {
        **network.card,
        "name": FIBER_NETWORK,
        "weights": int(sum(array.size for array in weights.values())),
        "weights_sha256": hashlib.sha256(blob).hexdigest(),
        "fibers": {
            "on": network.identity,
            "command": command,
            "seed": seed,
            "fields": fields,
            "localizations": len(is_fiber),
            "seconds": round(perf_counter() - begun),
            "results": measure_fibers(weights, seed, range(fields, fields + math.ceil(fields / 3))),
        },
    }
    publish(out / f"{FIBER_NETWORK}.safetensors", lambda path: path.write_bytes(blob))
    publish_text(out / f"{FIBER_NETWORK}.json", json.dumps(card, indent=1) + "\n")
    return card


def measure_fibers(weights: Mapping[str, NDArray[np.float32]], seed: int, numbers: range) -> dict[str, Any]:
    """How well the three classes are told apart in fields of the published kind with fibers.

    Parameters
    ----------
    weights : mapping of str to float32 array
        Of the network, with the addition.
    seed : int
        Of the training.
    numbers : range
        Of the fields, which nothing was learned from.

    Returns
    -------
    dict
        How many localizations were compared, the recall of each class and their mean.
    """
    network = TrainedFieldNetwork(FIBER_NETWORK, {}, weights)
    counts = np.zeros((3, 3), np.int64)
    for number in numbers:
        rng = np.random.default_rng([seed, _FIRST_FIELD, number])
        points, classes = _with_fibers(rng)
        taken = rng.permutation(len(points))[:TAKEN]
        labels = network.labels(network.scores(say(weights, build_graph(points))))
        counts += confusion(classes[taken], labels[taken], 3)
    recall = rates(counts).recall
    names = ("non_clustered", "round", "fiber")
    return {
        "fields": len(numbers),
        "localizations": int(counts.sum()),
        "recall": {name: round(float(value), 4) for name, value in zip(names, recall, strict=True)},
        "macro_recall": round(float(np.mean(recall)), 4),
    }


def _with_fibers(rng: np.random.Generator) -> tuple[_Array, _Array]:
    """A field of the published kind with fibers: (n, 2) points in nm and (n,) classes."""
    grid = fiber_grid()
    scenario = grid[int(rng.integers(len(grid)))]
    radius = math.sqrt(LOCALIZATIONS / scenario.density_per_um2 / math.pi) * 1e3 / 1.2
    cell = draw_cell(rng, base_radius_nm=radius, roughness_nm=0.4 * radius, field_nm=2.81 * radius)
    field = simulate(scenario, rng, cell=cell)
    return field.points_nm, field.classes


def _learned_from(
    weights: Mapping[str, NDArray[np.float32]], seed: int, fields: int, workers: int
) -> tuple[_Array, _Array]:
    """Inputs of the added layers, (n, inputs), for clustered localizations, and which are in fibers, (n,)."""
    parts = [(dict(weights), seed, range(worker, fields, max(workers, 1))) for worker in range(max(workers, 1))]
    if workers == 0:
        found = [list(_of_fields(*part)) for part in parts]
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=end_with_parent) as pool:
            found = list(pool.map(_listed, parts))
    by_number = {number: rows for part in found for number, *rows in part}
    inputs, is_fiber = zip(*(by_number[number] for number in sorted(by_number)), strict=True)
    return np.concatenate(inputs), np.concatenate(is_fiber)


def _listed(part: tuple[dict[str, _Array], int, range]) -> list[tuple[int, _Array, _Array]]:
    return list(_of_fields(*part))


def _of_fields(weights: dict[str, _Array], seed: int, numbers: range) -> Iterator[tuple[int, _Array, _Array]]:
    """By field number: even ones are of the published kind with fibers, odd ones of which nothing is known."""
    layers = Layers(weights)
    for number in numbers:
        rng = np.random.default_rng([seed, _FIRST_FIELD, number])
        if number % 2 == 0:
            points, classes = _with_fibers(rng)
        else:
            sample = draw_field(rng)
            points, classes = sample.points_nm, sample.classes
        known = after_rounds(layers, build_graph(points))
        own, means = layers.seen_at_last(*known)
        taken = rng.permutation(np.flatnonzero(classes != NON_CLUSTERED))[:TAKEN]
        yield number, np.concatenate([own, means, known.around], axis=1)[taken], classes[taken] == FIBER


def _fit(inputs: NDArray[np.float32], is_fiber: NDArray[np.bool_], seed: int) -> dict[str, NDArray[np.float32]]:
    keras.utils.set_random_seed(seed)
    normalized = np.concatenate([_normalized(inputs[:, :WIDTH]), inputs[:, WIDTH:]], axis=1)
    layers = [keras.layers.Dense(FIBER_WIDTH, activation="relu"), keras.layers.Dense(1)]
    network = keras.Sequential([keras.Input((3 * WIDTH + CONTEXT,)), *layers])
    falling = keras.optimizers.schedules.CosineDecay(LARGEST_STEP, EPOCHS * len(inputs) // BATCH)
    network.compile(keras.optimizers.AdamW(falling), loss=keras.losses.BinaryCrossentropy(from_logits=True))
    share = is_fiber.mean()
    weight = np.where(is_fiber, 0.5 / max(share, 1e-9), 0.5 / max(1 - share, 1e-9))
    network.fit(
        normalized, is_fiber.astype(np.float32), sample_weight=weight, batch_size=BATCH, epochs=EPOCHS, verbose=0
    )
    return {
        f"fiber{i}_{part}": np.asarray(value)
        for i, layer in enumerate(layers, 1)
        for part, value in zip(("kernel", "bias"), layer.weights, strict=True)
    }


def _normalized(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each row with a mean of 0 and a variance of 1, as the network takes it."""
    values = values - values.mean(axis=1, keepdims=True)
    return values / np.sqrt((values**2).mean(axis=1, keepdims=True) + 1e-5)
