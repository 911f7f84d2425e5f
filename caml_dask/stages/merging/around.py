"""The detections of a tile with those of other tiles around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from caml_dask.blinking.law import Law
from caml_dask.blinking.links import Detections, crowd_radii_nm, log_begin
from caml_dask.blinking.pairs import Medians, scales
from caml_dask.settings import FixedRule
from caml_dask.stages.merging.law import law_of, rule_of
from caml_dask.stages.merging.tables import CROWD, DETECTION_TILE
from caml_dask.stages.shared.work import Work, coordinates, xy
from caml_dask.stages.tables import Table

_NEEDED = ("loc_id", "x_nm", "y_nm", "z_nm", "frame", "uncertainty_nm", "uncertainty_z_nm")


@dataclass(frozen=True)
class Around:
    """Detections at hand.

    rows : those of the tile, then those of other tiles
    own : how many of them are the tile's
    """

    rows: pa.Table
    own: int


def around(work: Work, unit: int, pad_nm: float, beside: Sequence[Table] = ()) -> Around:
    """The detections of a tile, and at least all of others that are within `pad_nm` of its box.

    beside : further tables of a row a detection, in the order of the tile, whose columns are wanted too
    """
    tiles = work.detection_tiles()
    mine = rows_of(work, unit, beside)
    lower, upper = tiles.lower_nm[unit], tiles.upper_nm[unit]
    pad_nm = pad_nm * (1 + 1e-9) + 4 * float(np.spacing(np.abs(xy(mine)).max(initial=1.0)))
    pieces = [mine]
    for other in tiles.overlapping(lower - pad_nm, upper + pad_nm):
        if other != unit:
            rows = rows_of(work, int(other), beside)
            points = xy(rows)
            inside = np.all((points >= lower - pad_nm) & (points <= upper + pad_nm), axis=1)
            pieces.append(rows.filter(pa.array(inside)))
    return Around(pa.concat_tables(pieces).combine_chunks(), len(mine))


def rows_of(work: Work, unit: int, beside: Sequence[Table] = (), everything: bool = False) -> pa.Table:
    """The detections of a tile, with the columns of further tables."""
    rows = work.get(DETECTION_TILE, unit)
    if not everything:
        rows = rows.select([name for name in _NEEDED if name in rows.column_names])
    for table in beside:
        more = work.get(table, unit)
        for name in more.column_names:
            if name != "loc_id":
                rows = rows.append_column(name, more[name])
    return rows


def uncertainty_of(rows: pa.Table, name: str = "uncertainty_nm") -> np.ndarray | None:
    """Precisions as the table has them, null as NaN; None where it has none."""
    return np.asarray(rows[name].to_numpy(), dtype=np.float64) if name in rows.column_names else None


def scales_of(rows: pa.Table, medians: Medians) -> np.ndarray:
    """Relative spread of each detection along each axis."""
    stated = uncertainty_of(rows), uncertainty_of(rows, "uncertainty_z_nm")
    return scales(*stated, medians, coordinates(rows).shape)


def seen_of(work: Work, rows: pa.Table) -> tuple[Detections, FixedRule | Law]:
    """What the rule looks at of detections, and the rule; by an estimated one, rows with their `crowd`."""
    rule = rule_of(work)
    points, frame = coordinates(rows), rows["frame"].to_numpy()
    if isinstance(rule, FixedRule) or not rule.blinks:
        return Detections(points, frame, np.zeros(points.shape), np.zeros(len(rows))), rule
    law, medians = law_of(work)
    axes = points.shape[1]
    spread = scales_of(rows, medians) * law.spreads(axes)
    begin = log_begin(rows["crowd"].to_numpy(), frame, law, crowd_radii_nm(law, medians, axes))
    return Detections(points, frame, spread, begin), rule


def beside(work: Work) -> tuple[Table, ...]:
    """Tables that :func:`seen_of` needs beside the detections."""
    return (CROWD,) if work.settings.merge == "auto" else ()
