"""From neighbor distances to scores and labels, with the weights that ship with the package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caml_dask.networks.cards import card
from caml_dask.networks.registry import NetworkSpec, spec_named
from caml_dask.networks.weights import load_weights
from caml_dask.schema import CLUSTERED, NON_CLUSTERED

THRESHOLD = 0.5


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A network with its weights. Scoring needs neither Keras nor TensorFlow.

    Parameters
    ----------
    spec : the registry's entry.
    weights_sha256 : digest of the weights' file, as its card pins it.
    weights : name to array.
    card : what is known of it (`cards.card`).
    """

    spec: NetworkSpec
    weights_sha256: str
    weights: Mapping[str, NDArray[np.float32]] = field(repr=False)
    card: Mapping[str, Any] = field(repr=False)

    @property
    def name(self) -> str:
        """Name of the network."""
        return self.spec.name

    @property
    def n_neighbors(self) -> int:
        """Neighbors in its input window, N."""
        return self.spec.n_neighbors

    @property
    def dimensions(self) -> int:
        """Dimensions of the coordinates it was trained on."""
        return self.spec.dimensions

    @property
    def score_columns(self) -> tuple[str, ...]:
        """Names of the scores."""
        return self.spec.score_columns

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of `label`."""
        return self.spec.classes

    @property
    def trained_on(self) -> Mapping[str, tuple[float, float]]:
        """Lowest and highest points_per_cluster, percent_clustered and contrast it was trained on."""
        return {name: (low, high) for name, (low, high) in self.card["trained_on"].items()}

    @property
    def csr_percent(self) -> tuple[float, ...]:
        """Percent of localizations it labels clustered in simulated fields without clusters, of several densities."""
        return tuple(self.card["results"]["csr_percent_called_clustered_by_density_per_um2"].values())

    def scores(self, distances: NDArray[np.float32], threads: int = 1) -> NDArray[np.float32]:
        """Scores of each localization, from its distances alone: to the bit, whatever the batch, its order or threads.

        Parameters
        ----------
        distances : (n, N) float32
            Ascending distances to the N nearest neighbors, in any unit.
        threads : that share the rows.

        Returns
        -------
        (n, c) float32, 0 to 1, in the order of `score_columns`

        Raises
        ------
        InputError : distances of another shape or type, or a row that is not finite, non-negative and ascending.
        """
        return self.spec.score(self.weights, distances, threads=threads)

    def labels(self, scores: NDArray[np.float32]) -> NDArray[np.int8]:
        """Classes of `scores`, (n, c) float32: (n,) int8."""
        return labels_of(scores)


def labels_of(scores: NDArray[np.float32]) -> NDArray[np.int8]:
    """Classes of scores: of one, (n, 1), clustered above 0.5 (Williamson et al. 2020); of several, (n, c), the highest.

    Returns
    -------
    (n,) int8; of equal highest scores the first counts, so that non-clustered comes before clustered.
    """
    if scores.shape[1] == 1:
        return np.where(scores[:, 0] > THRESHOLD, CLUSTERED, NON_CLUSTERED).astype(np.int8)
    return scores.argmax(axis=1).astype(np.int8)


@cache
def load(name: str) -> TrainedNetwork:
    """The network `name`, read once per process.

    Raises
    ------
    UsageError : no such network; the message lists those there are.
    WeightsError : weights that are not the ones its card pins.
    """
    about = card(name)
    return TrainedNetwork(spec_named(name), about["weights_sha256"], load_weights(name), about)
