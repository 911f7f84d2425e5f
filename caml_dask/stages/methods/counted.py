"""How many localizations lie on which area: what the mean density of a method is of."""

from __future__ import annotations

import numpy as np
import shapely

from caml_dask.errors import InputError
from caml_dask.stages.occupied import cell_mask_of
from caml_dask.stages.shared.hull import hull_of
from caml_dask.stages.shared.selection import selected_xy
from caml_dask.stages.shared.work import Work


def counted(work: Work) -> tuple[int, float]:
    """Localizations, and the area in nm2 that they lie on: those in regions of interest, or all on the given area or
    their convex hull.

    Raises
    ------
    InputError : no area, or too few localizations on it for a mean density.
    """
    settings, n = work.settings, int(work.facts()["finite"])
    if settings.has_regions:
        rois = work.given_rois() if settings.cell_mask is None else [cell_mask_of(work)]
        shape = shapely.union_all([roi.shape for roi in rois])
        shapely.prepare(shape)
        n = sum(int(np.count_nonzero(shapely.intersects_xy(shape, xy_nm))) for xy_nm in selected_xy(work))
        area = float(shape.area)
    elif settings.area_um2 is not None:
        area = 1e6 * settings.area_um2
    else:
        area = float(hull_of(selected_xy(work)).area)
    if not area > 0:
        raise InputError(
            f"{n} localizations span no area, and {work.network.name} compares with their mean density: give at least "
            "three that are not on a line, or the area with --area-um2",
            work.image.path,
        )
    if n < 2:
        raise InputError(
            f"{n} localizations lie in the regions of interest; {work.network.name} takes their mean density, of at "
            "least 2: check the regions",
            work.image.path,
        )
    return n, area
