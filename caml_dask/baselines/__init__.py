"""Other methods of cluster analysis, for comparison with CAML: one file a method.

Each has a frozen dataclass of settings, with units in the names of its fields, and a function
``labels = method(xy_nm, settings)`` from (n, 2) float64 in nm to (n,) int64: clusters from 0 in the order of their
first localizations, -1 for noise.
"""

from __future__ import annotations

from caml_dask.baselines.bayesian import Bayesian, BayesianResult, bayesian, bayesian_search
from caml_dask.baselines.dbscan import DBSCAN, dbscan
from caml_dask.baselines.getis_franklin import GetisFranklin, getis_franklin, local_l_nm
from caml_dask.baselines.hdbscan import HDBSCAN, hdbscan
from caml_dask.baselines.sr_tesseler import SRTesseler, sr_tesseler
from caml_dask.baselines.tomato import ToMATo, tomato

__all__ = [
    "DBSCAN",
    "HDBSCAN",
    "Bayesian",
    "BayesianResult",
    "GetisFranklin",
    "SRTesseler",
    "ToMATo",
    "bayesian",
    "bayesian_search",
    "dbscan",
    "getis_franklin",
    "hdbscan",
    "local_l_nm",
    "sr_tesseler",
    "tomato",
]
