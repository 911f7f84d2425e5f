"""Outlines as regions of interest of ImageJ, on the pixels of the OME-TIFF picture of the same pixel size."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from caml_dask.io.exporters.exporter import Exportable, Exporter, Options, Writes
from caml_dask.io.exporters.grid import Grid
from caml_dask.io.exporters.outlined import outlined_clusters

_ENDING = "_rois.zip"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same results give the same bytes
_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0


def _plan(image: Exportable, options: Options) -> Mapping[str, Writes]:
    grid = Grid.of(image, options)
    return {_ENDING: lambda path: _write(image, grid, path)}


def _write(image: Exportable, grid: Grid, path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for clusters, outlines in outlined_clusters(image):
            shapes = shapely.from_wkb(outlines.to_numpy(zero_copy_only=False))
            for cluster_id, shape in zip(clusters["cluster_id"].to_pylist(), shapes, strict=True):
                if shape is not None:
                    entry = zipfile.ZipInfo(f"{cluster_id}.roi", _EPOCH)
                    entry.compress_type = zipfile.ZIP_DEFLATED
                    archive.writestr(entry, _region(shape, grid, str(cluster_id)).tobytes())


def _region(shape: Any, grid: Grid, name: str) -> Any:
    """A region of ImageJ; one with holes or parts is a composite of all its rings."""
    from roifile import ImagejRoi

    rings = [grid.in_pixels(shapely.get_coordinates(ring)) for ring in shapely.get_rings(shapely.get_parts(shape))]
    region = ImagejRoi.frompoints(np.concatenate([ring[:-1] for ring in rings]), name=name)
    if len(rings) > 1:
        _make_composite(region, rings)
    return region


def _make_composite(region: Any, rings: list[npt.NDArray[np.float64]]) -> None:
    from roifile import ROI_TYPE, ImagejRoi

    steps = []
    for ring in rings:
        steps.append([_MOVE, *ring[0]])
        steps += [[_LINE, *point] for point in ring[1:-1]]
        steps.append([_CLOSE])
    path = np.concatenate([np.array(step, np.float32) for step in steps])
    region.roitype, region.n_coordinates = ROI_TYPE.RECT, 0
    region.integer_coordinates = region.subpixel_coordinates = None
    region.options = ImagejRoi().options
    region.multi_coordinates, region.shape_roi_size = path, len(path)


EXPORTER = Exporter(
    name="imagej",
    title="ImageJ regions",
    endings=(_ENDING,),
    writes="a region for each cluster that spans an area, named by its `cluster_id`; holes and parts are kept",
    units="pixels of the OME-TIFF picture of the same pixel size, in 32 bits",
    opens="ImageJ, Fiji: open the picture, then the file; the ROI Manager lists the regions",
    plan=_plan,
    extra="export",
    pixels="side of a pixel; that of the OME-TIFF picture",
)
