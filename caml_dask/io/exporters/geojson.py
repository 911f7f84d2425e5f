"""Outlines as GeoJSON in nm, the measures of each cluster beside it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import shapely

from caml_dask.io.exporters.exporter import Exportable, Exporter, Options, Writes
from caml_dask.io.exporters.outlined import outlined_clusters

_ENDING = "_outlines.geojson"


def _plan(image: Exportable, options: Options) -> Mapping[str, Writes]:
    return {_ENDING: lambda path: _write(image, path)}


def _write(image: Exportable, path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        # As of 2008, null means a plane of no place on Earth. RFC 7946 knows longitude and latitude only.
        about = {"type": "FeatureCollection", "name": image.image_id, "crs": None, "about": dict(image.provenance)}
        file.write(json.dumps(about)[:-1] + ', "features": [')
        between = "\n"
        for clusters, outlines in outlined_clusters(image):
            shapes = shapely.to_geojson(shapely.from_wkb(outlines.to_numpy(zero_copy_only=False)))
            for measures, shape in zip(clusters.to_pylist(), shapes, strict=True):
                properties = json.dumps({name: _plain(value) for name, value in measures.items()})
                file.write(
                    f'{between}{{"type": "Feature", "id": {measures["cluster_id"]}, "geometry": {shape or "null"}, '
                    f'"properties": {properties}}}'
                )
                between = ",\n"
        file.write("\n]}\n")


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


EXPORTER = Exporter(
    name="geojson",
    title="GeoJSON of outlines",
    endings=(_ENDING,),
    writes="a polygon for each cluster, null where it spans no area, with all columns of `clusters.parquet`",
    units="nm",
    opens="QGIS, geopandas; these take any GeoJSON for longitude and latitude: remove the coordinate reference system, "
    "or use `geopackage`",
    plan=_plan,
)
