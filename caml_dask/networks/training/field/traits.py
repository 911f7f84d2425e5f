"""Learning to tell of a field, from the histograms of its neighbor distances, what kind it is.

That needs no look at single localizations, so that it is learned of far more fields than the network sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from scipy.special import expit

from caml_dask.atomic import publish
from caml_dask.networks.field.architecture import SURE, TRAIT_WIDTHS, TRAITS
from caml_dask.networks.field.network import Layers
from caml_dask.networks.field.ranks import NEIGHBORS, USED_RANKS
from caml_dask.networks.field.region import REGION_INPUTS, region_histogram, region_inputs
from caml_dask.networks.training.field.batches import end_with_parent
from caml_dask.schema import NO_CLUSTER
from caml_dask.simulate.unknown import Sample, draw_field
from caml_dask.spatial.ranked import ranked_neighbors

FIELDS_A_PART = 2_000
EPOCHS = 20
LARGEST_STEP = 2e-3
BATCH = 256
_FIRST_FIELD = 1 << 21  # in the seeds of its fields, apart from those of batches


def learn_traits(
    seed: int, fields: int, draw: dict[str, Any], folder: Path, workers: int
) -> dict[str, NDArray[np.float32]]:
    """Learn the traits of fields, or read what was learned; where that was from fewer fields, from the others too.

    Parameters
    ----------
    seed : int
        Of the training.
    fields : int
        How many to learn from.
    draw : dict
        Keyword arguments of :func:`~caml_dask.simulate.unknown.draw_field`.
    folder : Path
        Where fields and weights are kept.
    workers : int
        Processes that draw fields; 0 draws them in this one.

    Returns
    -------
    dict of str to float32 array
        The weights of the traits by name.
    """
    kept = folder / f"traits-{fields}.npz"
    if not kept.exists():
        learned, before = _learned(folder, fields)
        weights = _fit(*_drawn(seed, range(learned, fields), draw, folder / "traits", workers), seed, before)
        _keep(kept, **weights)
    with np.load(kept) as arrays:
        return dict(arrays)


def _learned(folder: Path, fields: int) -> tuple[int, dict[str, NDArray[np.float32]]]:
    """From how many fields, fewer than `fields`, traits were learned, and their weights; none from 0."""
    found = {int(path.stem.removeprefix("traits-")): path for path in folder.glob("traits-*.npz")}
    learned = max((number for number in found if number < fields), default=0)
    if learned == 0:
        return 0, {}
    with np.load(found[learned]) as arrays:
        return learned, dict(arrays)


def traits_of(sample: Sample, unit_nm: float) -> NDArray[np.float32]:
    """The truth of a field's traits, (TRAITS,) float32; NaN for those that it has not.

    Parameters
    ----------
    sample : Sample
        The field.
    unit_nm : float
        Its region's unit of length in nm.
    """
    inside = sample.truth != NO_CLUSTER
    found = dict.fromkeys(TRAITS, np.nan) | {"blinking": float(sample.blinking), "share": float(inside.mean())}
    if sample.blinking:
        found["log_precision"] = np.log(sample.scatter_nm.mean() / unit_nm)
        found["log_detections"] = np.log(len(inside) / len(np.unique(sample.molecule)))
    if inside.any():
        number, points = sample.truth[inside], sample.points_nm[inside] / unit_nm
        count = np.bincount(number).astype(np.float64)
        mean = np.stack([np.bincount(number, column) for column in points.T], axis=1) / count[:, None]
        square = np.bincount(number, ((points - mean[number]) ** 2).sum(axis=1)) / count
        log_radius, log_members = np.log(np.maximum(square, 1e-6))[number] / 2, np.log(count)[number]
        found |= {"log_radius": log_radius.mean(), "radius_spread": log_radius.std()}
        found |= {"log_members": log_members.mean(), "members_spread": log_members.std()}
    return np.array([found[trait] for trait in TRAITS], np.float32)


def measure_traits(
    weights: Mapping[str, NDArray[np.float32]],
    seed: int,
    learned: int,
    tried: int,
    draw: dict[str, Any],
    folder: Path,
    workers: int,
) -> dict[str, Any]:
    """How well traits are told of fields that nothing was learned from.

    Parameters
    ----------
    weights : mapping of str to float32 array
        Of the network.
    seed, draw, folder, workers
        As of :func:`learn_traits`.
    learned, tried : int
        Fields that it was learned from; how many more are drawn.

    Returns
    -------
    dict
        How many they are; the share that is rightly told to re-blink or not, and of those that do not and that do the
        share told to with more than `SURE`; by trait, the median absolute error where fields have it.
    """
    inputs, traits = _drawn(seed, range(learned, learned + tried), draw, folder / "traits", workers)
    _, told = Layers(weights).regions(inputs)
    blinking, p = traits[:, 0] > 0, expit(told[:, 0])
    told[:, TRAITS.index("share")] = expit(told[:, TRAITS.index("share")])
    error = np.nanmedian(np.abs(told - traits), axis=0)
    return {
        "fields": tried,
        "rightly_told_whether_they_re_blink": round(float(((p > 0.5) == blinking).mean()), 4),
        "told_for_sure_of_those_that_do_not": round(float((p > SURE)[~blinking].mean()), 4),
        "told_for_sure_of_those_that_do": round(float((p > SURE)[blinking].mean()), 4),
        "median_error": {trait: round(float(error[at]), 3) for at, trait in enumerate(TRAITS) if at > 0},
    }


def _drawn(
    seed: int, fields: range, draw: dict[str, Any], folder: Path, workers: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Inputs of regions, (fields, REGION_INPUTS), and their traits, by their numbers, in parts that are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [
        (seed, range(at, min(at + FIELDS_A_PART, fields.stop)), draw, folder)
        for at in range(fields.start, fields.stop, FIELDS_A_PART)
    ]
    if workers == 0:
        paths = [_part(*part) for part in parts]
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=end_with_parent) as pool:
            paths = list(pool.map(_part, *zip(*parts, strict=True)))
    inputs, traits = [], []
    for path in paths:
        with np.load(path) as arrays:
            inputs.append(arrays["inputs"])
            traits.append(arrays["traits"])
    return np.concatenate(inputs), np.concatenate(traits)


def _part(seed: int, numbers: range, draw: dict[str, Any], folder: Path) -> Path:
    """Draw some fields; the file that holds their inputs and traits."""
    kept = folder / f"{numbers.start}-{numbers.stop}.npz"
    if not kept.exists():
        rows = []
        for number in numbers:
            sample = draw_field(np.random.default_rng([seed, _FIRST_FIELD, number]), **draw)
            k = min(NEIGHBORS, len(sample.truth) - 1)
            _, distances = ranked_neighbors(sample.points_nm, k, ranks=np.minimum(USED_RANKS, k))
            inputs, unit_nm = region_inputs(region_histogram(distances), len(sample.truth))
            rows.append((inputs, traits_of(sample, unit_nm)))
        inputs, traits = (np.stack(column) for column in zip(*rows, strict=True))
        _keep(kept, inputs=inputs, traits=traits)
    return kept


def _keep(path: Path, **arrays: NDArray[Any]) -> None:
    def write(at: Path) -> None:
        with at.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    publish(path, write)


def _fit(
    inputs: NDArray[np.float32], traits: NDArray[np.float32], seed: int, before: dict[str, NDArray[np.float32]]
) -> dict[str, NDArray[np.float32]]:
    """Weights from the fields, or from those `before`, with steps a quarter as large."""
    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Dense(width, activation="relu") for width in TRAIT_WIDTHS]
    layers.append(keras.layers.Dense(len(TRAITS)))
    network = keras.Sequential([keras.Input((REGION_INPUTS,)), *layers])
    for i, layer in enumerate(layers if before else [], 1):
        layer.set_weights([before[f"traits{i}_kernel"], before[f"traits{i}_bias"]])
    largest = LARGEST_STEP / 4 if before else LARGEST_STEP
    falling = keras.optimizers.schedules.CosineDecay(largest, EPOCHS * len(inputs) // BATCH)
    network.compile(keras.optimizers.AdamW(falling), loss=trait_loss)
    network.fit(inputs, traits, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    return {
        f"traits{i}_{part}": np.asarray(value)
        for i, layer in enumerate(layers, 1)
        for part, value in zip(("kernel", "bias"), layer.weights, strict=True)
    }


def trait_loss(traits: Any, told: Any) -> Any:
    """Cross-entropy of the traits that are shares, absolute error of the others where a field has them: (n,)."""
    known = tf.math.is_finite(traits)
    wanted = tf.where(known, traits, 0.0)
    share = tf.constant([trait in ("blinking", "share") for trait in TRAITS])
    loss = tf.where(share, tf.nn.sigmoid_cross_entropy_with_logits(wanted, told), tf.abs(wanted - told))
    return tf.reduce_sum(tf.where(known, loss, 0.0), axis=1)
