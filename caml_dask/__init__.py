"""caml_dask: cluster analysis of single-molecule localizations by CAML, at any size.

The face of the package; everything behind it is loaded when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from caml_dask.api import CAML, analyze
    from caml_dask.blinking.merge import merge_detections
    from caml_dask.channels.colocalization import Colocalization
    from caml_dask.channels.colocalize import colocalize
    from caml_dask.describing.describe import Description, describe
    from caml_dask.following.follow import Following, follow
    from caml_dask.io.readers.sources import read_localizations
    from caml_dask.methods import DBSCAN, HDBSCAN, DominantSets, GetisFranklin, ToMATo, Voronoi
    from caml_dask.results.analysis import Analysis
    from caml_dask.results.image import ImageResult
    from caml_dask.results.run import RunResult, open_run

__version__ = "0.2.0"
__all__ = [
    "CAML",
    "DBSCAN",
    "HDBSCAN",
    "Analysis",
    "Colocalization",
    "Description",
    "DominantSets",
    "Following",
    "GetisFranklin",
    "ImageResult",
    "RunResult",
    "ToMATo",
    "Voronoi",
    "__version__",
    "analyze",
    "colocalize",
    "describe",
    "follow",
    "merge_detections",
    "open_run",
    "read_localizations",
]

_HOME = {
    "CAML": "caml_dask.api",
    "Analysis": "caml_dask.results.analysis",
    "DBSCAN": "caml_dask.methods",
    "DominantSets": "caml_dask.methods",
    "GetisFranklin": "caml_dask.methods",
    "HDBSCAN": "caml_dask.methods",
    "ToMATo": "caml_dask.methods",
    "Voronoi": "caml_dask.methods",
    "Colocalization": "caml_dask.channels.colocalization",
    "Description": "caml_dask.describing.describe",
    "Following": "caml_dask.following.follow",
    "ImageResult": "caml_dask.results.image",
    "RunResult": "caml_dask.results.run",
    "analyze": "caml_dask.api",
    "colocalize": "caml_dask.channels.colocalize",
    "describe": "caml_dask.describing.describe",
    "follow": "caml_dask.following.follow",
    "merge_detections": "caml_dask.blinking.merge",
    "open_run": "caml_dask.results.run",
    "read_localizations": "caml_dask.io.readers.sources",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
