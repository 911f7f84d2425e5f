"""From neighbor distances to scores and labels, with weights that ship with the package or were trained by its user."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caml_dask.errors import UsageError
from caml_dask.methods import Method
from caml_dask.networks.cards import Card, read_card
from caml_dask.networks.field.trained import TrainedFieldNetwork, is_field_network, load_field_network
from caml_dask.networks.spec import NetworkSpec
from caml_dask.networks.weights import load_weights
from caml_dask.schema import CLUSTERED, NON_CLUSTERED
from caml_dask.settings import Settings, network_named

THRESHOLD = 0.5


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A network with its weights. Scoring needs neither Keras nor TensorFlow.

    Parameters
    ----------
    spec : NetworkSpec
        The registry's entry, or what its card describes.
    weights_sha256 : str
        Digest of the weights' file, as its card pins it.
    weights : mapping
        Name to array.
    card : mapping
        What is known of it (`cards.card`).
    card_sha256 : str or None
        Digest of its card's file; None for a network that ships with the package.
    """

    spec: NetworkSpec
    weights_sha256: str
    weights: Mapping[str, NDArray[np.float32]] = field(repr=False)
    card: Mapping[str, Any] = field(repr=False)
    card_sha256: str | None = None

    @property
    def identity(self) -> dict[str, str]:
        """Name and digests: what a manifest says of it, and what tells its results from another's."""
        own = {} if self.card_sha256 is None else {"card_sha256": self.card_sha256}
        return {"name": self.name, "weights_sha256": self.weights_sha256, **own}

    @property
    def name(self) -> str:
        """Name of the network."""
        return self.spec.name

    @property
    def n_neighbors(self) -> int:
        """Neighbors in its input window, N."""
        return self.spec.n_neighbors

    @property
    def least_localizations(self) -> int:
        """Localizations that an image needs: one more than the neighbors in a window."""
        return self.n_neighbors + 1

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
        threads : int
            Threads that share the rows.

        Returns
        -------
        (n, c) float32, 0 to 1, in the order of `score_columns`

        Raises
        ------
        InputError
            Distances of another shape or type, or a row that is not finite, non-negative and ascending.
        """
        return self.spec.score(self.weights, distances, threads=threads)

    def labels(self, scores: NDArray[np.float32]) -> NDArray[np.int8]:
        """Classes of `scores`, (n, c) float32: (n,) int8.

        Parameters
        ----------
        scores : (n, c) float32
            Scores, 0 to 1: c is 1 for two classes, and the number of classes otherwise.

        Returns
        -------
        (n,) int8
            Classes, by their place in `classes`.
        """
        return labels_of(scores)


AnyNetwork = TrainedNetwork | TrainedFieldNetwork
"""A network that can be run."""


def labels_of(scores: NDArray[np.float32]) -> NDArray[np.int8]:
    """Classes of scores: of one, (n, 1), clustered above 0.5 (Williamson et al. 2020); of several, (n, c), the highest.

    Parameters
    ----------
    scores : (n, c) float32
        Scores, 0 to 1: c is 1 for two classes, and the number of classes otherwise.

    Returns
    -------
    (n,) int8
        Classes by their place. Of equal highest scores the first counts: non-clustered comes before clustered.
    """
    if scores.shape[1] == 1:
        return np.where(scores[:, 0] > THRESHOLD, CLUSTERED, NON_CLUSTERED).astype(np.int8)
    return scores.argmax(axis=1).astype(np.int8)


def load(network: str | os.PathLike[str]) -> AnyNetwork:
    """A network with its weights, of windows or of fields; errors as of :func:`load_of_windows`.

    Parameters
    ----------
    network : str or path-like
        A name, or the folder or card of a network of one's own (:func:`caml_dask.networks.cards.read_card`).

    Returns
    -------
    TrainedNetwork or TrainedFieldNetwork
        The network with its weights.
    """
    name = network_named(network)
    return load_field_network(name) if is_field_network(name) else load_of_windows(name)


def load_for(settings: Settings) -> AnyNetwork | Method:
    """The network of settings, which it can fulfil, or their method.

    Errors are those of :func:`load_of_windows`, and UsageError for what the network cannot fulfil.
    """
    if settings.method is not None:
        return settings.method
    network = load(settings.finder)
    if settings.save_features and isinstance(network, TrainedFieldNetwork):
        raise UsageError(
            f"save_features: {network.name} sees no window whose distances could be stored; leave it out, or take a"
            " network of windows, such as XPILJZ"
        )
    return network


def load_of_windows(network: str | os.PathLike[str]) -> TrainedNetwork:
    """A network of windows with its weights; read once per process, and again when its card has changed.

    Parameters
    ----------
    network : str or path-like
        A name, or the folder or card of a network of one's own (:func:`caml_dask.networks.cards.read_card`).

    Returns
    -------
    TrainedNetwork
        The network with its weights.

    Raises
    ------
    UsageError
        No such network, or one that reads positions in place of distances: a run has no windows for it.
    WeightsError
        A card that cannot be used, or weights that are not the ones it pins.
    """
    return _trained(read_card(network))


@lru_cache(maxsize=16)
def _trained(found: Card) -> TrainedNetwork:
    if found.spec.relative_xy:
        raise UsageError(
            f"{found.spec.name} reads the positions of neighbors, and a run gives a network their distances: it can be "
            "trained and compared (benchmarks/variants.py), not run; train it without --relative-xy"
        )
    digest = None if found.place.ships else found.sha256
    return TrainedNetwork(found.spec, found.about["weights_sha256"], load_weights(found), found.about, digest)
