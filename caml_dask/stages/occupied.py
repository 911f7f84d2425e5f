"""Stage `occupied`: where localizations are, for `--cell-mask` and for the warning of a hull that is mostly empty."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import shapely

from caml_dask.errors import InputError
from caml_dask.io.rois.mask import union_of
from caml_dask.schema import arrow_schema
from caml_dask.spatial.occupied import occupied as find
from caml_dask.stages.shared.selection import selected_xy
from caml_dask.stages.shared.work import Work
from caml_dask.stages.stage import UNCOMPARED, Stage
from caml_dask.stages.tables import CELL_MASK, FACTS, INPUT


def occupied(work: Work, unit: int) -> dict[str, Any]:
    """Find where localizations lie, from the coordinates of all chunks, read as a stream.

    Raises
    ------
    InputError : a cell mask is asked for, and the localizations span no area.
    """
    facts, rows = work.facts(), list[dict[str, Any]]()
    x0, y0, x1, y1 = facts["bounds_nm"]
    spans = x1 > x0 and y1 > y0
    if work.settings.cell_mask is not None and not spans:
        raise InputError("the localizations lie on a line, so that --cell-mask finds no area", work.image.path)
    if spans and work.settings.roi is None and work.settings.area_um2 is None:
        found = find(selected_xy(work), facts["finite"], facts["bounds_nm"])
        shape = union_of(found.inside.T, found.x_nm, found.y_nm)
        rows = [{"shape": shapely.to_wkb(shapely.normalize(shape)), "outlined": found.outlined}]
    work.put(CELL_MASK, 0, pa.Table.from_pylist(rows, arrow_schema(CELL_MASK.columns)))
    return {"rows": facts["finite"]}


STAGE = Stage(
    name="occupied",
    title="finding where localizations are",
    per="image",
    run=occupied,
    effort=1,
    conserves=UNCOMPARED,
    reads=(FACTS, INPUT),
    writes=(CELL_MASK,),
)
