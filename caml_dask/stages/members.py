"""Stage `members`: what users get of each localization of a tile, and what the summary counts of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from caml_dask.io.rois.roi import region_of
from caml_dask.schema import NO_CLUSTER
from caml_dask.stages.shared.clusters import clusters_of
from caml_dask.stages.shared.hull import put_hull
from caml_dask.stages.shared.picture import put_pixels
from caml_dask.stages.shared.tally import put_tally
from caml_dask.stages.shared.work import Work, xy
from caml_dask.stages.stage import OWNED_ROWS, Stage, reading
from caml_dask.stages.tables import (
    CELL_MASK,
    CHUNKS,
    FACTS,
    HULL,
    LABELS,
    MEMBERSHIP,
    NUMBERS,
    PIECES,
    PIXELS,
    ROIS,
    TALLY,
    TILE,
    VERDICTS,
)


def members(work: Work, unit: int) -> dict[str, Any]:
    """Write down which cluster each localization of a tile belongs to, and count them.

    Clusters that the test against randomness dropped are none.
    """
    cluster, _ = clusters_of(work, unit)
    if work.settings.test:
        verdicts = work.get(VERDICTS, 0)
        dropped = verdicts["cluster_id"].to_numpy()[~verdicts["kept"].to_numpy(zero_copy_only=False)]
        cluster = np.where(np.isin(cluster, dropped), NO_CLUSTER, cluster) if len(dropped) else cluster
    rois = work.rois()
    region = region_of(rois, xy(work.get(TILE, unit)))
    _put_membership(work, unit, cluster, region if rois else None)
    _put_parts_of_summary(work, unit, cluster, region)
    return {"rows": len(cluster)}


def _put_parts_of_summary(work: Work, unit: int, cluster: np.ndarray, region: np.ndarray) -> None:
    """What the last stage, which is one unit, need not look at the tile's localizations for."""
    points_nm = xy(work.get(TILE, unit))
    put_tally(work, unit, cluster, work.get(PIECES, unit)["window_saturated"].to_numpy(zero_copy_only=False), region)
    put_hull(work, unit, points_nm)
    if work.store.has_outputs:
        put_pixels(work, unit, points_nm, work.get(LABELS, unit)["label"].to_numpy(), cluster)


def _put_membership(work: Work, unit: int, cluster: np.ndarray, region: np.ndarray | None) -> None:
    labels = work.get(LABELS, unit)
    table = labels.select(["loc_id", *work.network.score_columns, "label"])
    table = table.append_column("cluster_id", pa.array(cluster))
    table = table.append_column("window_saturated", work.get(PIECES, unit)["window_saturated"])
    if region is not None:
        table = table.append_column("region_id", pa.array(region))
    ids = labels["loc_id"].to_numpy()
    order = np.argsort(ids)
    # in parts by chunk of the input, each of which brings its own together
    starts = np.searchsorted(ids[order], work.get(CHUNKS, 0)["first_id"].to_numpy())
    work.put(MEMBERSHIP, unit, table.take(pa.array(order)), [*starts.tolist(), len(ids)])


STAGE = Stage(
    name="members",
    title="counting",
    per="tile",
    run=members,
    effort=2,
    conserves=OWNED_ROWS,
    reads=(FACTS, ROIS, CELL_MASK, CHUNKS, TILE, LABELS, PIECES, NUMBERS),
    writes=(MEMBERSHIP, TALLY, HULL, PIXELS),
)
JUDGED_STAGE = reading(STAGE, (VERDICTS,))
