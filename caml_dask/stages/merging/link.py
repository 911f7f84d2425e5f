"""Stages that find which detections are connected by links, tile by tile and over all tiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from caml_dask.blinking.links import links, longest_link_nm
from caml_dask.blinking.molecules import components as connected
from caml_dask.blinking.pairs import WIDEST
from caml_dask.settings import FixedRule
from caml_dask.stages.merging.around import around, beside, seen_of
from caml_dask.stages.merging.law import law_of, rule_of
from caml_dask.stages.merging.tables import (
    CROWD,
    DETECTION_BOXES,
    DETECTION_CUTS,
    DETECTION_LINKS,
    DETECTION_ROOTS,
    DETECTION_TILE,
    GROUP_VISITORS,
    GROUPS,
    LAW,
)
from caml_dask.stages.shared.links import components
from caml_dask.stages.shared.work import Work, xy
from caml_dask.stages.stage import OWNED_DETECTIONS, UNCOMPARED, Stage


def link(work: Work, unit: int) -> dict[str, Any]:
    """Components that links make of a tile's detections, and the distinct links to other tiles."""
    at_hand = around(work, unit, _longest_nm(work), beside(work))
    own, ids = at_hand.own, at_hand.rows["loc_id"].to_numpy()
    seen, rule = seen_of(work, at_hand.rows)
    ends = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    if isinstance(rule, FixedRule) or rule.blinks:
        ends += links(seen, np.arange(own), rule)
    one, other = (np.concatenate(end) for end in zip(*ends, strict=True))
    inside = other < own
    component = connected(own, one[inside], other[inside])
    roots = np.full(own, np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(roots, component, ids[:own])
    roots = roots[component]
    work.put(DETECTION_ROOTS, unit, pa.table({"loc_id": ids[:own], "root": roots}))
    distinct = np.unique(component[one[~inside]] * max(1, len(ids)) + other[~inside])
    group, row = np.divmod(distinct, max(1, len(ids)))
    first = np.full(own, own, dtype=np.int64)
    np.minimum.at(first, component, np.arange(own))
    foreign = work.detection_tiles().tile_of(xy(at_hand.rows)[row]).astype(np.uint64)
    columns = {"root": roots[first[group]], "foreign_id": ids[row], "foreign_tile": foreign}
    work.put(DETECTION_LINKS, unit, pa.table(columns))
    return {"rows": own}


def _longest_nm(work: Work) -> float:
    """No link is longer."""
    rule = rule_of(work)
    if isinstance(rule, FixedRule):
        return longest_link_nm(rule, 0.0)
    law, medians = law_of(work)
    return longest_link_nm(law, law.spread * (1.0 if medians.lateral_nm is None else WIDEST * medians.lateral_nm))


def stitch(work: Work, unit: int) -> dict[str, Any]:
    """Components over all tiles: of each that links join to others, its smallest loc_id, and where it has members."""
    n_tiles = work.detection_tiles().n_tiles
    ids, smallest = components(work, n_tiles, DETECTION_LINKS, DETECTION_ROOTS)
    home = np.zeros(len(ids), dtype=np.int64)
    found = []
    for tile in range(n_tiles):
        roots = np.unique(work.get(DETECTION_ROOTS, tile, ["root"])["root"].to_numpy())
        at = np.flatnonzero(np.isin(ids, roots))
        home[at] = tile
        found.append(at)
        work.put(GROUPS, tile, pa.table({"root": ids[at], "group": smallest[at]}))
    home_of_group = home[np.searchsorted(ids, smallest)] if len(ids) else home
    for tile in range(n_tiles):
        visits = [t for t in range(n_tiles) if t != tile and (home_of_group[found[t]] == tile).any()]
        work.put(GROUP_VISITORS, tile, pa.table({"tile": pa.array(visits, pa.int64())}))
    return {"joined": len(np.unique(smallest))}


LINK = Stage(
    name="link_detections",
    title="linking detections",
    per="detection tile",
    run=link,
    effort=6,
    conserves=OWNED_DETECTIONS,
    reads=(DETECTION_BOXES, DETECTION_CUTS, DETECTION_TILE),
    writes=(DETECTION_LINKS, DETECTION_ROOTS),
)
STITCH = Stage(
    name="stitch_detections",
    title="stitching detections across tiles",
    per="image",
    run=stitch,
    effort=1,
    conserves=UNCOMPARED,
    reads=(DETECTION_BOXES, DETECTION_CUTS, DETECTION_LINKS, DETECTION_ROOTS),
    writes=(GROUPS, GROUP_VISITORS),
)
ESTIMATED = (LAW, CROWD)
"""Tables that linking reads too where the rule is estimated."""
