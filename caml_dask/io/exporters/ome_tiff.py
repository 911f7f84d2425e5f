"""A picture of the localizations as OME-TIFF: how many are in each pixel, a channel for each class."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from caml_dask.io.exporters.channels import COLUMNS, channels_of, counted
from caml_dask.io.exporters.exporter import Exportable, Exporter, Options, Writes
from caml_dask.io.exporters.grid import Grid

_ENDING = "_points.ome.tif"


def _plan(image: Exportable, options: Options) -> Mapping[str, Writes]:
    grid = Grid.of(image, options)
    return {_ENDING: lambda path: _write(image, grid, path)}


def _write(image: Exportable, grid: Grid, path: Path) -> None:
    import tifffile

    channels = channels_of(image.schema)
    counts = _counts(image, grid, len(channels))
    small = counts.max(initial=0) <= np.iinfo(np.uint16).max
    metadata = {
        "axes": "CYX",
        "Name": image.image_id,
        "PhysicalSizeX": grid.pixel_nm,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": grid.pixel_nm,
        "PhysicalSizeYUnit": "nm",
        "Channel": {"Name": channels},
        "Plane": {
            "PositionX": [grid.x0_nm] * len(channels),
            "PositionXUnit": ["nm"] * len(channels),
            "PositionY": [grid.y0_nm] * len(channels),
            "PositionYUnit": ["nm"] * len(channels),
        },
        "Description": "; ".join(f"{key}: {value}" for key, value in image.provenance.items()),
    }
    with tifffile.TiffWriter(path, ome=True, bigtiff=counts.nbytes > 1 << 31) as writer:
        writer.write(
            counts.astype(np.uint16) if small else counts,
            photometric="minisblack",
            compression="zlib",
            resolution=(1e7 / grid.pixel_nm, 1e7 / grid.pixel_nm),
            resolutionunit="CENTIMETER",
            metadata=metadata,
        )


def _counts(image: Exportable, grid: Grid, channels: int) -> npt.NDArray[np.uint32]:
    """Localizations in each pixel, (channels, rows, columns)."""
    counts = np.zeros((channels, grid.rows, grid.columns), np.uint32)
    for batch in image.points(COLUMNS):
        xy_nm, channel = counted(batch, channels)
        column, row = np.floor(grid.in_pixels(xy_nm)).astype(np.int64).T
        # the last ones lie on the far side of the last pixel by a rounding
        inside = np.clip(row, 0, grid.rows - 1), np.clip(column, 0, grid.columns - 1)
        np.add.at(counts, (channel, *inside), np.uint32(1))
    return counts


EXPORTER = Exporter(
    name="ome-tiff",
    title="OME-TIFF picture",
    endings=(_ENDING,),
    writes="localizations in each pixel, in 3D as seen along z; a channel for those in no cluster and one for each "
    "class of clusters",
    units="`PhysicalSize` and `Position` in nm; counts of localizations",
    opens="Fiji (File, Import, Bio-Formats), QuPath, napari",
    plan=_plan,
    extra="export",
    pixels="side of its pixels; 10 nm, or more where the picture would have over 8,192 along a side",
)
