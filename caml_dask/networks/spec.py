"""What a network of windows is: its architecture, its input, what it is trained on and how it is fitted."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from caml_dask.errors import UsageError
from caml_dask.networks.inference.features import norm_self
from caml_dask.networks.inference.scoring import Score
from caml_dask.networks.layers import Shapes
from caml_dask.settings import NETWORK_ALIASES
from caml_dask.simulate import GRIDS, AnyScenario

if TYPE_CHECKING:
    import keras

Array = NDArray[np.float32]
TWO_CLASSES = ("non-clustered", "clustered")
THREE_CLASSES = ("non-clustered", "round", "fiber")
CLASSES = (TWO_CLASSES, THREE_CLASSES)
INPUT_FORMS = ("norm-self", "relative-xy")
SUBSETS = ("all", "small", "large")
_HEADER_BYTES = 1 << 16  # of a safetensors file; that of the largest network takes 2 kB
SMALL_CLUSTERS = 40
"""Points of the largest of the small clusters, for training on small or on large ones alone."""


@dataclass(frozen=True)
class FitSettings:
    """How a network is fitted.

    Parameters
    ----------
    epochs : int
        Passes over the training set.
    batch : int
        Samples an update.
    learning_rate : float
        Learning rate of Adam at the first update; it falls to 1 % of it along a cosine.
    seed : int
        Seed of the initial weights and of the order of samples.
    """

    epochs: int
    batch: int
    learning_rate: float
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1 or not self.learning_rate > 0:
            raise UsageError(f"{self}: give at least one epoch, one sample a batch and a positive learning rate")


@dataclass(frozen=True)
class NetworkSpec:
    """An architecture, how to score with it, and what it is trained on.

    Parameters
    ----------
    name : str
        As published by Williamson et al. 2020; of a network of one's own, as it was trained.
    kind : str
        Its architecture, a key of `KINDS`.
    n_neighbors : int
        Neighbors in its input window, N.
    dimensions : int
        2 or 3, of the coordinates it was trained on.
    classes : tuple of str
        Names of the classes, in the order of `label`.
    grid : str
        The grid of scenarios it is trained on (`simulate.GRIDS`).
    shapes : tuple of (str, tuple of int)
        Name and shape of each weight array, in Keras' order.
    build : callable
        Makes the untrained Keras model.
    score : Score
        From weights and windows to scores.
    settings : FitSettings
        How it is fitted unless asked otherwise.
    architecture : str
        Its layers, and what of the published ones was left out, for the card.
    holds, fails : str
        What it is for and what it is not for, as users are told.
    relative_xy : bool
        Whether a window is the neighbors' relative positions, (n, N, 2), in place of their distances, (n, N).
    clusters : str
        "all", or "small" (up to 40 points) or "large" (more) where only such scenarios of the grid are used.
    """

    name: str
    kind: str
    n_neighbors: int
    dimensions: int
    classes: tuple[str, ...]
    grid: str
    shapes: Shapes
    build: Callable[[], keras.Model]
    score: Score
    settings: FitSettings
    architecture: str
    holds: str
    fails: str
    relative_xy: bool = False
    clusters: str = "all"

    @property
    def alias(self) -> str:
        """The readable name of a network that ships with the package; that of another is its name."""
        return NETWORK_ALIASES.get(self.name, self.name)

    @property
    def input_form(self) -> str:
        """How windows become the network's input."""
        return INPUT_FORMS[self.relative_xy]

    @property
    def most_bytes(self) -> int:
        """Size that a file of its weights cannot exceed."""
        return sum(4 * math.prod(shape) for _, shape in self.shapes) + _HEADER_BYTES

    @property
    def score_columns(self) -> tuple[str, ...]:
        """Names of the scores."""
        return ("p_clustered",) if len(self.classes) == 2 else ("p_non", "p_round", "p_fiber")

    def inputs(self, windows: Array) -> Array:
        """The network's input, (n, N, 1 or 2), from windows of neighbors.

        Parameters
        ----------
        windows : (n, N) or (n, N, 2) float32
            Windows of neighbors: distances in nm, or relative positions.

        Returns
        -------
        (n, N, 1 or 2) float32
            Differences of the distances, scaled for each row; or the relative positions as they are.
        """
        return windows if self.relative_xy else norm_self(windows)[..., None]

    def scenarios(self) -> tuple[AnyScenario, ...]:
        """What it is trained on.

        Returns
        -------
        tuple of Scenario
            The scenarios of its grid, or those with small or large clusters alone.
        """
        found = GRIDS[self.grid]()
        if self.clusters == "all":
            return found
        small = self.clusters == "small"
        return tuple(s for s in found if (s.points_per_cluster <= SMALL_CLUSTERS) == small)
