"""Networks that tell clustered from non-clustered localizations: their registry, weights, scoring and training."""

from __future__ import annotations

from caml_dask.models.cards import card
from caml_dask.models.classify import Classifier, load
from caml_dask.models.registry import NETWORKS, Network, network
from caml_dask.models.weights import load_weights

__all__ = ["NETWORKS", "Classifier", "Network", "card", "load", "load_weights", "network"]
