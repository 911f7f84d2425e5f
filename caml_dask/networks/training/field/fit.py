"""The loop that trains the field network: a long stretch, then an annealed end, both resumable.

A longer training goes on from the end of the stretch, before it was annealed, so that no hour is spent twice.
"""

from __future__ import annotations

import json
import logging
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from caml_dask.atomic import publish
from caml_dask.networks.field.architecture import BENDS
from caml_dask.networks.training.field.batches import stream
from caml_dask.networks.training.field.model import FieldNetwork, initial_weights, losses, tensors
from caml_dask.networks.training.field.traits import learn_traits

DECIDED = 0.5, 0.2
"""Before calibration: clustered or not, whichever is likelier; and what links the votes of prototypes well."""
_log = logging.getLogger("caml_dask")
STEP_SIZE = 2e-3
WARM_UP, FALLS_FROM = 300, 2_250
"""Steps over which the step size rises, and from which it falls as the inverse root of the step: the length of a
training need not be known beforehand."""
KEEP_EVERY = 250
LARGEST_GRADIENT = 1.0
AVERAGED = 0.998
"""Share of the running average of the weights that each step leaves in it."""


@dataclass(frozen=True)
class FieldFit:
    """How a field network is trained.

    Parameters
    ----------
    seed : int
        Of weights and fields.
    steady, annealed : int
        Steps before the step size is annealed, and steps over which it then falls to zero.
    localizations : int
        Least localizations of a step.
    surveyed : int
        Fields of which the traits of regions are learned.
    draw : dict
        Keyword arguments of :func:`~caml_dask.simulate.unknown.draw_field`.
    without : list of str
        Beginnings of the names of weights that stay zero: what the network learns without them, it has from the others.
    """

    seed: int
    steady: int
    annealed: int
    localizations: int = 6_144
    surveyed: int = 60_000
    draw: dict[str, Any] = field(default_factory=dict)
    without: list[str] = field(default_factory=list)


def fit(settings: FieldFit, folder: Path, *, threads: int = 2, workers: int = 1) -> dict[str, np.ndarray]:
    """Train, or go on with a training that was stopped.

    Parameters
    ----------
    settings : FieldFit
        What to train; a folder that holds a training takes more `steady` steps, any `annealed` ones, and more fields
        `surveyed`.
    folder : Path
        Where states are kept, with a record of the losses, "losses.jsonl".
    threads : int
        That compute.
    workers : int
        Processes that draw fields; 0 draws them in this one.

    Returns
    -------
    dict of str to float32 array
        The averaged weights at the end; nothing has bent them, and they decide by ``DECIDED``.
    """
    with suppress(RuntimeError):  # of a process that has used TensorFlow before
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    folder.mkdir(parents=True, exist_ok=True)
    steady, ending = folder / "steady.npz", folder / f"annealed-{settings.steady}-{settings.annealed}.npz"
    traits = learn_traits(settings.seed, settings.surveyed, settings.draw, folder, workers)
    state = _Training(settings, traits, threads)
    if ending.exists():
        state.restore(ending)
    elif steady.exists():
        state.restore(steady)
    if state.step < settings.steady:
        _run(state, settings, settings.steady, steady, workers)
    _run(state, settings, settings.steady + settings.annealed, ending, workers)
    learned = {name: value.numpy() for name, value in state.average.items()}
    return {**learned, "bend": np.zeros(BENDS, np.float32), "decision": np.array(DECIDED, np.float32)}


def _run(state: _Training, settings: FieldFit, last: int, kept: Path, workers: int) -> None:
    """Steps up to the `last`, the state kept now and then and at the end."""
    start, seen, sums = time.perf_counter(), 0, np.zeros(0)
    batches = stream(settings.seed, state.step, last, settings.localizations, settings.draw, workers)
    for batch in batches:
        rate = step_size(state.step, settings)
        parts = state.advance(tensors(vars(batch)), tf.constant(rate, tf.float32)).numpy()
        sums = parts if not len(sums) else sums + parts
        seen += 1
        if state.step % KEEP_EVERY == 0 or state.step == last:
            state.keep(kept)
            means = dict(zip(state.parts, (sums / seen).round(5).tolist(), strict=True))
            record = {"step": state.step, "seconds": round(time.perf_counter() - start, 1), **means}
            with (kept.parent / "losses.jsonl").open("a") as file:
                file.write(json.dumps(record) + "\n")
            _log.info("%s", record)
            start, seen, sums = time.perf_counter(), 0, np.zeros(0)


