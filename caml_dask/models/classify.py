"""From neighbor distances to scores and labels, with the weights that ship with the package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from caml_dask.models.cards import card
from caml_dask.models.registry import Network, network
from caml_dask.models.weights import load_weights
from caml_dask.schema import CLUSTERED, NON_CLUSTERED

THRESHOLD = 0.5
SCORE_COLUMNS = {2: ("p_clustered",), 3: ("p_non", "p_round", "p_fiber")}
"""Columns of the points by the number of classes."""


@dataclass(frozen=True, eq=False)
class Classifier:
    """A network with its weights. Scoring needs neither Keras nor TensorFlow.

    Parameters
    ----------
    entry : the registry's entry.
    weights_sha256 : digest of the weights' file, as its card pins it.
    weights : name to array.
    """

    entry: Network
    weights_sha256: str
    weights: Mapping[str, NDArray[np.float32]] = field(repr=False)

    @property
    def name(self) -> str:
        """Name of the network."""
        return self.entry.name

    @property
    def n_neighbors(self) -> int:
        """Neighbors in its input window, N."""
        return self.entry.n_neighbors

    @property
    def dimensions(self) -> int:
        """Dimensions of the coordinates it was trained on."""
        return self.entry.dimensions

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of `label`."""
        return self.entry.classes

    @property
    def score_columns(self) -> tuple[str, ...]:
        """Names of its scores: p_clustered where there are two classes, one for each of three."""
        return SCORE_COLUMNS[len(self.classes)]

    def scores(self, distances: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores of each localization, from its distances alone: to the bit, whatever the batch or its order.

        Parameters
        ----------
        distances : (n, N) float32
            Ascending distances to the N nearest neighbors, in any unit.

        Returns
        -------
        (n, c) float32, 0 to 1, in the order of `score_columns`

        Raises
        ------
        InputError : distances of another shape or type, or a row that is not finite, non-negative and ascending.
        """
        scores = self.entry.score(self.weights, distances)
        return scores.reshape(len(scores), len(self.score_columns))

    def labels(self, scores: NDArray[np.float32]) -> NDArray[np.int8]:
        """Classes of `scores`, (n, c) float32: (n,) int8.

        Of two classes clustered is what scores above 0.5 (Williamson et al. 2020); of three the highest score counts,
        and of equal ones the first.
        """
        if scores.shape[1] > 1:
            return scores.argmax(axis=1).astype(np.int8)
        return np.where(scores[:, 0] > THRESHOLD, CLUSTERED, NON_CLUSTERED).astype(np.int8)


@cache
def load(name: str) -> Classifier:
    """The classifier `name`, read once per process.

    Raises
    ------
    UsageError : no such network; the message lists those there are.
    WeightsError : weights that are not the ones its card pins.
    """
    return Classifier(network(name), card(name)["weights_sha256"], load_weights(name))
