"""Methods that find clusters in place of a network: each with its parameters, frozen, with units in their names."""

from __future__ import annotations

from caml_dask.methods.dbscan import DBSCAN
from caml_dask.methods.dominant_sets import DominantSets
from caml_dask.methods.getis_franklin import GetisFranklin
from caml_dask.methods.hdbscan import HDBSCAN
from caml_dask.methods.method import AUTO, Method, as_text
from caml_dask.methods.registry import METHODS, PARAMETERS, method_as_kept, method_of, option_of, required
from caml_dask.methods.tomato import ToMATo
from caml_dask.methods.voronoi import Voronoi

__all__ = [
    "AUTO",
    "DBSCAN",
    "HDBSCAN",
    "METHODS",
    "PARAMETERS",
    "DominantSets",
    "GetisFranklin",
    "Method",
    "ToMATo",
    "Voronoi",
    "as_text",
    "method_as_kept",
    "method_of",
    "option_of",
    "required",
]
