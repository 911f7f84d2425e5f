"""Stages `round_1` to `round_4`: localizations exchange messages with their neighbors, and share with their region."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from caml_dask.networks.field.graph import ROUNDS
from caml_dask.stages.field.surroundings import View
from caml_dask.stages.field.tables import (
    CONTEXTS,
    EDGES,
    HALO,
    NEIGHBORHOODS,
    REGION_BOXES,
    REGION_CUTS,
    SHARES,
    STATES,
)
from caml_dask.stages.shared.work import Work
from caml_dask.stages.stage import OWNED_ROWS, Stage
from caml_dask.stages.tables import BOXES, CUTS, FACTS, TILE, Table

READS = (FACTS, REGION_BOXES, REGION_CUTS, TILE, NEIGHBORHOODS, HALO, EDGES)


def _reads_of_context(r: int) -> tuple[Table, ...]:
    """What the context of a round is made from: that of the round before, and what all tiles shared after it."""
    return (CONTEXTS[0],) if r == 0 else (BOXES, CUTS, CONTEXTS[r - 1], SHARES[r - 1])


def exchange(work: Work, unit: int, *, r: int) -> dict[str, Any]:
    """One round of messages of a tile's localizations."""
    view = View(work, unit)
    context = view.context(r)
    around = context.values[np.searchsorted(context.regions, view.region)]
    h, vectors = view.layers.exchange(r, view.edges(), *view.state(r), around)
    view.put_state(r + 1, h, vectors)
    view.put_shares(r, view.layers.share(r, h))
    return {"rows": len(h)}


STAGES = tuple(
    Stage(
        name=f"round_{r + 1}",
        title=f"exchanging messages, round {r + 1} of {ROUNDS}",
        per="tile",
        run=partial(exchange, r=r),
        effort=75,
        conserves=OWNED_ROWS,
        reads=(*READS, STATES[r], *_reads_of_context(r)),
        writes=(STATES[r + 1], SHARES[r], *((CONTEXTS[r],) if r > 0 else ())),
    )
    for r in range(ROUNDS)
)
