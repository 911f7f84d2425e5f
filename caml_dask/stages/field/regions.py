"""Stage `regions`: cut the plane into regions, of which the field network compares a localization with others."""

from __future__ import annotations

from typing import Any

from caml_dask.spatial.partition import partition
from caml_dask.stages.field.tables import REGION_BOXES, REGION_CUTS
from caml_dask.stages.shared.selection import selected_xy
from caml_dask.stages.shared.work import Work
from caml_dask.stages.stage import UNCOMPARED, Stage
from caml_dask.stages.tables import FACTS, INPUT

REGION_LOCALIZATIONS = 8_000
"""Most localizations of a region: those of the largest fields that the network was trained on."""


def regions(work: Work, unit: int) -> dict[str, Any]:
    """Cut the plane into boxes of at most some thousand localizations, whatever the tiles are."""
    facts = work.facts()
    found = partition(lambda: selected_xy(work), facts["finite"], facts["bounds_nm"], REGION_LOCALIZATIONS)
    work.put_partition(REGION_BOXES, REGION_CUTS, found)
    return {"rows": facts["finite"], "regions": found.n_tiles}


STAGE = Stage(
    name="regions",
    title="finding regions",
    per="image",
    run=regions,
    effort=1,
    conserves=UNCOMPARED,
    reads=(FACTS, INPUT),
    writes=(REGION_BOXES, REGION_CUTS),
)
