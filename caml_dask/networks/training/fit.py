"""Fitting a network to its training set, epoch by epoch, resumable after each."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from caml_dask.atomic import publish
from caml_dask.networks.spec import FitSettings, NetworkSpec
from caml_dask.networks.training.keras import import_keras

logger = logging.getLogger(__name__)

Arrays = list[NDArray[Any]]


class LabelledInputs(NamedTuple):
    """What a network is fitted to: inputs (n, N, 1 or 2) float32 and labels (n,) int8."""

    inputs: NDArray[np.float32]
    labels: NDArray[np.int8]


class Fitted(NamedTuple):
    """Weights by name, the epoch they come from (from 1), and (epochs, 2) losses on training set and validation set."""

    weights: dict[str, NDArray[np.float32]]
    epoch: int
    losses: NDArray[np.float64]

    @property
    def loss(self) -> float:
        """Of the kept epoch, on the validation set."""
        return float(self.losses[self.epoch - 1, 1])


@dataclass(frozen=True)
class _Progress:
    """What a fit needs to go on after an epoch."""

    best_epoch: int
    losses: NDArray[np.float64]
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
        save_arrays(at, {"best_epoch": np.array(self.best_epoch), "losses": self.losses, **named})

    @classmethod
    def read(cls, at: Path) -> _Progress:
        with np.load(at) as stored:

            def stack(name: str) -> Arrays:
                return [stored[key] for key in sorted(stored.files) if key.startswith(f"{name}/")]

            stacks = (stack(name) for name in ("weights", "optimizer", "random", "best"))
            return cls(int(stored["best_epoch"]), stored["losses"], *stacks)


def save_arrays(at: Path, arrays: dict[str, Any]) -> None:
    """Publish an .npz file.

    Parameters
    ----------
    at : Path
        Where the file goes.
    arrays : mapping of str to ndarray
        Arrays by name.
    """
    publish(at, lambda working: _savez(working, arrays))


def _savez(path: Path, arrays: dict[str, Any]) -> None:
    with path.open("wb") as stream:  # savez would add an ending to a name
        np.savez(stream, **arrays)


def fit(
    entry: NetworkSpec, train: LabelledInputs, validation: LabelledInputs, settings: FitSettings, checkpoint: Path
) -> Fitted:
    """Fit a network by cross-entropy; keep the weights of the epoch of the lowest loss on validation.

    Parameters
    ----------
    entry : NetworkSpec
        The network.
    train, validation : LabelledInputs
        What to fit, and what decides which epoch is kept.
    settings : FitSettings
        How to fit.
    checkpoint : Path
        An .npz that is rewritten after every epoch, and continued from where it is there. The order of samples depends
        on seed and epoch alone, so that a resumed fit sees what an uninterrupted one sees.

    Returns
    -------
    Fitted
        Weights, epoch and losses of the best epoch.
    """
    model = _compiled(entry, settings, len(train.labels))
    progress = _Progress(0, np.empty((0, 2)), model.get_weights(), [], [], [])
    if checkpoint.exists():
        progress = _Progress.read(checkpoint)
        model.set_weights(progress.weights)
        _assign(model.optimizer.variables, progress.optimizer)
        _assign(_random_states(model), progress.random)
        logger.info("%s: going on after epoch %d", entry.name, len(progress.losses))
    while (epoch := len(progress.losses) + 1) <= settings.epochs:
        order = np.random.default_rng([settings.seed, epoch]).permutation(len(train.labels))
        batches = _batches(train, order, settings.batch)
        loss = model.fit(batches, shuffle=False, verbose=0).history["loss"][0]
        validation_loss = model.evaluate(*validation, batch_size=2_048, verbose=0)
        losses = np.concatenate([progress.losses, [[loss, validation_loss]]])
        logger.info("%s: epoch %d of %d: loss %.5f, validation %.5f", entry.name, epoch, settings.epochs, *losses[-1])
        progress = replace(
            progress,
            losses=losses,
            weights=model.get_weights(),
            optimizer=[np.asarray(variable) for variable in model.optimizer.variables],
            random=[np.asarray(variable) for variable in _random_states(model)],
        )
        if losses[:, 1].argmin() == epoch - 1:
            progress = replace(progress, best=progress.weights, best_epoch=epoch)
        progress.save(checkpoint)
    names = [name for name, _ in entry.shapes]
    return Fitted(dict(zip(names, progress.best, strict=True)), progress.best_epoch, progress.losses)


def _batches(samples: LabelledInputs, order: NDArray[np.int64], batch: int) -> Any:
    """The samples in an order, a batch at a time: a shuffled copy of the whole set would double its memory."""
    keras = import_keras()

    class Batches(keras.utils.PyDataset):  # type: ignore[name-defined]
        def __len__(self) -> int:
            return -(-len(order) // batch)

        def __getitem__(self, i: int) -> LabelledInputs:
            rows = order[i * batch : (i + 1) * batch]
            return LabelledInputs(samples.inputs[rows], samples.labels[rows])

    return Batches()


def _random_states(model: Any) -> list[Any]:
    """The variables that decide what dropout drops next."""
    weights = {id(variable) for variable in model.weights}
    return [variable for layer in model.layers for variable in layer.variables if id(variable) not in weights]


def _assign(variables: list[Any], values: Arrays) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _compiled(entry: NetworkSpec, settings: FitSettings, n_train: int) -> Any:
    """The untrained Keras model with its optimizer."""
    keras = import_keras()
    keras.utils.set_random_seed(settings.seed)
    updates = settings.epochs * -(-n_train // settings.batch)
    schedule = keras.optimizers.schedules.CosineDecay(settings.learning_rate, updates, alpha=0.01)
    model = entry.build()
    loss = "binary_crossentropy" if len(entry.classes) == 2 else "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(schedule), loss)
    model.optimizer.build(model.trainable_variables)
    return model
