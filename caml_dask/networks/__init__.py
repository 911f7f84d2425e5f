"""Networks that tell clustered from non-clustered localizations: their registry, weights, scoring and training."""

from __future__ import annotations

from caml_dask.networks.cards import card, read_card
from caml_dask.networks.registry import NETWORKS, spec_named
from caml_dask.networks.spec import NetworkSpec
from caml_dask.networks.trained import AnyNetwork, TrainedNetwork, load, load_of_windows
from caml_dask.networks.weights import load_weights

__all__ = [
    "NETWORKS",
    "AnyNetwork",
    "NetworkSpec",
    "TrainedNetwork",
    "card",
    "load",
    "load_of_windows",
    "load_weights",
    "read_card",
    "spec_named",
]
