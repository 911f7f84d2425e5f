"""Regions of interest in GeoJSON, with coordinates in nm."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import shapely
import shapely.geometry

from caml_dask.errors import InputError
from caml_dask.io.rois.roi import Roi


def read_geojson(path: Path, content: bytes) -> list[Roi]:
    """The polygons of a GeoJSON file, a region each feature.

    Parameters
    ----------
    path : Path
        The file, for the errors.
    content : bytes
        What it holds.

    Returns
    -------
    list of Roi
        Regions in nm, named by the property `name`, by their id, or by number.

    Raises
    ------
    InputError
        It is no GeoJSON, or a geometry is no polygon.
    """
    try:
        found = json.loads(content.decode("utf-8-sig"))
        rois = []
        for number, (feature, geometry) in enumerate(_geometries(found)):
            if not isinstance(geometry, dict) or geometry.get("type") not in ("Polygon", "MultiPolygon"):
                kind = geometry.get("type") if isinstance(geometry, dict) else geometry
                raise InputError(f"its geometry {number} is a {kind}; a region is a Polygon or MultiPolygon", path)
            one = geometry["type"] == "Polygon"
            parts = [geometry["coordinates"]] if one else geometry["coordinates"]
            polygons = [shapely.Polygon(_ring(p[0]), [_ring(hole) for hole in p[1:]]) for p in parts]
            shape = polygons[0] if one else shapely.union_all([shapely.make_valid(p) for p in polygons])
            rois.append(Roi(_name(feature, number), shape))
    except InputError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, shapely.errors.ShapelyError) as error:
        raise InputError(f"is no GeoJSON of polygons ({error}): write it again, in nm", path) from None
    return rois


def geojson_of(rois: Sequence[Roi]) -> str:
    """Regions as GeoJSON, with every digit, as :func:`read_geojson` takes them back.

    Parameters
    ----------
    rois : sequence of Roi
        The regions.

    Returns
    -------
    str
        A FeatureCollection with coordinates in nm and the properties region_id, name and area_um2.
    """
    features = [
        {
            "type": "Feature",
            "properties": {"region_id": number, "name": roi.name, "area_um2": roi.area_um2},
            "geometry": shapely.geometry.mapping(roi.shape),
        }
        for number, roi in enumerate(rois)
    ]
    return json.dumps({"type": "FeatureCollection", "features": features})


def _geometries(found: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    """Each feature with its geometry."""
    kind = found["type"]
    if kind == "FeatureCollection":
        for feature in found["features"]:
            yield feature, feature["geometry"]
    elif kind == "Feature":
        yield found, found["geometry"]
    elif kind == "GeometryCollection":
        for geometry in found["geometries"]:
            yield {}, geometry
    else:
        yield {}, found


def _ring(corners: Any) -> list[tuple[float, float]]:
    ring = [(float(x), float(y)) for x, y, *_ in corners]
    if len(ring) < 4 or ring[0] != ring[-1]:
        raise ValueError("a ring has four places or more, the last of which is the first")
    if not all(math.isfinite(value) for place in ring for value in place):
        raise ValueError("a coordinate is not finite")
    return ring


def _name(feature: dict[str, Any], number: int) -> str:
    properties = feature.get("properties")
    named = properties.get("name") if isinstance(properties, dict) else None
    return str(named if named is not None else feature.get("id", f"region {number}"))
