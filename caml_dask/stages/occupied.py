"""Stage `occupied`: where localizations are, for `--cell-mask` and for the warning of a hull that is mostly empty."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import shapely

from caml_dask.errors import InputError
from caml_dask.io.rois.mask import union_of
from caml_dask.io.rois.roi import Roi
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
    _refuse_line(work, facts)
    if _spans(facts) and work.settings.roi is None and work.settings.area_um2 is None:
        shape, outlined = _found(work, facts)
        rows = [{"shape": shapely.to_wkb(shape), "outlined": outlined}]
    work.put(CELL_MASK, 0, pa.Table.from_pylist(rows, arrow_schema(CELL_MASK.columns)))
    return {"rows": facts["finite"]}


def cell_mask_of(work: Work) -> Roi:
    """The cell mask, for a stage that comes before this one; errors as of :func:`occupied`."""
    facts = work.facts()
    _refuse_line(work, facts)
    return Roi("cell mask", _found(work, facts)[0])


def _found(work: Work, facts: dict[str, Any]) -> tuple[shapely.Geometry, bool]:
    """Where localizations lie, and whether that has an outline."""
    found = find(selected_xy(work), facts["finite"], facts["bounds_nm"])
    return shapely.normalize(union_of(found.inside.T, found.x_nm, found.y_nm)), found.outlined


def _spans(facts: dict[str, Any]) -> bool:
    x0, y0, x1, y1 = facts["bounds_nm"]
    return bool(x1 > x0 and y1 > y0)


def _refuse_line(work: Work, facts: dict[str, Any]) -> None:
    if work.settings.cell_mask is not None and not _spans(facts):
        raise InputError("the localizations lie on a line, so that --cell-mask finds no area", work.image.path)


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
