"""Fitting a network to its training set, epoch by epoch, resumable after each."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caml_dask.models.networks import import_keras
from caml_dask.models.registry import FitSettings, Network
from caml_dask.models.training_sets import publish

logger = logging.getLogger(__name__)

Arrays = list[NDArray[Any]]


@dataclass(frozen=True)
class _Progress:
    """What a fit needs to go on after an epoch."""

    epoch: int
    best_epoch: int
    best_loss: float
    weights: Arrays
    optimizer: Arrays
    random: Arrays
    best: Arrays

    def save(self, at: Path) -> None:
        stacks = {
            "weights": self.weights,
            "optimizer": self.optimizer,
            "random": self.random,
            "best": self.best,
        }
        named = {f"{stack}/{i:03d}": array for stack, arrays in stacks.items() for i, array in enumerate(arrays)}
        counts = np.array([self.epoch, self.best_epoch])
        publish(at, {"counts": counts, "best_loss": np.array(self.best_loss), **named})

    @classmethod
    def read(cls, at: Path) -> _Progress:
        with np.load(at) as stored:

            def stack(name: str) -> Arrays:
                return [stored[key] for key in sorted(stored.files) if key.startswith(f"{name}/")]

            epoch, best_epoch = stored["counts"].tolist()
            stacks = (stack(name) for name in ("weights", "optimizer", "random", "best"))
            return cls(epoch, best_epoch, float(stored["best_loss"]), *stacks)


def fit(
    entry: Network,
    train: tuple[NDArray[np.float32], NDArray[np.int8]],
    validation: tuple[NDArray[np.float32], NDArray[np.int8]],
    settings: FitSettings,
    checkpoint: Path,
) -> tuple[dict[str, NDArray[np.float32]], int, float]:
    """Fit a network by binary cross-entropy; keep the weights of the epoch of the lowest loss on validation.

    Parameters
    ----------
    entry : the network.
    train, validation : features (n, N) float32 and labels (n,) int8.
    settings : how to fit.
    checkpoint : an .npz that is rewritten after every epoch, and continued from where it is there. The order of samples
        depends on seed and epoch alone, so that a resumed fit sees what an uninterrupted one sees.

    Returns
    -------
    weights by name, the epoch they come from (from 1), and their loss on the validation set.
    """
    model = _compiled(entry, settings, len(train[1]))
    progress = _Progress(0, 0, np.inf, model.get_weights(), [], [], [])
    if checkpoint.exists():
        progress = _Progress.read(checkpoint)
        model.set_weights(progress.weights)
        _assign(model.optimizer.variables, progress.optimizer)
        _assign(_random_states(model), progress.random)
        logger.info("going on after epoch %d", progress.epoch)
    x_validation = validation[0][..., None]
    while progress.epoch < settings.epochs:
        epoch = progress.epoch + 1
        order = np.random.default_rng([settings.seed, epoch]).permutation(len(train[1]))
        loss = model.fit(
            train[0][order][..., None], train[1][order], batch_size=settings.batch, shuffle=False, verbose=0
        ).history["loss"][0]
        validation_loss = model.evaluate(x_validation, validation[1], batch_size=8_192, verbose=0)
        logger.info("epoch %d of %d: loss %.5f, validation %.5f", epoch, settings.epochs, loss, validation_loss)
        progress = replace(
            progress,
            epoch=epoch,
            weights=model.get_weights(),
            optimizer=[np.asarray(variable) for variable in model.optimizer.variables],
            random=[np.asarray(variable) for variable in _random_states(model)],
        )
        if validation_loss < progress.best_loss:
            progress = replace(progress, best=progress.weights, best_epoch=epoch, best_loss=validation_loss)
        progress.save(checkpoint)
    names = [name for name, _ in entry.shapes]
    return dict(zip(names, progress.best, strict=True)), progress.best_epoch, progress.best_loss


def _random_states(model: Any) -> list[Any]:
    """The variables that decide what dropout drops next."""
    weights = {id(variable) for variable in model.weights}
    return [variable for layer in model.layers for variable in layer.variables if id(variable) not in weights]


def _assign(variables: list[Any], values: Arrays) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _compiled(entry: Network, settings: FitSettings, n_train: int) -> Any:
    """The untrained Keras model with its optimizer."""
    keras = import_keras()
    keras.utils.set_random_seed(settings.seed)
    updates = settings.epochs * -(-n_train // settings.batch)
    schedule = keras.optimizers.schedules.CosineDecay(settings.learning_rate, updates, alpha=0.01)
    model = entry.build()
    model.compile(keras.optimizers.Adam(schedule), "binary_crossentropy")
    model.optimizer.build(model.trainable_variables)
    return model
