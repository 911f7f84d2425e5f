"""The formats that are written, and what is said of them."""

from __future__ import annotations

from caml_dask.errors import UsageError
from caml_dask.io.exporters import (
    clusters_csv,
    clusters_xlsx,
    geojson,
    geopackage,
    imagej,
    ome_tiff,
    ome_zarr,
    picasso,
    points_csv,
    thunderstorm,
)
from caml_dask.io.exporters.exporter import Exporter

EXPORTERS: tuple[Exporter, ...] = (
    points_csv.EXPORTER,
    thunderstorm.EXPORTER,
    picasso.EXPORTER,
    clusters_csv.EXPORTER,
    clusters_xlsx.EXPORTER,
    geojson.EXPORTER,
    geopackage.EXPORTER,
    imagej.EXPORTER,
    ome_tiff.EXPORTER,
    ome_zarr.EXPORTER,
)


def exporter_named(name: str) -> Exporter:
    """A format by its name.

    Raises
    ------
    UsageError : there is none of this name.
    """
    for exporter in EXPORTERS:
        if exporter.name == name.lower():
            return exporter
    raise UsageError(f"no format {name!r}: use one of {', '.join(exporter.name for exporter in EXPORTERS)}")
