"""The part of the plane in which two images are compared."""

from __future__ import annotations

import numpy as np
import shapely

from caml_dask.channels.channel import Channel
from caml_dask.errors import UsageError
from caml_dask.io.rois.geojson import read_geojson
from caml_dask.io.rois.mask import union_of
from caml_dask.io.run_directory import Run
from caml_dask.results.image import ImageResult
from caml_dask.spatial.occupied import occupied

GIVEN, MASKS, FOUND = "regions of interest of both", "cell masks of either", "occupied by either"
_AT_A_TIME = 1 << 20


def region_of(
    images: tuple[ImageResult, ImageResult], channels: tuple[Channel, Channel]
) -> tuple[shapely.Geometry, str]:
    """The region of a pair.

    Parameters
    ----------
    images : (ImageResult, ImageResult)
        The images.
    channels : (Channel, Channel)
        Their localizations.

    Returns
    -------
    shapely.Geometry
        With regions of interest, what those of both images share; with cell masks, what either covers; otherwise the
        part of the plane that the localizations of both together occupy, as ``--cell-mask auto`` finds it.
    str
        Which of these.

    Raises
    ------
    UsageError
        It has no area.
    """
    shapes = [_regions(image) for image in images]
    settings = [Run.open(image.directory.parent).settings for image in images]
    if all(shape is not None for shape in shapes):
        given = any(one.roi is not None for one in settings)
        shape, of = (shapely.intersection(*shapes), GIVEN) if given else (shapely.union(*shapes), MASKS)
    else:
        shape, of = _occupied(channels), FOUND
    if shape.area <= 0:
        ids = " and ".join(image.image_id for image in images)
        what = "share no region of interest" if of == GIVEN else "lie on a line"
        raise UsageError(f"{ids} {what}: pair channels of one field")
    return shape, of


def _regions(image: ImageResult) -> shapely.Geometry | None:
    path = image.directory / "regions.geojson"
    if not path.exists():
        return None
    return shapely.union_all([roi.shape for roi in read_geojson(path, path.read_bytes())])


def _occupied(channels: tuple[Channel, Channel]) -> shapely.Geometry:
    """What the localizations of both channels occupy."""
    points = [channel.points_nm[:, :2] for channel in channels]
    low = np.min([p.min(axis=0) for p in points], axis=0)
    high = np.max([p.max(axis=0) for p in points], axis=0)
    if (high <= low).any():
        return shapely.Polygon()
    stream = (p[start : start + _AT_A_TIME] for p in points for start in range(0, len(p), _AT_A_TIME))
    found = occupied(stream, sum(map(len, points)), (*low.tolist(), *high.tolist()))
    return shapely.normalize(union_of(found.inside.T, found.x_nm, found.y_nm))
