"""Stage `link_votes`: votes that lie within one another's reach belong to one cluster, also across tiles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from caml_dask.schema import NON_CLUSTERED
from caml_dask.spatial.labelled import LabelledIndex
from caml_dask.stages.field.tables import BALLOT, VOTES
from caml_dask.stages.shared.links import Clustered, ReachedTile, join, put_sums, spread
from caml_dask.stages.shared.work import Work, coordinates
from caml_dask.stages.stage import OWNED_ROWS, Stage
from caml_dask.stages.tables import BOXES, CUTS, LABELS, PIECE_LINKS, PIECES, ROOTS


def link_votes(work: Work, unit: int) -> dict[str, Any]:
    """Components of a tile's votes, and what they link to in other tiles."""
    votes, labels = work.get(VOTES, unit), work.get(LABELS, unit)
    label = labels["label"].to_numpy()
    rows = np.flatnonzero(label != NON_CLUSTERED)
    places, radius = coordinates(votes), votes["reach_nm"].to_numpy()[rows]
    own = Clustered(rows, votes["loc_id"].to_numpy()[rows], places[rows], label[rows])
    beyond = list(_reached(work, unit, own, radius))
    roots = join(work, unit, PIECE_LINKS, own, radius, LabelledIndex.build(places, label), beyond)
    saturated = np.zeros(len(votes), np.bool_)
    columns = {"loc_id": votes["loc_id"], "root": spread(votes, own, roots), "window_saturated": saturated}
    work.put(PIECES, unit, pa.table(columns))
    put_sums(work, unit, labels["nearest_nm"].to_numpy()[rows], roots)
    return {"rows": len(votes)}


def _reached(work: Work, unit: int, own: Clustered, radius_nm: np.ndarray) -> Iterator[ReachedTile]:
    """Votes of other tiles within reach of some of this one; a vote may lie outside the tile that owns it."""
    plane = own.points_nm[:, :2]
    margin = radius_nm * (1 + 1e-9) + 4 * np.spacing(np.abs(plane).max(initial=0))
    lower, upper = plane - margin[:, None], plane + margin[:, None]
    for other in range(work.partition().n_tiles if len(own.rows) else 0):
        ballot = work.get(BALLOT, other)
        if other == unit or not len(ballot):
            continue
        box = np.array([column[0].as_py() for column in ballot.columns])
        who = np.flatnonzero(((upper >= box[:2]) & (lower <= box[2:])).all(axis=1))
        if not len(who):
            continue
        votes, labels = work.get(VOTES, other), work.get(LABELS, other)
        points, label = coordinates(votes), labels["label"].to_numpy()
        within = ((points[:, :2] >= lower[who].min(axis=0)) & (points[:, :2] <= upper[who].max(axis=0))).all(axis=1)
        inside = np.flatnonzero(within & (label != NON_CLUSTERED))
        if len(inside):
            index = LabelledIndex.build(points[inside], label[inside])
            yield ReachedTile(other, who, index, votes["loc_id"].to_numpy()[inside])


STAGE = Stage(
    name="link_votes",
    title="linking votes",
    per="tile",
    run=link_votes,
    effort=30,
    conserves=OWNED_ROWS,
    reads=(BOXES, CUTS, LABELS, VOTES, BALLOT),
    writes=(PIECE_LINKS, PIECES, ROOTS),
)
