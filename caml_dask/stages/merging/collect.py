"""Stages that make molecules of connected detections, and hand them to the analysis as its input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from caml_dask.blinking.links import Detections
from caml_dask.blinking.merge import precisions
from caml_dask.blinking.molecules import Molecules, canonical, combine, refine
from caml_dask.blinking.pairs import LAGS
from caml_dask.blinking.refine import DOUBTFUL
from caml_dask.errors import ConservationError
from caml_dask.io.readers.carried import find_carried
from caml_dask.schema import COORDINATES, arrow_schema
from caml_dask.settings import FixedRule
from caml_dask.stages.merging.around import beside, rows_of, seen_of, uncertainty_of
from caml_dask.stages.merging.law import median_precisions
from caml_dask.stages.merging.tables import (
    DETECTION_BOXES,
    DETECTION_CUTS,
    DETECTION_FACTS,
    DETECTION_ROOTS,
    DETECTION_TILE,
    GROUP_VISITORS,
    GROUPS,
    MADE,
    MEMBERS,
    MERGE_TALLY,
    PRECISIONS,
)
from caml_dask.stages.read import check_fits
from caml_dask.stages.shared.links import component_of
from caml_dask.stages.shared.work import Work, coordinates
from caml_dask.stages.stage import FINITE_DETECTIONS, FINITE_ROWS, UNCOMPARED, Stage
from caml_dask.stages.tables import CHUNKS, FACTS, INPUT

MOST_DETECTIONS = 1_000
"""Detections of a molecule from which on molecules are counted together."""


def collect(work: Work, unit: int) -> dict[str, Any]:
    """Make molecules of the detections whose components are at home in a tile."""
    rows, group = _at_home(work, unit)
    ids = rows["loc_id"].to_numpy()
    seen, rule = seen_of(work, rows)
    order = canonical(group, seen, ids)
    rows, group, ids, seen = rows.take(pa.array(order)), group[order], ids[order], seen.take(order)
    odds = np.full(len(ids), np.inf)
    if isinstance(rule, FixedRule) or not rule.blinks:
        number = np.unique(group, return_inverse=True)[1]
    else:
        joined, odds = refine(seen, group, rule)
        number = np.unique(joined, return_inverse=True)[1]
    molecule = np.full(int(number.max(initial=-1)) + 1, np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(molecule, number, ids)
    photons = np.asarray(rows["photons"].to_numpy(), np.float64) if "photons" in rows.column_names else None
    together = combine(
        number,
        seen.points_nm,
        seen.frame,
        photons=photons,
        **precisions(
            uncertainty_of(rows),
            uncertainty_of(rows, "uncertainty_z_nm"),
            median_precisions(work),
            None if isinstance(rule, FixedRule) else rule,
            seen,
            np.arange(len(ids)),
        ),
    )
    first = work.get(CHUNKS, 0)["first_id"].to_numpy()
    _put_by_chunk(work, unit, MADE, _table(molecule, together), first)
    _put_by_chunk(work, unit, MEMBERS, pa.table({"loc_id": ids, "molecule": molecule[number]}), first)
    _put_tally(work, unit, number, seen, together, odds)
    return {"rows": len(ids), "molecules": len(molecule)}


def _at_home(work: Work, unit: int) -> tuple[pa.Table, np.ndarray]:
    """The detections of all components at home in a tile, and the component of each."""
    mine, group = _grouped(work, unit)
    roots = np.unique(mine["root"].to_numpy())
    home = np.isin(group, roots)
    tables, groups = [mine.filter(pa.array(home))], [group[home]]
    for visitor in work.get(GROUP_VISITORS, unit)["tile"].to_pylist():
        rows, group = _grouped(work, visitor)
        home = np.isin(group, roots)
        tables.append(rows.filter(pa.array(home)))
        groups.append(group[home])
    return pa.concat_tables(tables).combine_chunks(), np.concatenate(groups)


def _grouped(work: Work, unit: int) -> tuple[pa.Table, np.ndarray]:
    rows = rows_of(work, unit, (*beside(work), DETECTION_ROOTS), everything=True)
    joined = work.get(GROUPS, unit)
    return rows, component_of(joined["root"].to_numpy(), joined["group"].to_numpy(), rows["root"].to_numpy())


def _table(molecule: np.ndarray, found: Molecules) -> pa.Table:
    columns: dict[str, np.ndarray | None] = {"loc_id": molecule}
    columns |= dict(zip(COORDINATES, found.points_nm.T, strict=False))
    columns |= {
        "detections": found.detections,
        "first_frame": found.first_frame,
        "last_frame": found.last_frame,
        "photons": found.photons,
        "uncertainty_nm": found.uncertainty_nm,
        "uncertainty_z_nm": found.uncertainty_z_nm,
    }
    return pa.table({name: values for name, values in columns.items() if values is not None})


def _put_by_chunk(work: Work, unit: int, table: Any, rows: pa.Table, first: np.ndarray) -> None:
    """Keep rows by the chunk of the input that holds their loc_id."""
    ids = rows["loc_id"].to_numpy()
    order = np.argsort(ids)
    starts = np.searchsorted(ids[order], first)
    work.put(table, unit, rows.take(pa.array(order)), [*starts.tolist(), len(ids)])


def _put_tally(work: Work, unit: int, number: np.ndarray, seen: Detections, found: Molecules, odds: np.ndarray) -> None:
    order = np.lexsort((seen.frame, number))
    frame, of = seen.frame[order], number[order]
    gaps = np.diff(frame)[of[1:] == of[:-1]]
    lags = np.bincount(np.searchsorted(LAGS, gaps, side="right") - 1, minlength=len(LAGS))
    sizes = np.bincount(np.minimum(found.detections, MOST_DETECTIONS), minlength=MOST_DETECTIONS + 1)
    doubtful = [int(np.count_nonzero(odds < DOUBTFUL))]
    work.put(MERGE_TALLY, unit, pa.table({"sizes": [sizes], "gaps": [lags], "doubtful": [doubtful]}))


def join(work: Work, unit: int) -> dict[str, Any]:
    """Bring the molecules of a chunk together, by their first rows in the input: the input of the analysis."""
    tiles = range(work.detection_tiles().n_tiles)
    found = pa.concat_tables([work.get_part(MADE, tile, unit) for tile in tiles]).sort_by("loc_id").combine_chunks()
    work.put(INPUT, unit, found)
    points = coordinates(found)[:, :2]
    lower, upper = points.min(axis=0, initial=np.inf), points.max(axis=0, initial=-np.inf)
    return {"rows": len(found), "bounds_nm": [*lower.tolist(), *upper.tolist()]}


def count(work: Work, unit: int) -> dict[str, Any]:
    """Count the molecules and find their bounds, as reading does of localizations.

    Raises
    ------
    TooFewLocalizations : fewer molecules than the network needs.
    ConservationError : detections that are of no molecule, or of several.
    """
    before = work.detection_facts()
    lower, upper, rows, detections = np.full(2, np.inf), np.full(2, -np.inf), 0, 0
    names: list[str] = []
    for chunk in range(before["chunks"]):
        table = work.get(INPUT, chunk)
        points = coordinates(table)[:, :2]
        lower = np.minimum(lower, points.min(axis=0, initial=np.inf))
        upper = np.maximum(upper, points.max(axis=0, initial=-np.inf))
        rows, detections = rows + len(table), detections + int(table["detections"].to_numpy().sum())
        names = table.column_names
    if detections != before["finite"]:
        raise ConservationError(
            f"{work.image.image_id}: molecules are of {detections} detections, there are {before['finite']}"
        )
    carried = find_carried([name for name in names if name not in ("loc_id", *COORDINATES)], work.carried)
    facts = before | {
        "rows": rows,
        "nonfinite": 0,
        "finite": rows,
        "where": [],
        "bounds_nm": [*lower.tolist(), *upper.tolist()],
    }
    facts["carried"] = [{"name": c.name, "column": c.column, "factor": c.factor} for c in carried]
    check_fits(work, rows, len(before["coordinates"]), of=rows)
    work.put(FACTS, 0, pa.Table.from_pylist([facts], arrow_schema(FACTS.columns)))
    return {"rows": rows}


COLLECT = Stage(
    name="collect",
    title="merging detections",
    per="detection tile",
    run=collect,
    effort=8,
    conserves=FINITE_DETECTIONS,
    reads=(
        DETECTION_FACTS,
        CHUNKS,
        DETECTION_TILE,
        DETECTION_ROOTS,
        GROUPS,
        GROUP_VISITORS,
        PRECISIONS,
    ),
    writes=(MADE, MEMBERS, MERGE_TALLY),
)
JOIN = Stage(
    name="join",
    title="gathering molecules",
    per="detection chunk",
    run=join,
    effort=2,
    conserves=UNCOMPARED,
    reads=(DETECTION_BOXES, DETECTION_CUTS, MADE),
    writes=(INPUT,),
)
COUNT = Stage(
    name="count_molecules",
    title="counting molecules",
    per="image",
    run=count,
    effort=1,
    conserves=FINITE_ROWS,
    reads=(DETECTION_FACTS, INPUT),
    writes=(FACTS,),
)
