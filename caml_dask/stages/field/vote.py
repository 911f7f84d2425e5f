"""Stage `vote`: which localizations are in clusters, and where each places the center of its own."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pyarrow as pa

from caml_dask.networks.field.graph import ROUNDS
from caml_dask.networks.field.ranks import USED_RANKS
from caml_dask.networks.field.trained import TrainedFieldNetwork
from caml_dask.schema import COORDINATES, NON_CLUSTERED
from caml_dask.spatial.links import UNLINKED
from caml_dask.stages.field.rounds import READS
from caml_dask.stages.field.surroundings import View
from caml_dask.stages.field.tables import BALLOT, CONTEXTS, NEIGHBORHOODS, SHARES, STATES, VOTES
from caml_dask.stages.shared.matrices import matrix
from caml_dask.stages.shared.work import Work, coordinates
from caml_dask.stages.stage import OWNED_ROWS, Stage
from caml_dask.stages.tables import BOXES, CUTS, LABELS


def vote(work: Work, unit: int) -> dict[str, Any]:
    """Let the network say what it found of a tile's localizations; keep their labels and their votes."""
    view = View(work, unit)
    context = view.context(ROUNDS)
    at = np.searchsorted(context.regions, view.region)
    said = view.layers.answer(view.edges(), *view.state(ROUNDS), context.values[at], context.unit_nm[at])
    network = cast(TrainedFieldNetwork, work.network)
    scores = network.scores(said)
    label = network.labels(scores)
    found = work.get(NEIGHBORHOODS, unit, ["distances_nm", "window_nm"])
    ids = view.tile["loc_id"]
    labels = dict(zip(work.network.score_columns, scores.T, strict=True)) | {"label": label}
    nearest_nm = matrix(found, "distances_nm", len(USED_RANKS))[:, 0].astype(np.float64)
    work.put(
        LABELS, unit, pa.table({"loc_id": ids, **labels, "window_nm": found["window_nm"], "nearest_nm": nearest_nm})
    )
    called = label != NON_CLUSTERED
    votes = coordinates(view.tile) + np.where(called[:, None], said.offset_nm, 0)
    _, linked = view.layers.raw["decision"]
    reach = np.where(called, linked * said.radius_nm, UNLINKED)
    places = dict(zip(COORDINATES, votes.T, strict=False))
    work.put(VOTES, unit, pa.table({"loc_id": ids, **places, "reach_nm": reach}))
    plane = votes[called, :2]
    corners = [*plane.min(axis=0), *plane.max(axis=0)] if len(plane) else [np.zeros(0)] * 4
    names = ("x0_nm", "y0_nm", "x1_nm", "y1_nm")
    work.put(BALLOT, unit, pa.table({name: np.atleast_1d(at) for name, at in zip(names, corners, strict=True)}))
    return {"rows": int(np.isfinite(said.clustered).sum())}


STAGE = Stage(
    name="vote",
    title="voting for clusters",
    per="tile",
    run=vote,
    effort=90,
    conserves=OWNED_ROWS,
    reads=(*READS, BOXES, CUTS, STATES[ROUNDS], CONTEXTS[ROUNDS - 1], SHARES[ROUNDS - 1]),
    writes=(LABELS, VOTES, BALLOT),
)
