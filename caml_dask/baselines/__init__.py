"""Rival methods that cannot run in the place of a network; those that can are in :mod:`caml_dask.methods`.

Each has a frozen dataclass of settings, with units in the names of its fields, and a function
``labels = method(xy_nm, settings)`` from (n, 2) float64 in nm to (n,) int64: clusters from 0 in the order of their
first localizations, -1 for noise.
"""

from __future__ import annotations

from caml_dask.baselines.bayesian import Bayesian, BayesianResult, bayesian, bayesian_search

__all__ = ["Bayesian", "BayesianResult", "bayesian", "bayesian_search"]