def step_size(step: int, settings: FieldFit) -> float:
    """The step size of a step, from 0.

    Parameters
    ----------
    step : int
        Steps done before it.
    settings : FieldFit
        Of the training.

    Returns
    -------
    float
        Rising, level, falling as the inverse root, and at last annealed: down to zero along a line.
    """
    left = (settings.steady + settings.annealed - step) / max(settings.annealed, 1)
    falling = (FALLS_FROM / max(step, FALLS_FROM)) ** 0.5
    return STEP_SIZE * min((step + 1) / WARM_UP, 1.0) * falling * min(left, 1.0)


class _Training:
    """Weights, their running average and the optimizer, as far as they have come."""

    def __init__(self, settings: FieldFit, traits: dict[str, np.ndarray], threads: int):
        absent = tuple(settings.without)
        weights = {
            name: np.zeros_like(value) if name.startswith(absent) else value
            for name, value in (initial_weights(settings.seed) | traits).items()
        }
        self.network = FieldNetwork(weights, threads)
        self.learned = [name for name in weights if not name.startswith(absent) and name not in traits]
        self.variables = [self.network.weights[name] for name in self.learned]
        self.average = {name: tf.Variable(value) for name, value in weights.items()}
        self.optimizer = keras.optimizers.AdamW(STEP_SIZE, weight_decay=1e-4, beta_2=0.99)
        self.optimizer.build(self.variables)
        self.told = {f"{kind}/{name}" for kind in ("weights", "average") for name in traits}
        self.step = 0
        self.parts = ["clustered", "early", "same", "offset", "radius", "accuracy"]
        self._advance = tf.function(self._one_step, reduce_retracing=True)

    def advance(self, batch: dict[str, Any], rate: Any) -> Any:
        """One step; the parts of its loss, and the accuracy."""
        self.step += 1
        return self._advance(batch, rate)

    def _one_step(self, batch: dict[str, Any], rate: Any) -> Any:
        with tf.GradientTape() as tape:
            said = self.network(batch)
            parts = losses(said, batch)
            loss = tf.add_n(list(parts.values()))
        gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, self.variables), LARGEST_GRADIENT)
        self.optimizer.learning_rate.assign(rate)
        self.optimizer.apply_gradients(zip(gradients, self.variables, strict=True))
        for name, variable in zip(self.learned, self.variables, strict=True):
            self.average[name].assign(AVERAGED * self.average[name] + (1 - AVERAGED) * variable)
        right = tf.equal(said["clustered"] > 0, batch["clustered"] > 0.5)
        return tf.stack([*parts.values(), tf.reduce_mean(tf.cast(right, tf.float32))])

    def _arrays(self) -> dict[str, Any]:
        optimizer = {f"optimizer/{i:03d}": variable for i, variable in enumerate(self.optimizer.variables)}
        weights = {f"weights/{name}": variable for name, variable in self.network.weights.items()}
        return weights | {f"average/{name}": variable for name, variable in self.average.items()} | optimizer

    def keep(self, path: Path) -> None:
        """Write the state, whole or not at all."""
        arrays = {name: np.asarray(variable) for name, variable in self._arrays().items()}

        def write(at: Path) -> None:
            with at.open("wb") as file:
                np.savez(file, allow_pickle=False, step=self.step, **arrays)

        publish(path, write)

    def restore(self, path: Path) -> None:
        """Go back to a state, but for the traits, which may have been learned from more fields since."""
        with np.load(path) as arrays:
            for name, variable in self._arrays().items():
                if name not in self.told:
                    variable.assign(arrays[name])
            self.step = int(arrays["step"])
